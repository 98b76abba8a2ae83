//! A way to the database that fails as networks do: every connection cut at once, or the answer to a COMMIT swallowed, so
//! that the work is done and nobody is told.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Longest run of bytes that is looked at together; a COMMIT is one message of a dozen bytes, sent alone.
const CHUNK: usize = 16 * 1024;

/// Between one program and Postgres. Dropped, it is gone, and so are its connections.
pub(crate) struct Proxy {
    url: String,
    faults: Arc<Faults>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Faults {
    cut: Notify,
    /// So many answers to a COMMIT are still to be swallowed.
    to_swallow: AtomicUsize,
    swallowed: AtomicUsize,
}

impl Proxy {
    /// Stands before the database of this URL, which names a socket's folder.
    pub(crate) async fn before(url: &str) -> Self {
        let (rest, host) = url.split_once("?host=").unwrap();
        let folder: String = url::form_urlencoded::parse(format!("host={host}").as_bytes())
            .map(|(_, value)| value.into_owned())
            .collect();
        let socket = PathBuf::from(folder).join(".s.PGSQL.5432");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = rest.replace("@localhost/", &format!("@{address}/")) + "?sslmode=disable";
        let faults = Arc::new(Faults::default());
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&faults);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(carry(client, socket.clone(), Arc::clone(&shared)));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { url, faults, _tasks: tasks }
    }

    /// For the program behind it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Cuts every connection that is open now.
    pub(crate) fn cut(&self) {
        self.faults.cut.notify_waiters();
    }

    /// Lets so many more COMMITs through without their answer, and closes their connections.
    pub(crate) fn swallow(&self, answers: usize) {
        self.faults.to_swallow.store(answers, Ordering::SeqCst);
    }

    /// How many answers were swallowed.
    pub(crate) fn swallowed(&self) -> usize {
        self.faults.swallowed.load(Ordering::SeqCst)
    }
}

async fn carry(client: TcpStream, socket: PathBuf, faults: Arc<Faults>) {
    let Ok(server) = UnixStream::connect(socket).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let upwards = async {
        let mut bytes = vec![0; CHUNK];
        while let Ok(length @ 1..) = from_client.read(&mut bytes).await {
            let swallow = is_commit(&bytes[..length]) && faults.take_one();
            if to_server.write_all(&bytes[..length]).await.is_err() {
                return;
            }
            if swallow {
                // Postgres finishes what it was asked before it notices that nobody listens.
                faults.swallowed.fetch_add(1, Ordering::SeqCst);
                return;
            }
        }
    };
    let downwards = async {
        let mut bytes = vec![0; CHUNK];
        while let Ok(length @ 1..) = from_server.read(&mut bytes).await {
            if to_client.write_all(&bytes[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = upwards => {}
        () = downwards => {}
        () = faults.cut.notified() => {}
    }
}

/// Whether this is a simple query that says COMMIT, in Postgres's protocol.
fn is_commit(bytes: &[u8]) -> bool {
    bytes.first() == Some(&b'Q') && bytes.windows(6).any(|word| word == b"COMMIT")
}

impl Faults {
    fn take_one(&self) -> bool {
        self.to_swallow.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}
