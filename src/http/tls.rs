//! TLS, where a certificate is configured.
//!
//! The handshake is a part of the connection and not of accepting it: a client that never finishes it holds its own
//! connection's permit and patience, and nobody else waits. Files are read again when they change, because certificates
//! are renewed while services run; a pair that does not fit changes nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll, ready};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use crate::http::mark::Mark;

/// Why TLS cannot be served with these files.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {problem}")]
pub struct TlsError {
    file: String,
    problem: String,
}

/// A certificate and its key, as their files say.
pub struct Identity {
    certificate_file: PathBuf,
    key_file: PathBuf,
    state: RwLock<State>,
}

struct State {
    config: Arc<ServerConfig>,
    seen: (Option<Mark>, Option<Mark>),
}

impl Identity {
    /// Reads both files.
    pub fn open(certificate_file: PathBuf, key_file: PathBuf) -> Result<Self, TlsError> {
        let seen = (Mark::of(&certificate_file), Mark::of(&key_file));
        let config = Arc::new(load(&certificate_file, &key_file)?);
        Ok(Self { certificate_file, key_file, state: RwLock::new(State { config, seen }) })
    }

    /// Reads the files again if they have changed. New connections get the new certificate.
    pub(super) fn refresh(&self) {
        let seen = (Mark::of(&self.certificate_file), Mark::of(&self.key_file));
        if self.state.read().unwrap_or_else(PoisonError::into_inner).seen == seen {
            return;
        }
        let loaded = load(&self.certificate_file, &self.key_file);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.seen = seen;
        match loaded {
            Ok(config) => {
                tracing::info!("the certificate was read again");
                state.config = Arc::new(config);
            }
            Err(error) => tracing::error!(%error, "the certificate cannot be used; the last good one stays"),
        }
    }

    /// A connection that begins with a handshake.
    pub(super) fn wrap(&self, stream: TcpStream) -> Wire {
        let config = Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner).config);
        Wire::Shaking(Box::new(TlsAcceptor::from(config).accept(stream)))
    }
}

fn load(certificate_file: &Path, key_file: &Path) -> Result<ServerConfig, TlsError> {
    let wrong = |file: &Path, problem: String| TlsError { file: file.display().to_string(), problem };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate_file)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(certificate_file, format!("is not a certificate in PEM ({error})")))?;
    if chain.is_empty() {
        return Err(wrong(
            certificate_file,
            "holds no certificate: put the server's first, in PEM".to_owned(),
        ));
    }
    let key = PrivateKeyDer::from_pem_file(key_file)
        .map_err(|error| wrong(key_file, format!("is not a private key in PEM ({error})")))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(certificate_file, error.to_string()))?;
    let mut config = builder
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| wrong(key_file, format!("does not fit the certificate ({error})")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// What a connection runs over.
pub(super) enum Wire {
    /// As it is.
    Plain(TcpStream),
    /// Whoever is at the other end is being found out.
    Shaking(Box<Accept<TcpStream>>),
    /// Under TLS.
    Secure(Box<TlsStream<TcpStream>>),
}

impl Wire {
    /// Gets the handshake done, where there is one.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Self::Shaking(accept) = self {
            let stream = ready!(Pin::new(accept.as_mut()).poll(cx))?;
            *self = Self::Secure(Box::new(stream));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_ready(cx))?;
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Secure(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
            Self::Shaking(_) => Poll::Pending,
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_ready(cx))?;
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Secure(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
            Self::Shaking(_) => Poll::Pending,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Secure(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
            // Nothing was written yet.
            Self::Shaking(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Secure(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            // Dropping it closes it; there is nobody yet to take leave of.
            Self::Shaking(_) => Poll::Ready(Ok(())),
        }
    }
}
