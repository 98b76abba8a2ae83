//! A listener that no client can exhaust.
//!
//! The server library waits for a request as long as its sender likes. Here a connection holds one of a fixed number of
//! permits, and it is closed when it has not moved a byte *towards the client* for a while: a sender that drips its
//! request one byte at a time makes no progress by that measure, and neither does a kept-alive connection that idles.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

use crate::http::tls::{Identity, Wire};

/// Connections at one time; more wait in the kernel's queue.
const CONNECTIONS: usize = 128;
/// A connection that was sent nothing for so long is closed.
const PATIENCE: Duration = Duration::from_secs(25);
/// After an error of `accept` that is the machine's, not the client's (no file descriptors left), it is tried again.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// Accepts connections within limits.
pub struct Bounded {
    listener: TcpListener,
    identity: Option<Arc<Identity>>,
    permits: Arc<Semaphore>,
    patience: Duration,
}

impl Bounded {
    /// With the limits of the service; with an identity, under TLS.
    #[must_use]
    pub fn new(listener: TcpListener, identity: Option<Arc<Identity>>) -> Self {
        Self { identity, ..Self::with_limits(listener, CONNECTIONS, PATIENCE) }
    }

    fn with_limits(listener: TcpListener, connections: usize, patience: Duration) -> Self {
        Self { listener, identity: None, permits: Arc::new(Semaphore::new(connections)), patience }
    }

    async fn accept_one(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }
}

impl axum::serve::Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // The semaphore is never closed, so there always is a permit in the end.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        let (stream, address) = self.accept_one().await;
        let timer = Box::pin(tokio::time::sleep(self.patience));
        let stream = match &self.identity {
            Some(identity) => identity.wrap(stream),
            None => Wire::Plain(stream),
        };
        (Connection { stream, timer, patience: self.patience, _permit: permit }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One connection, with its permit and its timer.
pub struct Connection {
    stream: Wire,
    timer: Pin<Box<Sleep>>,
    patience: Duration,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Connection {
    fn or_give_up<T>(&mut self, polled: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_pending() && self.timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.or_give_up(polled, cx)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if matches!(polled, Poll::Ready(Ok(1..))) {
            let deadline = Instant::now() + self.patience;
            self.timer.as_mut().reset(deadline);
        }
        self.or_give_up(polled, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use axum::serve::Listener as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn bounded(connections: usize, patience: Duration) -> (Bounded, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (Bounded::with_limits(listener, connections, patience), address)
    }

    #[tokio::test]
    async fn a_sender_that_drips_is_given_up() {
        let (mut listener, address) = bounded(1, Duration::from_millis(150)).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let (mut connection, _) = listener.accept().await;
        let drip = async {
            loop {
                if client.write_all(b"x").await.is_err() {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let mut page = Vec::new();
        let read = tokio::select! {
            read = connection.read_to_end(&mut page) => read,
            () = drip => unreachable!("it drips for ever"),
        };
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(!page.is_empty(), "the bytes before the end of patience were read");
    }

    #[tokio::test]
    async fn a_connection_over_the_limit_waits_for_one_to_end() {
        let (mut listener, address) = bounded(1, Duration::from_mins(1)).await;
        let _first = TcpStream::connect(address).await.unwrap();
        let _second = TcpStream::connect(address).await.unwrap();
        let (connection, _) = listener.accept().await;
        let early = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(early.is_err(), "one permit, one connection");
        drop(connection);
        listener.accept().await;
    }
}
