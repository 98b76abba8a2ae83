//! Queries put to engines that a test plays.

use std::time::{Duration, Instant};

use fleet_scaler::signals::live::LiveSignals;
use fleet_scaler::signals::{Harvest, SignalSource as _};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::server::{Reply, Server, gzip, now, query, request};

const TIMEOUT: Duration = Duration::from_secs(5);

async fn engine(reply: Reply) -> Server {
    Server::start(([127, 0, 0, 1], 0).into(), vec![reply]).await.expect("a port is free")
}

async fn ask(url: &str, timeout: Duration) -> Harvest {
    let mut request = request("web", Vec::new(), 9100, TIMEOUT);
    request.metrics.queries = vec![query("qps", url, "sum(rate(x[1m])) > 0", timeout)];
    LiveSignals::new().expect("the clients can be made").harvest(&request).await
}

/// What one reply comes to: the number, or the class and words of the fault.
async fn comes_to(reply: Reply) -> Result<f64, (&'static str, String)> {
    let engine = engine(reply).await;
    let harvest = ask(&format!("http://{}", engine.address), TIMEOUT).await;
    assert_eq!(harvest.queries.len() + harvest.faults.len(), 1, "{harvest:?}");
    harvest.queries.get("qps").copied().ok_or_else(|| {
        let fault = &harvest.faults[0];
        assert_eq!(fault.source, "qps");
        (fault.class, fault.message.clone())
    })
}

fn data(kind: &str, result: &str) -> Reply {
    Reply::Page(format!(
        "{{\"status\":\"success\",\"data\":{{\"resultType\":\"{kind}\",\"result\":{result}}}}}"
    ))
}

fn vector(values: &[&str]) -> Reply {
    let at = now().timestamp();
    let series = values.iter().map(|value| format!("{{\"metric\":{{}},\"value\":[{at}.5,\"{value}\"]}}"));
    data("vector", &format!("[{}]", series.collect::<Vec<_>>().join(",")))
}

async fn refused(reply: Reply, class: &str, words: &str) {
    let shown: String = format!("{reply:?}").chars().take(200).collect();
    let (found, message) = comes_to(reply).await.expect_err(&shown);
    assert_eq!(found, class, "{shown}: {message}");
    assert!(message.contains(words), "{shown}: {message}");
}

#[tokio::test]
async fn one_number_is_a_value() {
    assert_eq!(comes_to(vector(&["12.5"])).await, Ok(12.5));
    assert_eq!(comes_to(vector(&["-3e2"])).await, Ok(-300.0));
    let scalar = format!("[{},\"7\"]", now().timestamp());
    assert_eq!(comes_to(data("scalar", &scalar)).await, Ok(7.0));
    let Reply::Page(text) = vector(&["1"]) else { unreachable!("a vector is a page") };
    let compressed = Reply::Answer("200 OK", "content-encoding: gzip\r\n", gzip(text.as_bytes()));
    assert_eq!(comes_to(compressed).await, Ok(1.0));
}

#[tokio::test]
async fn anything_else_is_a_fault_with_its_reason() {
    refused(vector(&[]), "no_data", "gives no series").await;
    refused(vector(&["1", "2", "3"]), "ambiguous", "gives 3 series; it must give one").await;
    for odd in ["NaN", "+Inf", "-Inf"] {
        refused(vector(&[odd]), "not_finite", odd).await;
    }
    refused(vector(&["soon"]), "malformed", "found `soon`").await;
    refused(data("matrix", "[]"), "malformed", "a range of samples").await;
    refused(data("string", "[1,\"x\"]"), "malformed", "gives text").await;
    refused(data("vector", "[{\"metric\":{},\"histogram\":[1,{}]}]"), "malformed", "a histogram").await;
    refused(Reply::Page("{\"status\":\"success\"}".to_owned()), "malformed", "no data").await;
    refused(Reply::Page("<html>".to_owned()), "malformed", "not an answer of the Prometheus query API").await;
    refused(Reply::Page("[".repeat(100_000)), "malformed", "not an answer").await;
}

#[tokio::test]
async fn an_answer_about_long_ago_is_stale() {
    let at = now().timestamp() - 600;
    let old = data("vector", &format!("[{{\"metric\":{{}},\"value\":[{at},\"1\"]}}]"));
    refused(old, "stale", "the answer is of 10m").await;
    refused(data("scalar", "[1e300,\"1\"]"), "malformed", "expected seconds since 1970").await;
}

