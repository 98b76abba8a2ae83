//! Where traces go and how, from the environment variables of the OpenTelemetry specification.
//!
//! The specification has a program ignore what it cannot read. Then a mistyped endpoint is a collector that stays empty,
//! which is noticed on the day that a trace is needed. So every value is checked at the start, all that are wrong are said
//! at once, each with what would be right. A header's value is a secret: it is in no message.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderName, HeaderValue};
use url::Url;

use crate::cli::exit::Usage;

/// Reads a variable of the environment.
type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

const SERVICE_NAME: &str = "fleet-scaler";
const MILLISECONDS_MAX: u64 = 60_000;
const QUEUE_DEFAULT: u64 = 2_048;
const QUEUE_MAX: u64 = 65_536;
const BATCH_DEFAULT: u64 = 512;
const DELAY_DEFAULT: u64 = 5_000;
const TIMEOUT_DEFAULT: u64 = 10_000;

/// Where traces go, and how.
#[derive(Debug, PartialEq)]
pub(super) struct Settings {
    /// The whole URL of the collector's traces.
    pub(super) endpoint: Url,
    /// Sent with every request.
    pub(super) headers: Headers,
    /// One export is given up after so long.
    pub(super) timeout: Duration,
    /// How a request is packed.
    pub(super) packing: Packing,
    /// Certificates to trust beside the system's.
    pub(super) certificate: Option<PathBuf>,
    /// Which ticks are traced.
    pub(super) sampling: Sampling,
    /// Who says all this.
    pub(super) resource: BTreeMap<String, String>,
    /// Spans that wait to be sent, at most.
    pub(super) queue: usize,
    /// Spans in one request, at most.
    pub(super) batch: usize,
    /// How long a span may wait for others to be sent with.
    pub(super) delay: Duration,
}

/// Headers. What they say is not for a log.
#[derive(Default, PartialEq)]
pub(super) struct Headers(pub(super) BTreeMap<String, String>);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// How a request is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// Not at all.
    None,
    /// As gzip.
    Gzip,
}

/// Which ticks are traced. A tick has no caller, so what the specification says of a parent comes to the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sampling {
    /// Each.
    All,
    /// None.
    None,
    /// This share of them.
    Share(f64),
}

/// `None`: nobody asks for traces.
pub(super) fn read(env: Env<'_>) -> Result<Option<Settings>, Usage> {
    let mut reader = Reader { env, wrong: Vec::new() };
    let settings = reader.settings();
    if reader.wrong.is_empty() { Ok(settings) } else { Err(Usage(reader.wrong.join("\n       "))) }
}

struct Reader<'a> {
    env: Env<'a>,
    wrong: Vec<String>,
}

