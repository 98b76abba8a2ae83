//! What a line of the log says it belongs to: whoever reads one finds the rows, the host, and the request at AWS.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, LazyLock, Mutex};

use serde_json::Value;

use fleet_scaler::provider::simulated::model::api::Op;
use fleet_scaler::provider::simulated::model::faults::Fault;
use fleet_scaler::store::OperatorActionKind;

use crate::service::drains::operator;
use crate::service::world::{FLEET, World, fleet, quick_cloud, turn_until};

/// The lines logged by this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn lines(&self) -> Vec<Value> {
        let bytes = self.0.lock().unwrap();
        bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }

    /// Every line of this sort has these fields, and there is one.
    #[track_caller]
    fn assert_fields(&self, sort: &[(&str, &str)], fields: &[&str]) {
        let is_of_it = |line: &&Value| sort.iter().all(|(key, value)| line[*key] == *value);
        let lines = self.lines();
        let found: Vec<_> = lines.iter().filter(is_of_it).collect();
        assert!(!found.is_empty(), "no line is {sort:?}");
        for line in found {
            assert_eq!(line["fleet"], "web", "{line}");
            for field in fields {
                assert!(line[*field].as_str().is_some_and(|text| !text.is_empty()), "no {field}: {line}");
            }
        }
    }
}

thread_local! {
    /// Where this thread's lines go; `None`: nowhere.
    static HEARD: RefCell<Option<Log>> = const { RefCell::new(None) };
}

/// One subscriber for the whole process, which keeps each thread's lines apart. With one for each test, tracing asks
/// whichever thread comes first to a line whether anybody wants it, and remembers the answer: the thread of another test
/// would say no for this one, and what is told but once would be lost.
static LISTENER: LazyLock<()> = LazyLock::new(|| {
    let of_this_thread = || -> Box<dyn io::Write> {
        match HEARD.with_borrow(Clone::clone) {
            Some(log) => Box::new(log),
            None => Box::new(io::sink()),
        }
    };
    let subscriber =
        tracing_subscriber::fmt().json().flatten_event(true).with_writer(of_this_thread).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
});

/// Listens to its thread for as long as it lives.
struct Listening;

impl Drop for Listening {
    fn drop(&mut self) {
        HEARD.set(None);
    }
}

/// From now on, for this thread, as long as the guard lives.
fn listen() -> (Log, Listening) {
    LazyLock::force(&LISTENER);
    let log = Log::default();
    HEARD.set(Some(log.clone()));
    (log, Listening)
}

fn denied(op: Op) -> Fault {
    let (code, message) = ("UnauthorizedOperation".to_owned(), Some("You are not authorized.".to_owned()));
    Fault::Error {
        op: Some(op),
        zone: None,
        code,
        http_status: None,
        message,
        count: None,
        probability: None,
    }
}

#[tokio::test]
async fn a_read_that_keeps_failing_is_told_once_with_its_request() {
    let (log, _guard) = listen();
    let world = World::new(fleet(FLEET), quick_cloud()).await;
    let mut runner = world.runner("a");
    turn_until(&mut runner, "two hosts", || async { world.hosts_in("healthy").await == 2 }).await;
    // How often that was told of the thing that it was told of most often: single hosts are asked for by their ids, too.
    let of = |message: &str, op: &str| {
        let mut times = BTreeMap::<String, u32>::new();
        let is_of_it = |line: &Value| line["message"] == message && line["op"] == op;
        for line in log.lines().into_iter().filter(is_of_it) {
            *times.entry(line["about"].to_string()).or_default() += 1;
        }
        times.into_values().max().unwrap_or(0)
    };
    assert_eq!(of("cloud read failed", "DescribeInstances"), 0);
    let faults = [world.fault(denied(Op::DescribeInstances)), world.fault(denied(Op::DescribeTargetHealth))];
    // The list of instances is believed for half an interval; then it is asked for again.
    turn_until(&mut runner, "a failure", || async { of("cloud read failed", "DescribeInstances") > 0 }).await;
    for _ in 0..3 {
        runner.tick().await.unwrap();
    }
    for op in ["DescribeInstances", "DescribeTargetHealth"] {
        assert_eq!(of("cloud read failed", op), 1, "{op} failed at every tick: {:?}", log.lines());
        let fields = ["op", "class", "code", "error", "request_id"];
        log.assert_fields(&[("message", "cloud read failed"), ("op", op)], &fields);
    }
    let health = [("message", "cloud read failed"), ("op", "DescribeTargetHealth")];
    log.assert_fields(&health, &["about"]);
    for fault in faults {
        world.cloud.clear_fault(fault).unwrap();
    }
    let answered = |op| of("cloud read is answered again", op);
    turn_until(&mut runner, "an answer", || async {
        answered("DescribeInstances") > 0 && answered("DescribeTargetHealth") > 0
    })
    .await;
    runner.tick().await.unwrap();
    for op in ["DescribeInstances", "DescribeTargetHealth"] {
        assert_eq!(answered(op), 1, "{op}: {:?}", log.lines());
    }
}

#[tokio::test]
async fn a_line_says_what_it_belongs_to() {
    let (log, _guard) = listen();
    let world = World::new(fleet(FLEET), quick_cloud()).await;
    let mut runner = world.runner("a");
    operator(&world, OperatorActionKind::SetSize(3)).await;
    turn_until(&mut runner, "three hosts", || async { world.hosts_in("healthy").await == 3 }).await;
    operator(&world, OperatorActionKind::SetSize(2)).await;
    turn_until(&mut runner, "one goes", || async { world.hosts_in("terminated").await == 1 }).await;
    world.fault(Fault::Capacity { zone: None, instance_type: None, left: 0 });
    operator(&world, OperatorActionKind::SetSize(3)).await;
    turn_until(&mut runner, "a refusal", || async {
        log.lines().iter().any(|line| line["message"] == "cloud call failed")
    })
    .await;

    log.assert_fields(&[("action", "manual")], &["decision", "message"]);
    log.assert_fields(&[("message", "launched")], &["decision", "launch", "host", "zone"]);
    log.assert_fields(&[("message", "host"), ("to", "healthy")], &["host", "launch", "from"]);
    log.assert_fields(&[("message", "host"), ("to", "draining")], &["host", "launch", "decision"]);
    let answered = |op| [("message", "cloud call answered"), ("op", op)];
    let of_a_launch = ["call", "decision", "launch", "zone", "request_id"];
    log.assert_fields(&answered("RunInstances"), &[&of_a_launch[..], &["hosts"]].concat());
    log.assert_fields(&answered("DeregisterTargets"), &["call", "group", "hosts", "request_id"]);
    log.assert_fields(&answered("TerminateInstances"), &["call", "hosts", "request_id"]);
    let failed = [("message", "cloud call failed"), ("op", "RunInstances")];
    log.assert_fields(&failed, &[&of_a_launch[..], &["error"]].concat());
}
