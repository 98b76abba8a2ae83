//! Servers that answer as a test says, well or badly, and requests to put to them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use fleet_scaler::config::fleet::{HostMetricsConfig, MetricsConfig, QueryConfig, ScrapeConfig, SeriesKind};
use fleet_scaler::domain::ids::{FleetName, InstanceId};
use fleet_scaler::signals::{Harvest, HarvestRequest, ScrapeTarget, SignalFault};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinSet;

/// One answer.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// 200 and this body.
    Page(String),
    /// This status, these header lines, this body.
    Answer(&'static str, &'static str, Vec<u8>),
    /// These bytes, and the connection is closed.
    Raw(Vec<u8>),
    /// A head that promises so many bytes, and bytes until nobody listens.
    Flood(Option<u64>),
    /// The same, compressed: a gzip stream without end.
    Bomb,
    /// A head, then a letter now and then.
    Drip,
    /// One header after another, slowly.
    SlowHead,
    /// Nothing.
    Hang,
}

/// A running server; it stops when dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    counts: Arc<Counts>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    requests: AtomicUsize,
    sent: AtomicUsize,
    last_head: std::sync::Mutex<String>,
}

impl Server {
    /// Serves the replies in turn, the last one from then on.
    pub(super) async fn start(address: SocketAddr, replies: Vec<Reply>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let counts = Arc::new(Counts::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, replies, Arc::clone(&counts)));
        Ok(Self { address, counts, _tasks: tasks })
    }

    pub(super) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    pub(super) fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }

    pub(super) fn sent(&self) -> usize {
        self.counts.sent.load(Ordering::SeqCst)
    }

    pub(super) fn last_head(&self) -> String {
        self.counts.last_head.lock().unwrap().clone()
    }
}

async fn accept(listener: TcpListener, replies: Vec<Reply>, counts: Arc<Counts>) {
    // The connections' tasks end with this one.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        counts.connections.fetch_add(1, Ordering::SeqCst);
        let (replies, counts) = (replies.clone(), Arc::clone(&counts));
        connections.spawn(async move {
            let _ = serve(stream, &replies, &counts).await;
        });
    }
}

async fn serve(mut stream: TcpStream, replies: &[Reply], counts: &Counts) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        *counts.last_head.lock().unwrap() = String::from_utf8_lossy(&head).into_owned();
        let number = counts.requests.fetch_add(1, Ordering::SeqCst);
        let reply = &replies[number.min(replies.len() - 1)];
        match reply {
            Reply::Page(page) => answer(&mut stream, "200 OK", "", page.as_bytes()).await?,
            Reply::Answer(status, headers, body) => answer(&mut stream, status, headers, body).await?,
            Reply::Raw(bytes) => return stream.write_all(bytes).await,
            Reply::Flood(length) => return flood(&mut stream, *length, counts).await,
            Reply::Bomb => return bomb(&mut stream, counts).await,
            Reply::Drip => {
                return drip(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", "#").await;
            }
            Reply::SlowHead => return drip(&mut stream, "HTTP/1.1 200 OK\r\n", "x-more: y\r\n").await,
            Reply::Hang => std::future::pending().await,
        }
    }
}

async fn answer(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).await
}

async fn flood(stream: &mut TcpStream, length: Option<u64>, counts: &Counts) -> std::io::Result<()> {
    let head = length.map_or(String::new(), |length| format!("content-length: {length}\r\n"));
    stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n").as_bytes()).await?;
    let chunk = b"node_load1 1\n".repeat(1000);
    for _ in 0..length.unwrap_or(u64::MAX) / chunk.len() as u64 {
        stream.write_all(&chunk).await?;
        counts.sent.fetch_add(chunk.len(), Ordering::SeqCst);
    }
    Ok(())
}

async fn bomb(stream: &mut TcpStream, counts: &Counts) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n").await?;
    let member = gzip(&vec![b'\n'; 10_000_000]);
    loop {
        stream.write_all(&member).await?;
        counts.sent.fetch_add(member.len(), Ordering::SeqCst);
    }
}

