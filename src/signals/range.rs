//! The Prometheus query API over a span: what a number was, step by step.
//!
//! An engine gives at most 11,000 points to a question, so a long span is asked in parts, one after another. What it
//! gives may have holes: a target that was down, a query that divided by nothing. Short ones are filled with the last
//! number and counted, so that whoever reads the result is told; a long one ends the matter, since a load that is made
//! up is not the load.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

use crate::config::fleet::QueryConfig;
use crate::signals::fault::{Failure, FaultClass, shortened};
use crate::signals::fetch;
use crate::signals::query::{QueryClient, place};

/// Points of one answer; Prometheus refuses to give more.
const POINTS_MAX: u64 = 11_000;
/// Bytes of one answer at most; a point takes some 40.
const ANSWER_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Points of a whole span at most: two years of minutes.
const SPAN_POINTS_MAX: u64 = 1_100_000;

/// A span of time, and how finely it is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first moment, in seconds since 1970.
    pub from: u64,
    /// Its last moment, likewise.
    pub until: u64,
    /// Seconds between two points; not 0.
    pub step: u32,
    /// A hole of at most so many seconds is filled.
    pub fill: u32,
}

impl Span {
    /// How many points it has.
    fn points(&self) -> u64 {
        self.until.saturating_sub(self.from) / u64::from(self.step.max(1)) + 1
    }

    /// How many questions it takes.
    #[must_use]
    pub fn parts(&self) -> u64 {
        self.points().div_ceil(POINTS_MAX)
    }

    /// What is asked at a time: first and last moment of each question.
    fn questions(&self) -> impl Iterator<Item = (u64, u64)> {
        let step = u64::from(self.step.max(1));
        let (from, points) = (self.from, self.points());
        (0..self.parts()).map(move |part| {
            let first = part * POINTS_MAX;
            let last = (first + POINTS_MAX).min(points) - 1;
            (from + first * step, from + last * step)
        })
    }
}

/// What the number was.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// One value a step, without holes.
    pub values: Vec<f64>,
    /// How many of them are not measured but the last one before a hole.
    pub filled: usize,
}

impl QueryClient {
    /// Asks what the number was over a span. `told` is called after each question.
    pub async fn ask_over(
        &self,
        query: &QueryConfig,
        span: Span,
        told: &mut (dyn FnMut() + Send),
    ) -> Result<Series, Failure> {
        if span.points() > SPAN_POINTS_MAX {
            let message =
                format!("{} points are more than {SPAN_POINTS_MAX}; ask for a longer step", span.points());
            return Err(Failure::new(FaultClass::TooLarge, message));
        }
        let mut slots = vec![None; usize::try_from(span.points()).unwrap_or(0)];
        for (from, until) in span.questions() {
            let answer = self.ask_part(query, span.step, from, until).await;
            let points = answer.map_err(|failure| {
                Failure::new(failure.class, format!("{}: {}", place(&query.url), failure.message))
            })?;
            for (at, value) in points {
                put(&mut slots, span, at, value);
            }
            told();
        }
        fill(&slots, span)
    }

    async fn ask_part(
        &self,
        query: &QueryConfig,
        step: u32,
        from: u64,
        until: u64,
    ) -> Result<Vec<(f64, f64)>, Failure> {
        let url = range_url(query, step, from, until)?;
        let client = self.client(&query.url)?;
        fetch::within(Instant::now() + query.timeout, query.timeout, async {
            let response = fetch::send(client.get(url)).await?;
            let status = response.status();
            read(status, &fetch::read_body(response, ANSWER_BYTES_MAX).await?)
        })
        .await
    }
}

fn range_url(query: &QueryConfig, step: u32, from: u64, until: u64) -> Result<Url, Failure> {
    let mut url = super::query::query_url(query)?;
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop().push("query_range");
    }
    url.query_pairs_mut()
        .append_pair("start", &from.to_string())
        .append_pair("end", &until.to_string())
        .append_pair("step", &step.to_string());
    Ok(url)
}

#[derive(Deserialize)]
struct Answer {
    status: String,
    data: Option<Data>,
    #[serde(rename = "errorType")]
    error_type: Option<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Matrix>,
}

#[derive(Deserialize)]
struct Matrix {
    #[serde(default)]
    values: Vec<(f64, String)>,
}

/// Reads an answer for its points; those that are no numbers are holes.
fn read(status: reqwest::StatusCode, body: &[u8]) -> Result<Vec<(f64, f64)>, Failure> {
    let answer: Answer = serde_json::from_slice(body).map_err(|error| {
        if status.is_success() {
            Failure::new(FaultClass::Malformed, format!("not an answer of the Prometheus query API: {error}"))
        } else {
            Failure::new(FaultClass::Status, format!("answered {}", fetch::status_text(status)))
        }
    })?;
    if !status.is_success() || answer.status != "success" {
        let class = shortened(&answer.error_type.unwrap_or_else(|| "no error type".to_owned()));
        let why = shortened(&answer.error.unwrap_or_else(|| "no reason given".to_owned()));
        let message = format!("answered {}: {class}: {why}", fetch::status_text(status));
        return Err(Failure::new(FaultClass::Status, message));
    }
    let series = answer.data.map(|data| data.result).unwrap_or_default();
    if series.len() > 1 {
        let message = format!(
            "the query gives {} series; it must give one: aggregate, for example with sum(…)",
            series.len()
        );
        return Err(Failure::new(FaultClass::Ambiguous, message));
    }
    let points = series.into_iter().flat_map(|series| series.values);
    Ok(points
        .filter_map(|(at, text)| Some((at, text.parse::<f64>().ok().filter(|value| value.is_finite())?)))
        .collect())
}