impl Reader<'_> {
    fn settings(&mut self) -> Option<Settings> {
        let is_off = self.is_disabled() | self.is_for_nobody();
        let endpoint = self.first(&["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]);
        let (name, value) = endpoint.filter(|_| !is_off)?;
        let endpoint = self.endpoint(name, &value);
        self.protocol();
        let timeouts = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
        let timeout = self.milliseconds(&timeouts, TIMEOUT_DEFAULT);
        let queue = self.number(&["OTEL_BSP_MAX_QUEUE_SIZE"], QUEUE_DEFAULT, 1..=QUEUE_MAX);
        let batch = BATCH_DEFAULT.min(queue);
        let batch = self.number(&["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"], batch, 1..=queue);
        let settings = Settings {
            headers: self.headers(),
            timeout,
            packing: self.packing(),
            certificate: self.certificate(),
            sampling: self.sampling(),
            resource: self.resource(),
            queue: usize::try_from(queue).unwrap_or(usize::MAX),
            batch: usize::try_from(batch).unwrap_or(usize::MAX),
            delay: self.milliseconds(&["OTEL_BSP_SCHEDULE_DELAY"], DELAY_DEFAULT),
            endpoint: endpoint?,
        };
        Some(settings)
    }

    /// The first of these variables that says something. An empty one says nothing.
    fn first(&self, names: &[&'static str]) -> Option<(&'static str, String)> {
        let said = |name: &&'static str| Some((*name, (self.env)(name)?.trim().to_owned()));
        names.iter().filter_map(said).find(|(_, value)| !value.is_empty())
    }

    fn refuse(&mut self, name: &str, what: impl fmt::Display) {
        self.wrong.push(format!("{name}: {what}"));
    }

    fn is_disabled(&mut self) -> bool {
        let Some((name, value)) = self.first(&["OTEL_SDK_DISABLED"]) else { return false };
        match value.to_ascii_lowercase().as_str() {
            "true" => true,
            "false" => false,
            _ => {
                self.refuse(name, format_args!("{value:?} is neither true nor false"));
                false
            }
        }
    }

    fn is_for_nobody(&mut self) -> bool {
        let Some((name, value)) = self.first(&["OTEL_TRACES_EXPORTER"]) else { return false };
        match value.as_str() {
            "none" => true,
            "otlp" => false,
            _ => {
                self.refuse(name, format_args!("there is no exporter {value:?} here; write otlp, or none"));
                false
            }
        }
    }

    fn endpoint(&mut self, name: &str, value: &str) -> Option<Url> {
        const RIGHT: &str = "expected a URL such as http://127.0.0.1:4318";
        let mut url = match Url::parse(value) {
            Ok(url) => url,
            Err(error) => {
                self.refuse(name, format_args!("{error}; {RIGHT}"));
                return None;
            }
        };
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            self.refuse(name, format_args!("{:?} is no scheme of it; {RIGHT}", url.scheme()));
            return None;
        }
        if !url.username().is_empty() || url.password().is_some() {
            self.refuse(name, "a URL is logged, so no password stands in it; use OTEL_EXPORTER_OTLP_HEADERS");
            return None;
        }
        if name == "OTEL_EXPORTER_OTLP_ENDPOINT" {
            // The variable names all signals' collector; each signal has its path below that.
            let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
            url.set_path(&path);
        }
        Some(url)
    }

    fn protocol(&mut self) {
        let names = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
        if let Some((name, value)) = self.first(&names).filter(|(_, value)| value != "http/protobuf") {
            let right = "only http/protobuf is spoken here, which collectors listen for on port 4318";
            self.refuse(name, format_args!("{value:?} is not spoken; {right}"));
        }
    }

    fn packing(&mut self) -> Packing {
        let names = ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"];
        match self.first(&names) {
            Some((_, value)) if value == "gzip" => Packing::Gzip,
            Some((name, value)) if value != "none" => {
                self.refuse(name, format_args!("{value:?} is not known; write gzip, or none"));
                Packing::None
            }
            Some(_) | None => Packing::None,
        }
    }

    fn certificate(&mut self) -> Option<PathBuf> {
        let ours = [
            "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
            "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
            "OTEL_EXPORTER_OTLP_CLIENT_KEY",
        ];
        if let Some((name, _)) = self.first(&ours) {
            self.refuse(
                name,
                "client certificates are not supported; send a token in OTEL_EXPORTER_OTLP_HEADERS",
            );
        }
        let theirs = ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
        self.first(&theirs).map(|(_, path)| PathBuf::from(path))
    }

    fn headers(&mut self) -> Headers {
        let names = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
        let name = self.first(&names).map_or(names[1], |(name, _)| name);
        let pairs = self.pairs(&names, "api-key=SECRET,tenant=ops");
        let mut headers = Headers::default();
        for (position, (key, value)) in pairs.into_iter().enumerate() {
            if HeaderName::try_from(&key).is_ok() && HeaderValue::try_from(&value).is_ok() {
                headers.0.insert(key.to_ascii_lowercase(), value);
            } else {
                let number = position + 1;
                self.refuse(name, format_args!("entry {number} cannot be an HTTP header"));
            }
        }
        headers
    }

    fn resource(&mut self) -> BTreeMap<String, String> {
        let own = [("service.name", SERVICE_NAME), ("service.version", env!("CARGO_PKG_VERSION"))];
        let mut resource: BTreeMap<_, _> =
            own.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        resource
            .extend(self.pairs(&["OTEL_RESOURCE_ATTRIBUTES"], "deployment.environment.name=prod,team=web"));
        if let Some((_, name)) = self.first(&["OTEL_SERVICE_NAME"]) {
            resource.insert("service.name".to_owned(), name);
        }
        resource
    }

    /// A list such as `a=1,b=2`, with `%` before what would end an entry.
    fn pairs(&mut self, names: &[&'static str], right: &str) -> Vec<(String, String)> {
        let Some((name, list)) = self.first(names) else { return Vec::new() };
        let mut pairs = Vec::new();
        let entries = list.split(',').map(str::trim).enumerate();
        for (position, entry) in entries.filter(|(_, entry)| !entry.is_empty()) {
            let pair = entry.split_once('=').and_then(|(key, value)| {
                let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
                Some((key.trim().to_owned(), value.into_owned()))
            });
            match pair.filter(|(key, _)| !key.is_empty()) {
                Some(pair) => pairs.push(pair),
                None => self.refuse(
                    name,
                    format_args!("entry {} is not name=value; write it as in {right}", position + 1),
                ),
            }
        }
        pairs
    }

    fn sampling(&mut self) -> Sampling {
        let Some((name, value)) = self.first(&["OTEL_TRACES_SAMPLER"]) else { return Sampling::All };
        match value.trim_start_matches("parentbased_") {
            "always_on" => Sampling::All,
            "always_off" => Sampling::None,
            "traceidratio" => Sampling::Share(self.share()),
            _ => {
                let right = "write always_on, always_off or traceidratio";
                self.refuse(name, format_args!("there is no sampler {value:?} here; {right}"));
                Sampling::All
            }
        }
    }

    fn share(&mut self) -> f64 {
        let Some((name, value)) = self.first(&["OTEL_TRACES_SAMPLER_ARG"]) else { return 1.0 };
        let share = value.parse().ok().filter(|share| (0.0..=1.0).contains(share));
        if share.is_none() {
            self.refuse(name, format_args!("{value:?} is no share; write a number from 0 to 1, such as 0.1"));
        }
        share.unwrap_or(1.0)
    }

    fn milliseconds(&mut self, names: &[&'static str], default: u64) -> Duration {
        Duration::from_millis(self.number(names, default, 1..=MILLISECONDS_MAX))
    }

    fn number(&mut self, names: &[&'static str], default: u64, range: RangeInclusive<u64>) -> u64 {
        let Some((name, value)) = self.first(names) else { return default };
        let number = value.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            let (from, to) = range.into_inner();
            self.refuse(name, format_args!("{value:?} is not right; write a number from {from} to {to}"));
        }
        number.unwrap_or(default)
    }
}

#[cfg(test)]
mod tests;