async fn drip(stream: &mut TcpStream, head: &str, drop: &str) -> std::io::Result<()> {
    stream.write_all(head.as_bytes()).await?;
    loop {
        stream.write_all(drop.as_bytes()).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(super) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// Hosts of one fleet: one port, an address each.
pub(super) struct Farm {
    pub(super) port: u16,
    pub(super) servers: Vec<Server>,
}

impl Farm {
    /// Starts a host for each list of replies.
    pub(super) async fn start(hosts: Vec<Vec<Reply>>) -> Self {
        // A network of loopback for each farm, so that farms of tests that run side by side do not meet.
        static FARMS: AtomicU32 = AtomicU32::new(1);
        let farm = FARMS.fetch_add(1, Ordering::SeqCst);
        let base = u32::from(Ipv4Addr::new(127, 77, 0, 0)) + farm * 256;
        'ports: for _ in 0..50 {
            let mut servers: Vec<Server> = Vec::new();
            for (place, replies) in hosts.iter().enumerate() {
                let address = IpAddr::V4(Ipv4Addr::from(base + 1 + u32::try_from(place).unwrap()));
                let port = servers.first().map_or(0, |first| first.address.port());
                let Ok(server) = Server::start(SocketAddr::new(address, port), replies.clone()).await else {
                    // The port that the first host was given is taken at another address.
                    continue 'ports;
                };
                servers.push(server);
            }
            return Self { port: servers[0].address.port(), servers };
        }
        panic!("no port is free at {} loopback addresses", hosts.len());
    }

    pub(super) fn request(&self, fleet: &str, timeout: Duration) -> HarvestRequest {
        let targets =
            self.servers.iter().enumerate().map(|(place, server)| target(place, server.address.ip()));
        request(fleet, targets.collect(), self.port, timeout)
    }
}

/// Very many hosts of one fleet, behind one listener: a test process may not have a file descriptor for each. One crowd
/// at a time, for the same reason.
pub(super) struct Crowd {
    farm: Farm,
    _alone: MutexGuard<'static, ()>,
    _tasks: JoinSet<()>,
}

impl Crowd {
    /// Starts a host for each list of replies.
    pub(super) async fn start(hosts: Vec<Vec<Reply>>) -> Self {
        static ALONE: Mutex<()> = Mutex::const_new(());
        let alone = ALONE.lock().await;
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let host = |place: usize| {
            SocketAddr::new(Ipv4Addr::from(CROWD + u32::try_from(place).unwrap()).into(), port)
        };
        let servers = (0..hosts.len()).map(|place| Server {
            address: host(place),
            counts: Arc::default(),
            _tasks: JoinSet::new(),
        });
        let farm = Farm { port, servers: servers.collect() };
        let counts: Vec<_> = farm.servers.iter().map(|server| Arc::clone(&server.counts)).collect();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(SocketAddr::V4(local)) = stream.local_addr() else { continue };
                let place = usize::try_from(u32::from(*local.ip()) - CROWD).unwrap();
                let (replies, counts) = (hosts[place].clone(), Arc::clone(&counts[place]));
                connections.spawn(async move {
                    let _ = serve(stream, &replies, &counts).await;
                });
            }
        });
        Self { farm, _alone: alone, _tasks: tasks }
    }

    pub(super) fn request(&self, fleet: &str, timeout: Duration) -> HarvestRequest {
        self.farm.request(fleet, timeout)
    }
}

/// The first address of a crowd.
const CROWD: u32 = u32::from_be_bytes([127, 99, 0, 1]);

pub(super) fn id(place: usize) -> InstanceId {
    InstanceId::new(format!("i-{place:03}"))
}

pub(super) fn target(place: usize, address: IpAddr) -> ScrapeTarget {
    ScrapeTarget { host: id(place), address }
}

pub(super) fn request(fleet: &str, hosts: Vec<ScrapeTarget>, port: u16, timeout: Duration) -> HarvestRequest {
    HarvestRequest {
        fleet: FleetName::new(fleet),
        hosts,
        metrics: MetricsConfig {
            host: HostMetricsConfig {
                port,
                path: "/metrics".to_owned(),
                timeout,
                max_bytes: 4_000_000,
                quorum: 0.75,
                allow_loopback: true,
            },
            host_needed: true,
            queries: Vec::new(),
            scrapes: Vec::new(),
        },
        now: now(),
    }
}

#[allow(clippy::disallowed_methods, reason = "real engines date their answers by the real time")]
pub(super) fn now() -> DateTime<Utc> {
    Utc::now()
}

pub(super) fn gauge(name: &str, port: Option<u16>) -> ScrapeConfig {
    ScrapeConfig {
        name: name.to_owned(),
        metric: name.to_owned(),
        labels: BTreeMap::new(),
        kind: SeriesKind::Gauge,
        scale: 1.0,
        port,
    }
}

pub(super) fn query(name: &str, url: &str, query: &str, timeout: Duration) -> QueryConfig {
    QueryConfig { name: name.to_owned(), url: url.parse().unwrap(), query: query.to_owned(), timeout }
}

/// A host's page: so many seconds idle and busy, and a quarter of the memory in use.
pub(super) fn page(idle: f64, busy: f64) -> String {
    format!(
        "# TYPE node_cpu_seconds_total counter\nnode_cpu_seconds_total{{cpu=\"0\",mode=\"idle\"}} {idle}\n\
         node_cpu_seconds_total{{cpu=\"0\",mode=\"user\"}} {busy}\nnode_load1 0.5\n\
         node_memory_MemAvailable_bytes 750\nnode_memory_MemTotal_bytes 1000\n"
    )
}

/// Two pages between which a host was busy for this share of the time.
pub(super) fn pages(share: f64) -> Vec<Reply> {
    vec![
        Reply::Page(page(1000.0, 500.0)),
        Reply::Page(page(1000.0 + 10.0 * (1.0 - share), 500.0 + 10.0 * share)),
    ]
}

/// The value of a host's signal, if it has one.
pub(super) fn value(harvest: &Harvest, place: usize, signal: &str) -> Option<f64> {
    harvest.hosts.get(&id(place)).and_then(|signals| signals.get(signal)).copied()
}

/// The faults of a host.
pub(super) fn faults(harvest: &Harvest, place: usize) -> Vec<&SignalFault> {
    harvest.faults.iter().filter(|fault| fault.source == id(place).as_str()).collect()
}

/// The classes of a host's faults, but for what a page does not offer or offers for the first time.
pub(super) fn classes(harvest: &Harvest, place: usize) -> Vec<&'static str> {
    let told = faults(harvest, place).into_iter().map(|fault| fault.class);
    told.filter(|class| *class != "no_data" && *class != "first").collect()
}

pub(super) fn assert_close(found: Option<f64>, expected: f64) {
    assert!(found.is_some_and(|found| (found - expected).abs() < 1e-6), "{found:?} is not {expected}");
}
