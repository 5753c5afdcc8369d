//! A TLS session as a stream whose errors name their cause and whose writes are never understated.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client;
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use super::TlsFailure;
use crate::dialer::Transport;

/// The most that a session takes in one call: rustls's bound on bytes it holds.
const SESSION_ROOM: usize = 64 * 1024;

/// An open session.
pub(super) struct TlsStream {
    session: client::TlsStream<Box<dyn Transport>>,
    /// The error of a write that the session may have taken part of.
    deferred: Option<io::Error>,
}

impl TlsStream {
    pub(super) fn new(session: client::TlsStream<Box<dyn Transport>>) -> Self {
        Self {
            session,
            deferred: None,
        }
    }

    /// What a write comes to. A failed one may have brought bytes of this very call to the peer before it failed, so
    /// it counts as done as far as the session can have taken it, and the next call fails.
    fn settle(
        &mut self,
        written: Poll<io::Result<usize>>,
        given: usize,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Err(error)) if given > 0 => {
                self.deferred = Some(error);
                Poll::Ready(Ok(given.min(SESSION_ROOM)))
            }
            other => other.map_err(explain),
        }
    }

    fn overdue(&mut self) -> io::Result<()> {
        self.deferred
            .take()
            .map_or(Ok(()), |error| Err(explain(error)))
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.session).poll_read(cx, buffer);
        read.map_err(explain)
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // In one round of the session, so that no more than its room can be in doubt.
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.overdue()?;
        let given = slices.iter().map(|slice| slice.len()).sum();
        let written = Pin::new(&mut self.session).poll_write_vectored(cx, slices);
        self.settle(written, given)
    }

    fn is_write_vectored(&self) -> bool {
        self.session.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.overdue()?;
        Pin::new(&mut self.session).poll_flush(cx).map_err(explain)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.session).poll_shutdown(cx)
    }
}

/// Names the cause of a failed handshake with a server that should be `expected`.
pub(super) fn explain_handshake(error: io::Error, expected: &str) -> io::Error {
    let failure = match rustls_error(&error) {
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => TlsFailure::NameMismatch {
            expected: expected.to_owned(),
        },
        // Something came, and it was no TLS; or the peer saw our hello and left.
        Some(Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge,
        )) => TlsFailure::NotTls,
        None if error.kind() == io::ErrorKind::UnexpectedEof
            || error.kind() == io::ErrorKind::ConnectionReset =>
        {
            TlsFailure::NotTls
        }
        _ => return explain(error),
    };
    failure.into_io()
}

/// Names the cause, where it is one of TLS.
fn explain(error: io::Error) -> io::Error {
    use AlertDescription as Alert;
    let Some(cause) = rustls_error(&error) else {
        return error;
    };
    let failure = match cause {
        Error::InvalidCertificate(problem) => match problem {
            // The latter of one that was signed by a namesake of a trusted authority.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                TlsFailure::UnknownCa
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                TlsFailure::Expired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                TlsFailure::NotValidYet
            }
            // The words of the library below, which has no other way to tell.
            CertificateError::Other(other) => match other.to_string() {
                words if words == "CaUsedAsEndEntity" => TlsFailure::AuthorityAsServer,
                words => TlsFailure::Certificate(words),
            },
            other => TlsFailure::Certificate(other.to_string()),
        },
        Error::AlertReceived(Alert::CertificateRequired) => TlsFailure::ClientCertificateRequired,
        Error::AlertReceived(
            alert @ (Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied),
        ) => TlsFailure::ClientCertificateRefused(format!("{alert:?}")),
        Error::AlertReceived(Alert::ProtocolVersion | Alert::InsufficientSecurity)
        | Error::PeerIncompatible(_) => TlsFailure::Incompatible,
        other => TlsFailure::Other(other.to_string()),
    };
    failure.into_io()
}

fn rustls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}
