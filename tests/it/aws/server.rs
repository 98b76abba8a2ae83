//! A server that answers as it is told, records what it was asked, and can misbehave in every way a network can.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// One request, as it came.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// Headers by lower-case name.
    pub(super) headers: BTreeMap<String, String>,
    /// The body, byte for byte.
    pub(super) body: String,
}

impl Asked {
    /// The form's parameters.
    pub(super) fn form(&self) -> BTreeMap<String, String> {
        url::form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }

    /// The operation.
    pub(super) fn action(&self) -> String {
        self.form().get("Action").cloned().unwrap_or_default()
    }
}

/// What the server does with one request.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// A proper answer: status, more headers, body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// These bytes, and then the connection is closed.
    Raw(Vec<u8>),
    /// The connection is reset without an answer.
    Reset,
    /// No answer, ever.
    Hang,
    /// Headers at once, and then one byte now and then.
    Drip,
    /// A body without end.
    Endless,
}

impl Reply {
    /// A 200 with this body.
    pub(super) fn ok(body: impl Into<String>) -> Self {
        Self::Answer(200, Vec::new(), body.into())
    }

    /// EC2's error document.
    pub(super) fn ec2_error(status: u16, code: &str, message: &str) -> Self {
        let body = format!(
            "<?xml version=\"1.0\"?>\n<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error>\
             </Errors><RequestID>req-of-the-body</RequestID></Response>"
        );
        Self::Answer(status, Vec::new(), body)
    }

    /// ELBv2's error document.
    pub(super) fn elb_error(status: u16, code: &str, message: &str) -> Self {
        let body = format!(
            "<ErrorResponse xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\"><Error><Type>Sender\
             </Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>req-of-the-body</RequestId>\
             </ErrorResponse>"
        );
        Self::Answer(status, Vec::new(), body)
    }

    /// The same with a header.
    pub(super) fn with(self, name: &'static str, value: impl Into<String>) -> Self {
        match self {
            Self::Answer(status, mut headers, body) => {
                headers.push((name, value.into()));
                Self::Answer(status, headers, body)
            }
            other => other,
        }
    }
}

type Script = dyn Fn(&Asked, usize) -> Reply + Send + Sync;

/// A server on loopback; gone when it is dropped.
pub(super) struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    written: Arc<Mutex<usize>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Answers by script: the request, and how many came before it.
    pub(super) async fn start(script: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::new(Mutex::new(0));
        let script: Arc<Script> = Arc::new(script);
        let state = (asked.clone(), written.clone());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, script.clone(), state.0.clone(), state.1.clone()));
            }
        });
        Self { address, asked, written, task }
    }

    /// Answers everything the same.
    pub(super) async fn always(reply: Reply) -> Self {
        Self::start(move |_, _| reply.clone()).await
    }

    /// What `endpoint_url` is.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that was asked so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Bytes of endless bodies that were taken so far.
    pub(super) fn written(&self) -> usize {
        *self.written.lock().unwrap()
    }
}

async fn serve(
    mut stream: TcpStream,
    script: Arc<Script>,
    asked: Arc<Mutex<Vec<Asked>>>,
    written: Arc<Mutex<usize>>,
) {
    while let Some(request) = read_request(&mut stream).await {
        let index = {
            let mut asked = asked.lock().unwrap();
            asked.push(request.clone());
            asked.len() - 1
        };
        match script(&request, index) {
            Reply::Answer(status, headers, body) => {
                if stream.write_all(render(status, &headers, &body).as_bytes()).await.is_err() {
                    return;
                }
            }
            Reply::Raw(bytes) => {
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                return;
            }
            Reply::Reset => {
                // Closing with unsent data thrown away is what makes it a reset and no orderly end.
                stream.set_zero_linger().unwrap();
                return;
            }
            Reply::Hang => std::future::pending().await,
            Reply::Drip => {
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ncontent-length: 100000\r\n\r\n";
                let _ = stream.write_all(head.as_bytes()).await;
                while stream.write_all(b"<").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                return;
            }
            Reply::Endless => {
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(head.as_bytes()).await;
                let block = vec![b' '; 256 * 1024];
                while stream.write_all(&block).await.is_ok() {
                    *written.lock().unwrap() += block.len();
                }
                return;
            }
        }
    }
}

fn render(status: u16, headers: &[(&'static str, String)], body: &str) -> String {
    let mut text = format!("HTTP/1.1 {status} X\r\ncontent-type: text/xml;charset=UTF-8\r\n");
    for (name, value) in headers {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    let _ = write!(text, "content-length: {}\r\n\r\n{body}", body.len());
    text
}

/// One request, or nothing where the peer is done.
pub(super) async fn read_request(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let headers: BTreeMap<String, String> = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
    while bytes.len() < head_end + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8(bytes[head_end..].to_vec()).unwrap();
    Some(Asked { headers, body })
}
