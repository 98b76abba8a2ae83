//! A service within the test: two fleets, of which the loop looks after both, and whatever the API is to be asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fleet_scaler::clock::SystemClock;
use fleet_scaler::domain::ids::ReplicaId;
use fleet_scaler::entropy::ChaChaEntropy;
use fleet_scaler::http::access::{Door, Keeper};
use fleet_scaler::http::api::Api;
use fleet_scaler::http::metrics::MetricsPage;
use fleet_scaler::http::{Pages, Startup};
use fleet_scaler::provider::simulated::options::CloudOptions;
use fleet_scaler::provider::simulated::{CloudHandle, SimulatedCloud};
use fleet_scaler::reconcile::control::Control;
use fleet_scaler::reconcile::health::Health;
use fleet_scaler::reconcile::{Parts, driver};
use fleet_scaler::signals::live::LiveSignals;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cli::program::{Folder, WEB, service_file};
use crate::support::TestDatabase;

/// What is asked of a fleet takes one tick, on any machine that is alive.
const PATIENCE: Duration = Duration::from_mins(1);

/// The service, as far as the API is concerned.
pub(super) struct Site {
    pub(super) address: SocketAddr,
    pub(super) folder: Folder,
    pub(super) database: TestDatabase,
    pub(super) stop: CancellationToken,
    client: reqwest::Client,
    /// Ends with it.
    pub(super) tasks: JoinSet<()>,
    _cloud: CloudHandle,
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: reqwest::header::HeaderMap,
    pub(super) body: Value,
}

impl Answer {
    /// The same, having this status.
    #[track_caller]
    pub(super) fn with(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        if self.status.is_client_error() || self.status.is_server_error() {
            assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
            assert_eq!(self.body["status"], status, "{self:?}");
        }
        self.body
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

impl Site {
    /// A site whose API needs no token, with two healthy hosts in fleet `web`.
    pub(super) async fn new() -> Self {
        let site = Self::with_tokens(None).await;
        site.until("/fleets/web", |fleet| fleet["hosts"]["healthy"] == 2).await;
        site
    }

    /// A site with this tokens file.
    pub(super) async fn with_tokens(tokens: Option<&str>) -> Self {
        let database = TestDatabase::new().await;
        let folder = Folder::new(&service_file(database.url().reveal(), "127.0.0.1:0"), WEB);
        let db = WEB.replace("\"web\"", "\"db\"").replace("min = 2", "min = 0");
        std::fs::write(folder.join("fleets/db.toml"), db).unwrap();
        let keeper = tokens.map(|text| {
            let file = folder.join("tokens.toml");
            std::fs::write(&file, text).unwrap();
            Keeper::open(file).unwrap()
        });
        let clock = Arc::new(SystemClock);
        let options = CloudOptions::default().instant().with_host_port(None);
        let cloud = SimulatedCloud::start(options, clock.clone(), &CancellationToken::new()).await.unwrap();
        let store = database.store();
        let parts = Parts {
            replica: ReplicaId::new("test-1"),
            clock: clock.clone(),
            entropy: Arc::new(ChaChaEntropy::from_os()),
            cloud: cloud.cloud.clone(),
            signals: Arc::new(LiveSignals::new().unwrap()),
            store: Arc::new(store.clone()),
        };
        let configuration = fleet_scaler::config::load(folder.path(), &|_| None).unwrap();
        let control = Arc::new(Control::new(configuration));
        let (health, startup) = (Arc::new(Health::new(clock.clone())), Arc::new(Startup::waiting("")));
        let stop = CancellationToken::new();
        let door = Door::new(clock.clone(), keeper);
        let api =
            Api::new(startup.clone(), control.clone(), clock, parts.entropy.clone(), door, stop.clone());
        api.serve(Arc::new(store.clone()), parts.replica.clone());
        startup.done();
        let (health_page, api) = (health.clone(), Arc::new(api));
        let pages = Pages { startup, health: health_page, metrics: metrics(), api, identity: None };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        let (dir, reload) = (folder.path().to_owned(), Arc::new(Notify::new()));
        tasks.spawn(driver::run(parts, control, dir, health, reload, stop.clone()));
        let closing = stop.clone();
        tasks.spawn(async move { fleet_scaler::http::serve(listener, pages, closing).await.unwrap() });
        let client = client();
        Self { address, folder, database, stop, client, tasks, _cloud: cloud }
    }

    /// A request that is not sent yet.
    pub(super) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("http://{}/api/v1{path}", self.address))
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).json(body)).await
    }

    /// The same, under a key.
    pub(super) async fn post_as(&self, key: &str, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).header("idempotency-key", key).json(body)).await
    }

    /// Asks until the answer is as wanted.
    pub(super) async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let answer = self.get(path).await;
            if answer.status.is_success() && wanted(&answer.body) {
                return answer.body;
            }
            assert!(start.elapsed() < PATIENCE, "{path} does not become what is wanted: {answer:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The crate that asks wants to be told which cryptography there is, though nothing here is encrypted.
pub(super) fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// One recorder a process: every site of these tests shows the same metrics.
fn metrics() -> MetricsPage {
    use std::sync::OnceLock;
    static PAGE: OnceLock<MetricsPage> = OnceLock::new();
    PAGE.get_or_init(|| MetricsPage::install().unwrap()).clone()
}

pub(super) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("it is JSON") };
    Answer { status, headers, body }
}