#[tokio::test]
async fn what_the_engine_says_is_passed_on() {
    let said = br#"{"status":"error","errorType":"bad_data","error":"unknown function \"sun\""}"#.to_vec();
    refused(Reply::Answer("400 Bad Request", "", said), "status", "bad_data: unknown function \"sun\"").await;
    refused(Reply::Answer("502 Bad Gateway", "", b"<html>".to_vec()), "status", "answered 502 Bad Gateway")
        .await;
    let loud =
        format!("{{\"status\":\"error\",\"errorType\":\"x\",\"error\":\"{}\"}}", "\\u001b[31m".repeat(9000));
    let (_, message) = comes_to(Reply::Page(loud)).await.expect_err("an error");
    assert!(message.chars().count() <= 300 && !message.contains('\u{1b}'), "{message}");
}

#[tokio::test]
async fn engines_that_mean_harm_are_given_up() {
    refused(Reply::Flood(None), "too_large", "larger than 1048576 bytes").await;
    refused(Reply::Bomb, "too_large", "larger than 1048576 bytes").await;
    let headers = "location: http://169.254.169.254/\r\n";
    refused(Reply::Answer("302 Found", headers, Vec::new()), "redirect", "never followed").await;
    let engine = engine(Reply::Hang).await;
    let started = Instant::now();
    let harvest = ask(&format!("http://{}", engine.address), Duration::from_millis(300)).await;
    assert_eq!(harvest.faults[0].class, "timeout");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn the_question_is_put_under_the_base_and_passwords_stay_in_the_header() {
    let engine = engine(Reply::Answer("401 Unauthorized", "", Vec::new())).await;
    let url = format!("http://reader:s3cret@{}/prometheus/?tenant=a", engine.address);
    let harvest = ask(&url, TIMEOUT).await;
    let head = engine.last_head();
    let line = "GET /prometheus/api/v1/query?tenant=a&query=sum%28rate%28x%5B1m%5D%29%29+%3E+0 HTTP/1.1\r\n";
    assert!(head.starts_with(line), "{head}");
    // `reader:s3cret` in base64.
    assert!(head.contains("authorization: Basic cmVhZGVyOnMzY3JldA==\r\n"), "{head}");
    let told = format!("{:?}", harvest.faults);
    assert!(
        told.contains("401 Unauthorized") && !told.contains("s3cret") && !told.contains("reader"),
        "{told}"
    );

    drop(engine);
    let told = format!("{:?}", ask(&url, TIMEOUT).await.faults);
    assert!(
        told.contains("cannot connect") && !told.contains("s3cret") && !told.contains("reader"),
        "{told}"
    );
}

#[tokio::test]
async fn queries_run_side_by_side_and_fail_alone() {
    let (good, bad) = (engine(vector(&["5"])).await, engine(Reply::Hang).await);
    let mut request = request("web", Vec::new(), 9100, TIMEOUT);
    let short = Duration::from_millis(500);
    request.metrics.queries = (0..10)
        .map(|n| query(&format!("slow{n}"), &format!("http://{}", bad.address), "x", short))
        .chain([query("good", &format!("http://{}", good.address), "x", TIMEOUT)])
        .collect();
    let started = Instant::now();
    let harvest = LiveSignals::new().expect("the clients can be made").harvest(&request).await;
    assert_eq!(harvest.queries.get("good"), Some(&5.0));
    assert_eq!(harvest.faults.len(), 10);
    assert!(started.elapsed() < short * 8, "one after the other: {:?}", started.elapsed());
}

#[tokio::test]
async fn https_is_spoken_and_what_cannot_be_trusted_is_refused() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let hello = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let first = stream.read_u8().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        first
    };
    let hello = tokio::time::timeout(Duration::from_secs(30), hello);
    let (first, harvest) = tokio::join!(hello, ask(&url, TIMEOUT));
    // 22 is a TLS handshake. No connection at all means that this machine has no certificates (ca-certificates).
    assert_eq!(first.ok(), Some(22), "{harvest:?}");
    assert_eq!(harvest.faults[0].class, "refused", "{harvest:?}");
    assert!(harvest.queries.is_empty());
}
