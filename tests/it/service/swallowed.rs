//! Commits whose answer is lost: the transaction is there, and whoever made it does not know.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fleet_scaler::config::service::SecretUrl;
use fleet_scaler::store::OperatorActionKind;
use fleet_scaler::store::postgres::PostgresStore;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::service::drains::operator;
use crate::service::world::{FLEET, World, fleet, quick_cloud, turn_until};
use crate::support::{TestCluster, TestDatabase};

/// How Postgres says that a transaction is committed.
const COMMITTED: &[u8] = b"C\0\0\0\x0bCOMMIT\0";
/// After so many commits each, the answer to the next one is swallowed and the connection closed. Uneven, because the loop
/// starts its turn afresh after each loss: at an even pace it would be cut off at the same step for ever.
const GAPS: [usize; 8] = [3, 19, 5, 11, 2, 29, 7, 13];

/// When answers are lost, over all connections.
#[derive(Default)]
struct Losses {
    commits: AtomicUsize,
    lost: AtomicUsize,
}

impl Losses {
    fn is_due(&self) -> bool {
        let gap = GAPS[self.lost.load(Ordering::Relaxed) % GAPS.len()];
        if self.commits.fetch_add(1, Ordering::Relaxed) < gap {
            return false;
        }
        self.commits.store(0, Ordering::Relaxed);
        self.lost.fetch_add(1, Ordering::Relaxed);
        true
    }
}

/// A socket between a client and Postgres.
struct Proxy {
    dir: tempfile::TempDir,
    losses: Arc<Losses>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// In front of the server whose sockets are in this folder.
    fn start(sockets: &Path) -> Self {
        let socket = std::fs::read_dir(sockets)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.extension().is_some_and(|end| end == "5432"))
            .expect("the server has a socket");
        let dir = tempfile::Builder::new().prefix("fs_px").tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join(socket.file_name().unwrap())).unwrap();
        let losses = Arc::new(Losses::default());
        let shared = Arc::clone(&losses);
        let task = tokio::spawn(async move {
            let mut passages = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                passages.spawn(pass(client, socket.clone(), Arc::clone(&shared)));
            }
        });
        Self { dir, losses, task }
    }

    fn url(&self, database: &TestDatabase) -> SecretUrl {
        let direct = database.url().reveal();
        let (before, _) = direct.split_once("?host=").expect("the server is spoken to by a socket");
        let host: String =
            url::form_urlencoded::byte_serialize(self.dir.path().to_str().unwrap().as_bytes()).collect();
        SecretUrl::new(format!("{before}?host={host}"))
    }
}

/// Carries one connection, until it ends or an answer to a commit is due to be lost.
async fn pass(client: UnixStream, socket: PathBuf, losses: Arc<Losses>) {
    let server = UnixStream::connect(socket).await.unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut asking = JoinSet::new();
    asking.spawn(async move { drop(tokio::io::copy(&mut from_client, &mut to_server).await) });
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from_server.read(&mut bytes).await {
        let committed = bytes[..read].windows(COMMITTED.len()).any(|window| window == COMMITTED);
        if committed && losses.is_due() {
            return;
        }
        if to_client.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_whose_answer_is_lost_are_neither_lost_nor_made_twice() {
    let proxy = Proxy::start(TestCluster::shared().await.server().socket_dir());
    let database = TestDatabase::new().await;
    let url = proxy.url(&database);
    let mut world = World::in_database(database, fleet(FLEET), quick_cloud()).await;
    // Orders are given beside it: what is tried here is the loop.
    operator(&world, OperatorActionKind::SetSize(4)).await;
    let direct = Arc::clone(&world.store);
    world.store = Arc::new(PostgresStore::connect(&url, 5).unwrap());
    let mut runner = world.runner("a");
    world.store = direct;
    turn_until(&mut runner, "four hosts healthy", || async { world.hosts_in("healthy").await == 4 }).await;
    operator(&world, OperatorActionKind::SetSize(2)).await;
    turn_until(&mut runner, "two hosts terminated", || async { world.hosts_in("terminated").await == 2 })
        .await;
    let swallowed = proxy.losses.lost.load(Ordering::Relaxed);
    assert!(swallowed >= GAPS.len(), "only {swallowed} answers were lost: the proxy does not see them");
    assert_eq!(world.ever_launched(), 4, "bought once");
    assert_eq!(world.alive(), 2);
    assert_eq!(double_answers(&world).await, 0, "a decision was written twice");
    world.check_promises().await;
}

/// Decisions that changed the size by the same request.
async fn double_answers(world: &World) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT action_id FROM scaler.operator_answer GROUP BY 1 HAVING count(*) > 1) twice",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap()
}
