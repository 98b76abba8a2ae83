//! The parser of metrics pages: whatever comes, an answer that can be relied on.
//!
//! A page that is accepted, printed again from what was read of it, reads the same: nothing was lost, invented or taken
//! for something else. What is refused is refused whoever asks, at a line that exists, in words that fit on one line.

use std::fmt::Write as _;

use fleet_scaler::signals::exposition::{
    ExpositionError, LABELS_MAX, LINE_BYTES_MAX, LINES_MAX, Summary, Wanted, scan,
};

/// Characters of an error at most, the stranger's text in it included.
const MESSAGE_CHARS_MAX: usize = 600;

/// One sample with everything that may differ between two; the value as bits, so that NaN equals itself.
#[derive(Debug, PartialEq)]
pub(super) struct Plain {
    name: String,
    labels: Vec<(String, String)>,
    identity: u64,
    value: u64,
    timestamp: Option<i64>,
}

/// Holds any bytes to the property.
pub(super) fn check(page: &[u8]) {
    let nobody = scan(page, &Wanted::default(), |_, _| panic!("nothing was asked for"));
    let samples = match (try_read(page), nobody) {
        (Ok((summary, samples)), Ok(unasked)) => {
            assert_eq!(summary, unasked, "what is asked for changes what is there");
            assert_eq!(summary.samples, samples.len(), "a sample was not given out, or twice");
            samples
        }
        (Err(error), Err(unasked)) => {
            assert_eq!(error, unasked, "what is asked for changes what is wrong");
            return check_error(page, &error);
        }
        (asked, unasked) => panic!("asked: {asked:?}; not asked: {unasked:?}"),
    };
    let printed = print(&samples);
    if printed.lines().all(|line| line.len() <= LINE_BYTES_MAX) {
        same_again(&samples, &read(printed.as_bytes()));
    }
}

/// Two readings that must be one.
pub(super) fn same_again(samples: &[Plain], again: &[Plain]) {
    assert_eq!(samples.len(), again.len());
    for (sample, again) in samples.iter().zip(again) {
        assert_eq!(sample, again);
    }
}

fn check_error(page: &[u8], error: &ExpositionError) {
    let lines = page.split(|byte| *byte == b'\n').count();
    assert!((1..=lines).contains(&error.line), "{error}: the page has {lines} lines");
    let message = error.to_string();
    assert!(message.chars().count() <= MESSAGE_CHARS_MAX, "{message}");
    assert!(!message.contains(char::is_control), "{message:?}");
}

/// Every sample of a page that is valid.
pub(super) fn read(page: &[u8]) -> Vec<Plain> {
    try_read(page).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(page))).1
}

fn try_read(page: &[u8]) -> Result<(Summary, Vec<Plain>), ExpositionError> {
    let wanted = Wanted::new(names(page));
    let mut samples = Vec::new();
    let summary = scan(page, &wanted, |family, sample| {
        assert_eq!(wanted.names()[family], sample.name);
        let labels: Vec<(String, String)> =
            sample.labels.iter().map(|label| (label.name.to_owned(), label.value.into_owned())).collect();
        assert!(labels.len() <= LABELS_MAX && sample.line <= LINES_MAX);
        for (name, value) in &labels {
            assert_eq!(sample.labels.get(name).as_deref(), Some(value.as_str()));
        }
        // A NaN prints without its sign and payload.
        let value = if sample.value.is_nan() { f64::NAN } else { sample.value };
        samples.push(Plain {
            name: sample.name.to_owned(),
            labels,
            identity: sample.labels.identity(),
            value: value.to_bits(),
            timestamp: sample.timestamp,
        });
    })?;
    Ok((summary, samples))
}

/// What may be a metric's name: how each line begins.
fn names(page: &[u8]) -> impl Iterator<Item = String> {
    page.split(|byte| *byte == b'\n').map(|line| {
        let line = line.trim_ascii_start();
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':');
        let end = line.iter().position(|byte| !is_name(byte)).unwrap_or(line.len());
        String::from_utf8_lossy(&line[..end]).into_owned()
    })
}

fn print(samples: &[Plain]) -> String {
    let mut page = String::new();
    for sample in samples {
        page.push_str(&sample.name);
        page.push('{');
        for (name, value) in &sample.labels {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(page, "{name}=\"{value}\",");
        }
        let _ = write!(page, "}} {:?}", f64::from_bits(sample.value));
        if let Some(timestamp) = sample.timestamp {
            let _ = write!(page, " {timestamp}");
        }
        page.push('\n');
    }
    page
}
