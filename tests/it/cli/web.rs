//! The few bytes of HTTP that these tests speak.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// What a server answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Asks once; `None`: nobody answers there.
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head: head.to_lowercase(), body: body.to_owned() })
}

/// Gets a page.
#[track_caller]
pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, "GET", path, "").unwrap_or_else(|| panic!("nobody answers at {address}{path}"))
}

/// Gets a page until it has this status, for as long as a busy machine may take.
#[track_caller]
pub(crate) fn get_until(address: SocketAddr, path: &str, status: u16) -> Answer {
    let start = Instant::now();
    loop {
        let last = ask(address, "GET", path, "");
        if let Some(answer) = last.as_ref().filter(|answer| answer.status == status) {
            return answer.clone();
        }
        assert!(start.elapsed() < Duration::from_mins(1), "{path} did not become {status}: {last:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
