//! EC2 and ELBv2 over the real SDK.
//!
//! This adapter is thin on purpose: it turns one method of [`CloudProvider`] into the calls it stands for, their
//! answers into our words, and their failures into a class. It decides nothing, remembers nothing and repeats nothing.
//! What it guards against is the SDK doing more, or less, than it was asked to: retries are off, every call has a
//! deadline, a reply is read to its end or is an error, and a launch's bytes depend on its frozen request alone.

mod connect;
mod ec2;
mod elb;
mod error;
mod instance;
mod launch;
mod reply;

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_ec2::config::{Credentials, SharedCredentialsProvider};

pub use crate::provider::aws::connect::ConnectError;

use crate::config::service::AwsConfig;
use crate::domain::failure::{CloudError, FailureClass};
use crate::domain::ids::{InstanceId, LaunchId, OwnerName, SubnetId, TargetGroupArn};
use crate::domain::launch::{RunRequest, TemplateRef};
use crate::domain::tags;
use crate::provider::{
    CloudInstance, CloudProvider, Receipt, RunReply, SubnetInfo, TargetGroup, TargetHealth, TargetId,
};

/// Deadlines of one call that all calls of one method may take together: a read of many pages, a change of many hosts.
const CALLS_PER_METHOD: u32 = 3;

/// EC2 and ELBv2 in one account and region.
#[derive(Clone, Debug)]
pub struct AwsProvider {
    ec2: aws_sdk_ec2::Client,
    elb: aws_sdk_elasticloadbalancingv2::Client,
    deadline: Duration,
}

impl AwsProvider {
    /// Clients with the credentials that every AWS tool would find: environment, profile, web identity, container,
    /// instance metadata. Checks the settings and calls nobody.
    pub async fn connect(config: &AwsConfig) -> Result<Self, ConnectError> {
        Self::build(config, None).await
    }

    /// Clients with these credentials and no others.
    pub async fn connect_as(config: &AwsConfig, credentials: Credentials) -> Result<Self, ConnectError> {
        Self::build(config, Some(SharedCredentialsProvider::new(credentials))).await
    }

    async fn build(
        config: &AwsConfig,
        credentials: Option<SharedCredentialsProvider>,
    ) -> Result<Self, ConnectError> {
        let clients = connect::clients(config, credentials).await?;
        let deadline = config.call_timeout.saturating_mul(CALLS_PER_METHOD);
        Ok(Self { ec2: clients.ec2, elb: clients.elb, deadline })
    }

    /// Each call has its own deadline within the SDK; this one bounds the sum of a method's calls.
    async fn within<T>(&self, work: impl Future<Output = Result<T, CloudError>>) -> Result<T, CloudError> {
        tokio::time::timeout(self.deadline, work).await.unwrap_or_else(|_| {
            let text = format!("not done within {:?}, all its calls together", self.deadline);
            Err(CloudError::new(FailureClass::Unknown, "Timeout", text))
        })
    }
}

#[async_trait]
impl CloudProvider for AwsProvider {
    async fn instances(&self, owner: &OwnerName) -> Result<Vec<CloudInstance>, CloudError> {
        self.within(ec2::instances_tagged(&self.ec2, tags::OWNER, owner.as_str())).await
    }

    async fn instances_of_launch(&self, launch: LaunchId) -> Result<Vec<CloudInstance>, CloudError> {
        self.within(ec2::instances_tagged(&self.ec2, tags::LAUNCH, &launch.to_string())).await
    }

    async fn instances_named(&self, hosts: &[InstanceId]) -> Result<Vec<CloudInstance>, CloudError> {
        self.within(ec2::instances_named(&self.ec2, hosts)).await
    }

    async fn template_version(&self, template: &TemplateRef, version: &str) -> Result<u64, CloudError> {
        self.within(ec2::template_version(&self.ec2, template, version)).await
    }

    async fn subnets(&self, subnets: &[SubnetId]) -> Result<Vec<SubnetInfo>, CloudError> {
        self.within(ec2::subnets(&self.ec2, subnets)).await
    }

    async fn target_group(&self, group: &TargetGroupArn) -> Result<TargetGroup, CloudError> {
        self.within(elb::target_group(&self.elb, group)).await
    }

    async fn target_health(&self, group: &TargetGroupArn) -> Result<Vec<TargetHealth>, CloudError> {
        self.within(elb::target_health(&self.elb, group)).await
    }

    async fn run_instances(&self, request: &RunRequest) -> Result<RunReply, CloudError> {
        self.within(Box::pin(launch::run(&self.ec2, request))).await
    }

    async fn register(&self, group: &TargetGroupArn, hosts: &[InstanceId]) -> Result<Receipt, CloudError> {
        self.within(elb::register(&self.elb, group, hosts)).await
    }

    async fn deregister(&self, group: &TargetGroupArn, targets: &[TargetId]) -> Result<Receipt, CloudError> {
        self.within(elb::deregister(&self.elb, group, targets)).await
    }

    async fn terminate(&self, hosts: &[InstanceId]) -> Result<Receipt, CloudError> {
        self.within(ec2::terminate(&self.ec2, hosts)).await
    }

    async fn may_launch(&self, request: &RunRequest) -> Result<(), CloudError> {
        self.within(Box::pin(launch::may_run(&self.ec2, request))).await
    }
}

/// One receipt for the calls that one method took: every id, for whoever has to ask AWS about one of them.
fn receipt(request_ids: &[String]) -> Receipt {
    Receipt { request_id: (!request_ids.is_empty()).then(|| request_ids.join(",")) }
}

#[cfg(test)]
mod tests {
    use aws_credential_types::provider::error::CredentialsError;
    use aws_credential_types::provider::{ProvideCredentials, future};

    use super::*;

    /// A chain that finds nothing, or one whose last link never answers.
    #[derive(Debug)]
    enum Broken {
        Empty,
        Silent,
    }

    impl ProvideCredentials for Broken {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            match self {
                Self::Empty => future::ProvideCredentials::ready(Err(CredentialsError::not_loaded(
                    "no providers in chain",
                ))),
                Self::Silent => future::ProvideCredentials::new(std::future::pending()),
            }
        }
    }

    async fn read_with(credentials: Broken) -> CloudError {
        let config = AwsConfig {
            region: "eu-west-1".to_owned(),
            endpoint_url: Some("http://127.0.0.1:1".to_owned()),
            call_timeout: Duration::from_millis(500),
        };
        let provider = SharedCredentialsProvider::new(credentials);
        let cloud = AwsProvider::build(&config, Some(provider)).await.expect("the settings are sound");
        cloud.instances(&OwnerName::new("prod-1")).await.expect_err("nobody can sign this")
    }

    #[tokio::test]
    async fn credentials_that_are_not_there_are_no_refusal() {
        let error = read_with(Broken::Empty).await;
        assert_eq!(
            (error.class, error.code.as_str()),
            (FailureClass::Unknown, "CredentialsUnavailable"),
            "{error}"
        );
        assert!(error.message.contains("no providers in chain"), "{error}");
    }

    #[tokio::test]
    async fn a_metadata_service_that_hangs_holds_up_nobody_beyond_the_deadline() {
        let error = read_with(Broken::Silent).await;
        // Which of two equal deadlines strikes first is chance; both say that nothing is known.
        assert_eq!(error.class, FailureClass::Unknown, "{error}");
        assert!(["CredentialsUnavailable", "Timeout"].contains(&error.code.as_str()), "{error}");
    }
}