/// Puts a point where it belongs; one that was not asked for is passed over.
fn put(slots: &mut [Option<f64>], span: Span, at: f64, value: f64) {
    let place = ((at - span.from as f64) / f64::from(span.step.max(1))).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates: what lies outside finds no slot"
    )]
    if place >= 0.0
        && let Some(slot) = slots.get_mut(place as usize)
    {
        *slot = Some(value);
    }
}

/// Fills short holes with the last value. What lies before the first value is cut off: nothing was there yet.
fn fill(slots: &[Option<f64>], span: Span) -> Result<Series, Failure> {
    let Some(first) = slots.iter().position(Option::is_some) else {
        return Err(Failure::new(FaultClass::NoData, "the query gives no number in the whole span"));
    };
    let step = span.step.max(1);
    let most = (span.fill / step) as usize;
    let (mut values, mut filled, mut hole, mut last) = (Vec::with_capacity(slots.len()), 0, 0_usize, 0.0);
    for (place, slot) in slots.iter().enumerate().skip(first) {
        if let Some(value) = slot {
            (hole, last) = (0, *value);
        } else {
            (hole, filled) = (hole + 1, filled + 1);
        }
        if hole > most {
            return Err(too_long(span, place + 1 - hole));
        }
        values.push(last);
    }
    Ok(Series { values, filled })
}

fn too_long(span: Span, since: usize) -> Failure {
    let at = span.from.saturating_add(since as u64 * u64::from(span.step));
    let at = i64::try_from(at).ok().and_then(|at| chrono::DateTime::from_timestamp(at, 0));
    let at = at.map_or_else(|| "somewhere".to_owned(), |at| at.format("%FT%TZ").to_string());
    let most = humantime::format_duration(Duration::from_secs(u64::from(span.fill)));
    let message = format!(
        "from {at} on there is no number for more than {most}, which is the longest hole that is filled; ask for \
         another span, or let the query bridge it, for example with last_over_time(…)"
    );
    Failure::new(FaultClass::NoData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Span = Span { from: 1_000, until: 1_300, step: 60, fill: 120 };

    #[test]
    fn a_long_span_is_asked_in_parts_that_neither_overlap_nor_leave_out() {
        let span = Span { from: 0, until: 60 * 25_000, step: 60, fill: 0 };
        let parts: Vec<_> = span.questions().collect();
        assert_eq!(
            parts,
            [(0, 60 * 10_999), (60 * 11_000, 60 * 21_999), (60 * 22_000, 60 * 25_000)],
            "11,000 points at most in each"
        );
        assert_eq!(SPAN.questions().collect::<Vec<_>>(), [(1_000, 1_300)]);
    }

    #[test]
    fn short_holes_are_filled_and_counted_and_a_late_start_is_cut_off() {
        let slots = [None, Some(1.0), None, None, Some(4.0), None];
        assert_eq!(fill(&slots, SPAN), Ok(Series { values: vec![1.0, 1.0, 1.0, 4.0, 4.0], filled: 3 }));
    }

    #[test]
    fn a_long_hole_is_an_error_that_says_where() {
        let slots = [Some(1.0), None, None, None, Some(4.0)];
        let failure = fill(&slots, SPAN).unwrap_err();
        assert_eq!(failure.class, FaultClass::NoData);
        assert!(failure.message.contains("1970-01-01T00:17:40Z"), "{}", failure.message);
        assert!(failure.message.contains("2m"), "{}", failure.message);
        assert_eq!(fill(&[None, None], SPAN).unwrap_err().class, FaultClass::NoData);
    }

    #[test]
    fn points_go_where_their_time_says() {
        let mut slots = vec![None; 6];
        for (at, value) in [(1_000.0, 1.0), (1_060.2, 2.0), (999_999.0, 9.0), (3.0, 9.0)] {
            put(&mut slots, SPAN, at, value);
        }
        assert_eq!(slots, [Some(1.0), Some(2.0), None, None, None, None]);
    }

    #[test]
    fn what_is_no_number_is_a_hole_and_two_series_are_refused() {
        let ok = reqwest::StatusCode::OK;
        let body = r#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{},"values":[[1,"2"],[2,"NaN"],[3,"+Inf"],[4,"5"]]}]}}"#;
        assert_eq!(read(ok, body.as_bytes()), Ok(vec![(1.0, 2.0), (4.0, 5.0)]));
        let two = r#"{"status":"success","data":{"result":[{"values":[]},{"values":[]}]}}"#;
        assert_eq!(read(ok, two.as_bytes()).unwrap_err().class, FaultClass::Ambiguous);
        let wrong = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
        let failure = read(reqwest::StatusCode::BAD_REQUEST, wrong.as_bytes()).unwrap_err();
        assert!(failure.message.contains("parse error"), "{}", failure.message);
        assert_eq!(read(ok, b"<html>").unwrap_err().class, FaultClass::Malformed);
        let gone = read(reqwest::StatusCode::BAD_GATEWAY, b"<html>").unwrap_err();
        assert!(gone.message.contains("502"), "{}", gone.message);
    }
}
