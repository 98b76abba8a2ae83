//! A service within the test: the real loop and the real server over a real database and the simulated cloud. By default
//! it has two fleets; whoever wants others, another cloud or another clock says so in a [`Plan`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fleet_scaler::clock::{Clock, SystemClock};
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

/// What a site is made of.
pub(crate) struct Plan {
    pub(crate) database: TestDatabase,
    /// The tokens file, where the API wants one shown.
    pub(crate) tokens: Option<String>,
    /// The fleets' names and files.
    pub(crate) fleets: Vec<(String, String)>,
    /// More lines for the section `[service]`.
    pub(crate) service: String,
    pub(crate) cloud: CloudOptions,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether a loop looks after the fleets, or they are only there to be asked about.
    pub(crate) acts: bool,
}

impl Plan {
    /// Two fleets on a cloud that does everything at once, by the ordinary clock.
    pub(crate) async fn ordinary() -> Self {
        let db = WEB.replace("\"web\"", "\"db\"").replace("min = 2", "min = 0");
        Self {
            database: TestDatabase::new().await,
            tokens: None,
            fleets: vec![("web".to_owned(), WEB.to_owned()), ("db".to_owned(), db)],
            service: String::new(),
            cloud: CloudOptions::default().instant().with_host_port(None),
            clock: Arc::new(SystemClock),
            acts: true,
        }
    }

    fn folder(&self) -> Folder {
        let service = service_file(self.database.url().reveal(), "127.0.0.1:0");
        let more = format!("[service]\n{}", self.service);
        let folder = Folder::new(&service.replace("[service]\n", &more), WEB);
        std::fs::remove_file(folder.join("fleets/web.toml")).unwrap();
        for (name, file) in &self.fleets {
            std::fs::write(folder.join(&format!("fleets/{name}.toml")), file).unwrap();
        }
        folder
    }
}

/// The service, as far as the API is concerned.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) folder: Folder,
    pub(crate) database: TestDatabase,
    pub(crate) stop: CancellationToken,
    client: reqwest::Client,
    /// Ends with it.
    pub(crate) tasks: JoinSet<()>,
    pub(crate) cloud: CloudHandle,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The same, having this status.
    #[track_caller]
    pub(crate) fn with(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        if self.status.is_client_error() || self.status.is_server_error() {
            assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
            assert_eq!(self.body["status"], status, "{self:?}");
        }
        self.body
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

impl Site {
    /// A site whose API needs no token, with two healthy hosts in fleet `web`.
    pub(crate) async fn new() -> Self {
        let site = Self::with_tokens(None).await;
        site.until("/fleets/web", |fleet| fleet["hosts"]["healthy"] == 2).await;
        site
    }

    /// A site with this tokens file.
    pub(crate) async fn with_tokens(tokens: Option<&str>) -> Self {
        let tokens = tokens.map(str::to_owned);
        Self::of(Plan { tokens, ..Plan::ordinary().await }).await
    }

    /// A site as planned.
    pub(crate) async fn of(plan: Plan) -> Self {
        let folder = plan.folder();
        let Plan { database, tokens, cloud, clock, acts, .. } = plan;
        let keeper = tokens.map(|text| {
            let file = folder.join("tokens.toml");
            std::fs::write(&file, text).unwrap();
            Keeper::open(file).unwrap()
        });
        let cloud = SimulatedCloud::start(cloud, clock.clone(), &CancellationToken::new()).await.unwrap();
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
        if acts {
            let (dir, reload) = (folder.path().to_owned(), Arc::new(Notify::new()));
            tasks.spawn(driver::run(parts, control, dir, health, reload, stop.clone()));
        }
        let closing = stop.clone();
        tasks.spawn(async move { fleet_scaler::http::serve(listener, pages, closing).await.unwrap() });
        let client = client();
        Self { address, folder, database, stop, client, tasks, cloud }
    }

    /// A request that is not sent yet.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("http://{}/api/v1{path}", self.address))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).json(body)).await
    }

    /// The same, under a key.
    pub(crate) async fn post_as(&self, key: &str, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).header("idempotency-key", key).json(body)).await
    }

    /// Asks until the answer is as wanted.
    pub(crate) async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
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
pub(crate) fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// One recorder a process: every site of these tests shows the same metrics.
fn metrics() -> MetricsPage {
    use std::sync::OnceLock;
    static PAGE: OnceLock<MetricsPage> = OnceLock::new();
    PAGE.get_or_init(|| MetricsPage::install().unwrap()).clone()
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("it is JSON") };
    Answer { status, headers, body }
}
