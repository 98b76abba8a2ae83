//! Pages as no exporter should send them.

use std::io::{self, Write as _};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::{Stream, StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use crate::provider::simulated::connection::Cut;
use crate::provider::simulated::model::faults::PageFault;
use crate::provider::simulated::model::page::PageView;
use crate::provider::simulated::pages::EXPOSITION;

/// One line of filling. Valid, so that a reader cannot dismiss it by its looks.
const LINE: &[u8] = b"filler_total{reason=\"a page can be as long as whoever writes it likes\"} 1\n";
/// Filling goes out in pieces of this size: a gigabyte never lies in memory.
const PIECE: usize = 64 * 1024;
/// The slow page comes at this rhythm, a few bytes each time.
const SLOW: Duration = Duration::from_secs(1);
/// A connection that is kept waiting is given up at last.
const PATIENCE: Duration = Duration::from_mins(10);
/// Where instances ask for their own credentials: no scraper must ever be sent there.
const METADATA: HeaderValue = HeaderValue::from_static("http://169.254.169.254/latest/meta-data/");
const OPENING: &str = "# HELP node_load1 1m load average.\n# TYPE node_load1 gauge\nnode_load1 ";

/// Whether this fault sends something else than the page with other numbers.
pub(super) fn replaces_page(fault: PageFault) -> bool {
    match fault {
        PageFault::Nan | PageFault::Infinite | PageFault::Impossible | PageFault::Frozen => false,
        PageFault::Closed
        | PageFault::Silent
        | PageFault::Hang
        | PageFault::Slow
        | PageFault::Huge { .. }
        | PageFault::GzipBomb { .. }
        | PageFault::Redirect
        | PageFault::Status { .. }
        | PageFault::Malformed
        | PageFault::Empty => true,
    }
}

/// What is sent instead of the page.
pub(super) async fn answer(
    fault: PageFault,
    cut: &Cut,
    view: &PageView,
    gone: &CancellationToken,
) -> Response {
    match fault {
        PageFault::Silent => {
            tokio::time::sleep(PATIENCE).await;
            cut.now();
            StatusCode::REQUEST_TIMEOUT.into_response()
        }
        PageFault::Hang => streamed(stream::iter([OPENING.into()]).chain(stream::once(never())), gone),
        PageFault::Slow => streamed(slowly(view.counters.load1), gone),
        PageFault::Huge { bytes } => streamed(filling(bytes), gone),
        PageFault::GzipBomb { bytes } => {
            let mut response = streamed(packed_filling(bytes), gone);
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            response
        }
        PageFault::Redirect => (StatusCode::FOUND, [(LOCATION, METADATA)]).into_response(),
        PageFault::Status { code } => {
            StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response()
        }
        PageFault::Malformed => {
            let text = format!("{OPENING}0.5\n<html>502 Bad Gateway</html>\nnode_cpu_seconds_total{{cpu=\"0");
            ([(CONTENT_TYPE, EXPOSITION)], text).into_response()
        }
        PageFault::Empty => ([(CONTENT_TYPE, EXPOSITION)], "").into_response(),
        PageFault::Closed
        | PageFault::Nan
        | PageFault::Infinite
        | PageFault::Impossible
        | PageFault::Frozen => {
            cut.now();
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

/// Sends piece after piece; a host that dies meanwhile breaks off in the middle.
fn streamed(pieces: impl Stream<Item = Bytes> + Send + 'static, gone: &CancellationToken) -> Response {
    let died = gone.clone();
    let end = stream::once(std::future::ready(()))
        .filter_map(move |()| std::future::ready(died.is_cancelled().then(|| Err(broken_off()))));
    let whole = pieces.map(Ok::<_, io::Error>).take_until(gone.clone().cancelled_owned()).chain(end);
    ([(CONTENT_TYPE, EXPOSITION)], Body::from_stream(whole)).into_response()
}

fn broken_off() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

async fn never() -> Bytes {
    tokio::time::sleep(PATIENCE).await;
    Bytes::new()
}

/// The beginning of a page, and then digit after digit of one endless number.
fn slowly(load1: f64) -> impl Stream<Item = Bytes> {
    let opening = format!("{OPENING}{load1:.3}");
    let digits = stream::repeat("0").then(|digit| async move {
        tokio::time::sleep(SLOW).await;
        Bytes::from(digit)
    });
    stream::iter([Bytes::from(opening)]).chain(digits.take_until(tokio::time::sleep(PATIENCE)))
}

fn piece() -> Bytes {
    LINE.iter().copied().cycle().take(PIECE / LINE.len() * LINE.len()).collect()
}

fn filling(bytes: u64) -> impl Stream<Item = Bytes> {
    let piece = piece();
    let whole = piece.len() as u64;
    stream::unfold(bytes, move |left| {
        let part = piece.slice(..usize::try_from(left.min(whole)).unwrap_or(piece.len()));
        async move { (left > 0).then(|| (part, left - left.min(whole))) }
    })
}

/// The filling, packed as it goes out: about a thousandth of its size on the wire.
fn packed_filling(bytes: u64) -> impl Stream<Item = Bytes> {
    let encoder = GzEncoder::new(Vec::new(), Compression::best());
    let parts = filling(bytes).map(Some).chain(stream::iter([None]));
    parts.scan(Some(encoder), |encoder, part| {
        let packed = match (part, encoder.as_mut()) {
            // Writing into memory cannot fail.
            (Some(part), Some(open)) => open.write_all(&part).ok().map(|()| std::mem::take(open.get_mut())),
            _ => encoder.take().and_then(|open| open.finish().ok()),
        };
        std::future::ready(packed.map(Bytes::from))
    })
}

/// The whole of it, packed.
pub(super) fn gzip(text: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).ok()?;
    encoder.finish().ok()
}
