//! Reads `[metrics]`: how hosts and engines are asked, and which signals a fleet has because of it.

use std::collections::BTreeMap;

use crate::config::fleet::read::{MINUTE, SECOND, SHORTEST, refuse_duplicate};
use crate::config::fleet::{HostMetricsConfig, MetricsConfig, QueryConfig, ScrapeConfig, SeriesKind};
use crate::config::reader::numbers::{Count, Flag, Fraction, above, count, span, whole};
use crate::config::reader::text::{Choice, Pairs, Text, parse_http_url, text};
use crate::config::reader::{At, Key, Section, key};
use crate::decide::signal::HOST_SIGNALS;

/// Most queries and most scrapes of one fleet: each costs a call or a lookup on every tick.
const MOST_SOURCES: usize = 50;

/// Words that the expression language keeps for itself.
const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

pub(super) fn read(section: &mut Section<'_, '_>) -> MetricsConfig {
    let host = section.table(key("host", "The page that each host of the fleet serves."), read_host);
    let mut taken = Vec::new();
    let queries = section.each(
        key(
            "query",
            "A question to any engine that speaks the Prometheus query API: one signal of the fleet.",
        ),
        MOST_SOURCES,
        |query| read_query(query, &mut taken),
    );
    let scrapes = section.each(
        key("scrape", "A series of the hosts' own pages, under a name of yours: one signal per host."),
        MOST_SOURCES,
        |scrape| read_scrape(scrape, &mut taken),
    );
    MetricsConfig { host, host_needed: false, queries, scrapes }
}

fn read_host(section: &mut Section<'_, '_>) -> HostMetricsConfig {
    HostMetricsConfig {
        port: section
            .or(key("port", "The port of the hosts' pages."), &PORT, 9100)
            .try_into()
            .unwrap_or(9100),
        path: section.or(
            key("path", "The path of the hosts' pages."),
            &text("/metrics", "^/[!-~]*$", parse_path),
            "/metrics".to_owned(),
        ),
        timeout: section.or(
            key("timeout", "The deadline of one page, from connecting to the last byte."),
            &span(SHORTEST, 10 * MINUTE),
            3 * SECOND,
        ),
        max_bytes: section
            .or(
                key("max_bytes", "Bytes of one page at most, uncompressed."),
                &whole(1_000, 100_000_000),
                4_000_000,
            )
            .try_into()
            .unwrap_or(4_000_000),
        quorum: section.or(
            key("quorum", "Share of in-service hosts whose fresh sample it takes to scale in."),
            &Fraction,
            0.75,
        ),
        allow_loopback: section.or(
            key(
                "allow_loopback",
                "Whether loopback and link-local addresses may be asked: tests on one machine.",
            ),
            &Flag,
            false,
        ),
    }
}

const PORT: Count = count(1, 65_535);

fn parse_path(text: &str) -> Result<String, String> {
    let fits = text.starts_with('/')
        && text.len() <= 1_000
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    fits.then(|| text.to_owned())
        .ok_or_else(|| "is not a path: write one that starts with a slash, such as \"/metrics\"".to_owned())
}

fn read_query(section: &mut Section<'_, '_>, taken: &mut Vec<String>) -> Option<QueryConfig> {
    let name =
        read_signal_name(section, taken, key("name", "The signal's name in conditions.").example("\"qps\""));
    let url = section.required(
        key("url", "The engine's base URL.").example("\"http://prometheus:9090\""),
        &text("http://prometheus:9090", "^https?://.+$", parse_http_url),
    );
    let query = section.required(
        key("query", "PromQL that gives one number.").example("'sum(rate(http_requests_total[1m]))'"),
        &text("sum(rate(http_requests_total[1m]))", "\\S", |text| {
            let fits = !text.trim().is_empty() && text.len() <= 16_384;
            fits.then(|| text.to_owned())
                .ok_or_else(|| "is empty or longer than 16384 bytes: write one PromQL expression".to_owned())
        }),
    );
    let timeout =
        section.or(key("timeout", "The deadline of one answer."), &span(SHORTEST, 10 * MINUTE), 5 * SECOND);
    Some(QueryConfig { name: name?, url: url?.value, query: query?.value, timeout })
}

fn read_scrape(section: &mut Section<'_, '_>, taken: &mut Vec<String>) -> Option<ScrapeConfig> {
    let name =
        read_signal_name(section, taken, key("name", "The signal's name in conditions.").example("\"gpu\""));
    let metric = section.required(
        key("metric", "The metric's name on the page.").example("\"DCGM_FI_DEV_GPU_UTIL\""),
        &text("DCGM_FI_DEV_GPU_UTIL", "^[a-zA-Z_:][a-zA-Z0-9_:]*$", |text| {
            is_name(text, ":").then(|| text.to_owned()).ok_or_else(|| {
                "is not a metric's name: write letters, digits, _ and :, labels go into `labels`".to_owned()
            })
        }),
    );
    let labels = section.or(
        key("labels", "Labels that a series must carry; several that match are summed."),
        &Pairs {
            check_key: |key| {
                is_name(key, "").then_some(()).ok_or_else(|| {
                    "is not a label's name: write letters, digits and _, such as `gpu`".to_owned()
                })
            },
            check_value: |value| {
                (value.len() <= 1_024)
                    .then_some(())
                    .ok_or_else(|| "is longer than 1024 bytes: shorten it".to_owned())
            },
            most: 32,
            example: "gpu = \"0\"",
        },
        BTreeMap::new(),
    );
    let kind = section.or(
        key("kind", "A gauge's value is taken as it stands, a counter's as its rate per second."),
        &Choice(&[("gauge", SeriesKind::Gauge), ("counter", SeriesKind::Counter)]),
        SeriesKind::Gauge,
    );
    let scale = section.or(key("scale", "Multiplies the value."), &above(0.0, 1e15), 1.0);
    let port = section.optional(key("port", "The page's port; without it that of metrics.host."), &PORT);
    Some(ScrapeConfig {
        name: name?,
        metric: metric?.value,
        labels,
        kind,
        scale,
        port: port.and_then(|port| port.value.try_into().ok()),
    })
}

/// A name that conditions can use, taken by nothing else.
fn read_signal_name(section: &mut Section<'_, '_>, taken: &mut Vec<String>, key: Key) -> Option<String> {
    let name: At<String> = section.required(key, &SIGNAL_NAME)?;
    refuse_duplicate(section, taken, &name);
    Some(name.value)
}

const SIGNAL_NAME: Text<String> = text("qps", "^[a-zA-Z_][a-zA-Z0-9_]{0,63}$", |text| {
    if HOST_SIGNALS.contains(&text) || text == "hosts" {
        return Err(format!("{text:?} is a signal that every fleet has already: choose another name"));
    }
    if RESERVED.contains(&text) {
        return Err(format!("{text:?} is a word of the expression language: choose another name"));
    }
    if text.len() > 64 || !is_name(text, "") {
        return Err("cannot be used in conditions: write letters, digits and _, such as \"qps\"".to_owned());
    }
    Ok(text.to_owned())
});

/// Letters, digits, `_` and `more`, not starting with a digit.
fn is_name(text: &str, more: &str) -> bool {
    text.len() <= 256
        && text.chars().next().is_some_and(|c| !c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || more.contains(c))
}
