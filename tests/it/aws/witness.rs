//! The simulated cloud's HTTP front against moto: the same SDK calls, answers of the same shape.
//!
//! Both were written from AWS's documents by different people, and neither has read the other. A recorder stands between
//! the SDK and each of them; what it compares is the form of the answers, not what is in them: root element, namespace,
//! media type, and the path of every element. The front may leave out what no scaler reads; whatever it does say must be
//! where moto says it too, or the SDK would look for it elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleet_scaler::clock::SystemClock;
use fleet_scaler::domain::ids::TargetGroupArn;
use fleet_scaler::domain::launch::TemplateRef;
use fleet_scaler::provider::simulated::SimulatedCloud;
use fleet_scaler::provider::simulated::options::{CloudOptions, DEFAULT_TARGET_GROUP, DEFAULT_TEMPLATE};
use quick_xml::events::{BytesStart, Event};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::connect;
use super::moto::{Moto, World, life_of_a_host, what_is_missing, world};
use super::server::{Asked, read_request};

/// The form of all answers to one operation, successes and refusals apart.
#[derive(Debug, Default)]
struct Form {
    media_types: BTreeSet<String>,
    roots: BTreeSet<String>,
    statuses: BTreeSet<u16>,
    paths: BTreeSet<String>,
}

/// By operation, and whether it was refused.
type Forms = BTreeMap<(String, bool), Form>;

/// Passes everything on, and notes the form of every answer.
struct Recorder {
    address: SocketAddr,
    forms: Arc<Mutex<Forms>>,
    task: JoinHandle<()>,
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Recorder {
    async fn start(upstream: &str) -> Self {
        let upstream: SocketAddr = upstream.trim_start_matches("http://").parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let forms = Arc::new(Mutex::new(Forms::new()));
        let noted = forms.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(pass_on(stream, upstream, noted.clone()));
            }
        });
        Self { address, forms, task }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn into_forms(self) -> Forms {
        std::mem::take(&mut self.forms.lock().unwrap())
    }
}

/// One request a connection: the answer then ends where the connection does.
async fn pass_on(mut client: TcpStream, upstream: SocketAddr, forms: Arc<Mutex<Forms>>) {
    let Some(asked) = read_request(&mut client).await else { return };
    let mut server = TcpStream::connect(upstream).await.unwrap();
    let mut request = String::from("POST / HTTP/1.1\r\nconnection: close\r\n");
    for (name, value) in asked.headers.iter().filter(|(name, _)| *name != "connection") {
        let _ = write!(request, "{name}: {value}\r\n");
    }
    let _ = write!(request, "\r\n{}", asked.body);
    server.write_all(request.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    server.read_to_end(&mut reply).await.unwrap();
    note(&asked, &String::from_utf8_lossy(&reply), &mut forms.lock().unwrap());
    let _ = client.write_all(&reply).await;
}

fn note(asked: &Asked, reply: &str, forms: &mut Forms) {
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
    let media_type = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        .map(|(_, value)| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    let form = forms.entry((asked.action(), status >= 400)).or_default();
    form.statuses.insert(status);
    form.media_types.extend(media_type);
    let mut reader = quick_xml::Reader::from_str(body);
    let mut path: Vec<String> = Vec::new();
    loop {
        let (event, stays) = match reader.read_event().unwrap() {
            Event::Start(start) => (start, true),
            Event::Empty(start) => (start, false),
            Event::End(_) => {
                path.pop();
                continue;
            }
            Event::Eof => return,
            _ => continue,
        };
        let name = String::from_utf8(event.name().as_ref().to_vec()).unwrap();
        if path.is_empty() {
            form.roots.insert(format!("{name} {}", namespace(&event, &name)));
        }
        path.push(name);
        form.paths.insert(path.join("/"));
        if !stays {
            path.pop();
        }
    }
}

/// AWS's own documents end EC2's namespace with a slash, and give its refusals none; moto does neither. The SDK looks at
/// local names only, so neither of the two is wrong.
fn namespace(start: &BytesStart<'_>, root: &str) -> String {
    let given = start.try_get_attribute("xmlns").unwrap();
    let given = given.map(|attribute| String::from_utf8(attribute.value.into_owned()).unwrap());
    if root == "Response" {
        String::new()
    } else {
        given.unwrap_or_default().trim_end_matches('/').to_owned()
    }
}

async fn told_by(url: &str, world: &World) -> Forms {
    let recorder = Recorder::start(url).await;
    let cloud = connect(&recorder.url(), Duration::from_secs(30)).await;
    life_of_a_host(&cloud, world).await;
    what_is_missing(&cloud, world).await;
    recorder.into_forms()
}

#[tokio::test]
async fn the_simulated_cloud_and_moto_answer_in_the_same_shape() {
    let moto = Moto::start().await;
    let of_moto = world(moto.url()).await;

    let stop = CancellationToken::new();
    let options =
        CloudOptions::default().instant().with_host_port(None).with_listen("127.0.0.1:0".parse().unwrap());
    let subnets = options.subnets.keys().cloned().collect();
    let front = SimulatedCloud::start(options, Arc::new(SystemClock), &stop).await.unwrap();
    let of_front = World {
        template: TemplateRef::Id(DEFAULT_TEMPLATE.to_owned()),
        subnets,
        group: TargetGroupArn::new(DEFAULT_TARGET_GROUP),
    };

    let moto = told_by(moto.url(), &of_moto).await;
    let front = told_by(&format!("http://{}", front.addr.unwrap()), &of_front).await;

    let asked = |forms: &Forms| forms.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(asked(&front), asked(&moto), "the same calls, answered and refused alike");
    assert!(front.len() >= 15, "{:?}", asked(&front));
    let mut complaints = Vec::new();
    for (call, ours) in &front {
        let theirs = &moto[call];
        if ours.roots != theirs.roots {
            complaints.push(format!("{call:?}: the root is {:?}, moto's {:?}", ours.roots, theirs.roots));
        }
        if ours.media_types != theirs.media_types {
            complaints
                .push(format!("{call:?}: it is {:?}, moto's {:?}", ours.media_types, theirs.media_types));
        }
        if ours.statuses != theirs.statuses {
            complaints
                .push(format!("{call:?}: the status is {:?}, moto's {:?}", ours.statuses, theirs.statuses));
        }
        complaints
            .extend(ours.paths.difference(&theirs.paths).map(|path| format!("{call:?}: moto has no {path}")));
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
