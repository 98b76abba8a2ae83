//! How the two clients are made: one credential chain, one deadline, no retries.
//!
//! The loop above is the retry. The SDK would send a capacity refusal three times (EC2 answers it with HTTP 500) and a
//! read that timed out as often, each time on our clock and out of our call budget. So every client here sends each call
//! once, and gives it up at the deadline.

use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::identity::IdentityCache;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig, imds};
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use aws_sdk_ec2::config::{
    AppName, FrameworkMetadata, SharedCredentialsProvider, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use crate::config::service::AwsConfig;
use crate::provider::aws::reply::WholeReply;

/// The longest that making a connection may take; a healthy one takes milliseconds.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// The longest that one load of credentials may take, whatever the deadline of the call that waits for it.
const CREDENTIALS_MAX: Duration = Duration::from_secs(10);
/// The longest that the instance metadata service may take, all attempts together. It is one hop away or not there.
const METADATA_MAX: Duration = Duration::from_secs(5);

/// What is wrong with `[provider.aws]`, found before any call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The region is no region.
    #[error(
        "provider.aws.region: {region:?} is no region; it is lower-case letters, digits and dashes, such as \"eu-west-1\""
    )]
    Region {
        /// As written.
        region: String,
    },
    /// The endpoint is no URL that can be called.
    #[error(
        "provider.aws.endpoint_url: {url:?} is no endpoint ({reason}); it is http:// or https:// and a host, such as \"http://127.0.0.1:5000\""
    )]
    Endpoint {
        /// As written.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No call could ever be answered in no time.
    #[error("provider.aws.call_timeout: 0s leaves no time for any call; it is a duration such as \"20s\"")]
    Timeout,
    /// The name we go by is not one that the SDK accepts.
    #[error("the user agent {name:?} has characters that no user agent may have")]
    UserAgent {
        /// As composed.
        name: String,
    },
}

/// The clients, one for each service, sharing credentials.
pub(super) struct Clients {
    /// EC2.
    pub(super) ec2: aws_sdk_ec2::Client,
    /// ELBv2.
    pub(super) elb: aws_sdk_elasticloadbalancingv2::Client,
}

/// Checks the settings and makes the clients. Calls nobody: credentials are loaded by the first call that needs them,
/// so that a service which starts during an outage of the metadata service recovers with it.
pub(super) async fn clients(
    config: &AwsConfig,
    credentials: Option<SharedCredentialsProvider>,
) -> Result<Clients, ConnectError> {
    check(config)?;
    let credentials = match credentials {
        Some(credentials) => credentials,
        None => default_credentials(config).await,
    };
    let shared = shared(config, credentials).await?;
    let mut ec2 = aws_sdk_ec2::config::Builder::from(&shared).interceptor(WholeReply);
    let mut elb = aws_sdk_elasticloadbalancingv2::config::Builder::from(&shared).interceptor(WholeReply);
    if let Some(url) = &config.endpoint_url {
        // Set on each client again: an `AWS_ENDPOINT_URL_EC2` in the environment must not divide the two.
        ec2 = ec2.endpoint_url(url);
        elb = elb.endpoint_url(url);
    }
    Ok(Clients {
        ec2: aws_sdk_ec2::Client::from_conf(ec2.build()),
        elb: aws_sdk_elasticloadbalancingv2::Client::from_conf(elb.build()),
    })
}

fn check(config: &AwsConfig) -> Result<(), ConnectError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if config.region.is_empty() || !config.region.chars().all(plain) {
        return Err(ConnectError::Region { region: config.region.clone() });
    }
    if config.call_timeout.is_zero() {
        return Err(ConnectError::Timeout);
    }
    let Some(text) = &config.endpoint_url else { return Ok(()) };
    let refused = |reason: String| ConnectError::Endpoint { url: text.clone(), reason };
    let url = url::Url::parse(text).map_err(|error| refused(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused(format!("the scheme is {}", url.scheme())));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(refused("it names no host".to_owned()));
    }
    Ok(())
}

