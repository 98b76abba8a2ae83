//! The hosts' pages: one listener for each running host, on the host's own loopback address.
//!
//! Linux has all of 127/8 on the loopback device, so that every host can have an address of its own and the same port, as in
//! a real network. The listeners follow the model: there while the host runs, gone when it is dead.

mod faulty;
mod render;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::domain::ids::InstanceId;
use crate::provider::simulated::call::Shared;
use crate::provider::simulated::connection::{Cut, CutListener};

/// How often the listeners are brought in line with the hosts. It is also the model's pulse: what is due happens by then
/// even if nobody asks.
const PULSE: Duration = Duration::from_millis(100);
/// What node_exporter says.
const EXPOSITION: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// One host's page.
#[derive(Clone)]
struct Page {
    shared: Arc<Shared>,
    host: InstanceId,
    /// Cancelled when the host's page is no longer there.
    gone: CancellationToken,
}

/// Keeps the pages in line with the hosts until `stop`. Without a port there are no pages, only the pulse.
pub(super) async fn serve(port: Option<u16>, shared: Arc<Shared>, stop: CancellationToken) {
    let mut pages = Pages { shared, stop, open: BTreeMap::new(), listeners: JoinSet::new() };
    loop {
        let there: BTreeMap<InstanceId, Ipv4Addr> =
            pages.shared.with(|model| model.pages()).into_iter().collect();
        if let Some(port) = port {
            pages.follow(&there, port).await;
        }
        while pages.listeners.try_join_next().is_some() {}
        tokio::select! {
            () = pages.stop.cancelled() => break,
            () = pages.shared.clock.sleep(PULSE) => {}
        }
    }
    while pages.listeners.join_next().await.is_some() {}
}

/// The listeners there are.
struct Pages {
    shared: Arc<Shared>,
    stop: CancellationToken,
    open: BTreeMap<InstanceId, Listening>,
    listeners: JoinSet<()>,
}

/// What became of a host's listener.
enum Listening {
    /// It listens until this is cancelled.
    Open(CancellationToken),
    /// Its address is not to be had. That was said once, and is tried again.
    Refused,
}

impl Pages {
    async fn follow(&mut self, there: &BTreeMap<InstanceId, Ipv4Addr>, port: u16) {
        for (_, listening) in self.open.extract_if(.., |host, _| !there.contains_key(host)) {
            if let Listening::Open(gone) = listening {
                gone.cancel();
            }
        }
        for (host, address) in there {
            if !matches!(self.open.get(host), Some(Listening::Open(_))) {
                self.listen(host, SocketAddr::from((*address, port))).await;
            }
        }
    }

    async fn listen(&mut self, host: &InstanceId, address: SocketAddr) {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                let gone = self.stop.child_token();
                let page = Page { shared: Arc::clone(&self.shared), host: host.clone(), gone: gone.clone() };
                self.listeners.spawn(serve_one(listener, page));
                self.open.insert(host.clone(), Listening::Open(gone));
            }
            Err(error) => {
                if self.open.insert(host.clone(), Listening::Refused).is_none() {
                    tracing::warn!(%host, %address, %error, "the host's page cannot be served; trying on");
                }
            }
        }
    }
}

async fn serve_one(listener: TcpListener, page: Page) {
    let gone = page.gone.clone();
    let host = page.host.clone();
    let router = Router::new().route("/metrics", get(show)).with_state(page);
    let service = router.into_make_service_with_connect_info::<Cut>();
    let served = axum::serve(CutListener(listener), service).with_graceful_shutdown(gone.cancelled_owned());
    if let Err(error) = served.await {
        tracing::warn!(%host, %error, "the host's page is no longer served");
    }
}

async fn show(State(page): State<Page>, ConnectInfo(cut): ConnectInfo<Cut>, headers: HeaderMap) -> Response {
    // A dead host answers nothing, not even on a connection that is still open.
    let Some(view) = page.shared.with(|model| model.page(&page.host)) else {
        cut.now();
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    match view.fault {
        Some(fault) if faulty::replaces_page(fault) => {
            tokio::select! {
                response = faulty::answer(fault, &cut, &view, &page.gone) => response,
                () = page.gone.cancelled() => {
                    cut.now();
                    StatusCode::SERVICE_UNAVAILABLE.into_response()
                }
            }
        }
        _ => respond(render::page(&page.host, &view), &headers),
    }
}

fn respond(text: String, headers: &HeaderMap) -> Response {
    let offers = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let wants_gzip = offers.flat_map(|value| value.split(',')).any(|one| {
        let mut parts = one.split(';').map(str::trim);
        parts.next() == Some("gzip") && parts.all(|weight| weight != "q=0")
    });
    if wants_gzip && let Some(packed) = faulty::gzip(text.as_bytes()) {
        let encoding = (CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        return ([(CONTENT_TYPE, EXPOSITION), encoding], Body::from(packed)).into_response();
    }
    ([(CONTENT_TYPE, EXPOSITION)], text).into_response()
}