/// Environment, profile, web identity, container, instance metadata: the chain that every AWS tool walks, each link
/// with a deadline.
async fn default_credentials(config: &AwsConfig) -> SharedCredentialsProvider {
    let provider = ProviderConfig::without_region()
        .with_region(Some(Region::new(config.region.clone())))
        .with_http_client(https_client())
        .with_timeout_config(deadlines(config.call_timeout.min(CREDENTIALS_MAX)));
    let metadata = imds::Client::builder()
        .configure(&provider)
        .max_attempts(2)
        .operation_attempt_timeout(METADATA_MAX / 2)
        .operation_timeout(METADATA_MAX)
        .build();
    let chain = DefaultCredentialsChain::builder().configure(provider).imds_client(metadata).build().await;
    SharedCredentialsProvider::new(chain)
}

async fn shared(
    config: &AwsConfig,
    credentials: SharedCredentialsProvider,
) -> Result<SdkConfig, ConnectError> {
    let (app, framework) = user_agent()?;
    let cache = IdentityCache::lazy().load_timeout(config.call_timeout.min(CREDENTIALS_MAX)).build();
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(config.region.clone()))
        .credentials_provider(credentials)
        .identity_cache(cache)
        .http_client(client_for(config.endpoint_url.as_deref()))
        .retry_config(RetryConfig::disabled())
        .timeout_config(deadlines(config.call_timeout))
        // The deadline bounds a stalled stream as well, and there is one answer to "how long may this take".
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .app_name(app)
        .framework_metadata(framework);
    let loader = match &config.endpoint_url {
        Some(url) => loader.endpoint_url(url),
        None => loader,
    };
    Ok(loader.load().await)
}

fn deadlines(call: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(call.min(CONNECT_MAX))
        .read_timeout(call)
        .operation_attempt_timeout(call)
        .operation_timeout(call)
        .build()
}

/// `app/fleet-scaler` is what CloudTrail filters on; `lib/fleet-scaler/VERSION` says which one it was.
fn user_agent() -> Result<(AppName, FrameworkMetadata), ConnectError> {
    let refused = || ConnectError::UserAgent { name: format!("fleet-scaler/{}", env!("CARGO_PKG_VERSION")) };
    let app = AppName::new("fleet-scaler").map_err(|_| refused())?;
    let framework =
        FrameworkMetadata::new("fleet-scaler", Some(env!("CARGO_PKG_VERSION"))).map_err(|_| refused())?;
    Ok((app, framework))
}

/// A plain-HTTP endpoint gets a client without TLS: it must work on a machine that has no root certificates.
fn client_for(endpoint: Option<&str>) -> SharedHttpClient {
    match endpoint {
        Some(url) if url.starts_with("http://") => aws_smithy_http_client::Builder::new().build_http(),
        _ => https_client(),
    }
}

fn https_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(region: &str, endpoint: Option<&str>, timeout: Duration) -> AwsConfig {
        AwsConfig {
            region: region.to_owned(),
            endpoint_url: endpoint.map(str::to_owned),
            call_timeout: timeout,
        }
    }

    #[test]
    fn settings_that_no_call_could_use_are_refused_by_their_key() {
        let second = Duration::from_secs(1);
        for (config, key) in [
            (config("", None, second), "provider.aws.region"),
            (config("Europe (Ireland)", None, second), "provider.aws.region"),
            (config("eu-west-1", Some("127.0.0.1:5000"), second), "provider.aws.endpoint_url"),
            (config("eu-west-1", Some("ftp://host"), second), "provider.aws.endpoint_url"),
            (config("eu-west-1", None, Duration::ZERO), "provider.aws.call_timeout"),
        ] {
            let error = check(&config).expect_err("refused");
            assert!(error.to_string().starts_with(key), "{error}");
        }
        for endpoint in
            [None, Some("http://127.0.0.1:5000"), Some("https://vpce-1.ec2.eu-west-1.vpce.amazonaws.com/")]
        {
            assert_eq!(check(&config("eu-west-1", endpoint, second)), Ok(()));
        }
    }
}
