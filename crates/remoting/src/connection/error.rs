//! How a single request, or a whole connection, fails.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::delivery::Delivery;
use crate::dialer::{HostFailure, Rerouted, find};
use crate::frame::FrameError;
use crate::hook::HookError;
use crate::proxy::{ProxyError, ProxyFailure};
use crate::tls::TlsFailure;

/// A request that got no answer.
///
/// An answer with a failure code is no `RequestError` but a [`Response`](super::Response): what its
/// code means is for the caller to judge (see [`ResponseClass`](crate::ResponseClass)).
#[derive(Debug, Clone, thiserror::Error)]
#[error("request to {peer} failed: {failure}")]
pub struct RequestError {
    peer: Arc<str>,
    delivery: Delivery,
    failure: RequestFailure,
}

impl RequestError {
    pub(crate) const fn new(peer: Arc<str>, delivery: Delivery, failure: RequestFailure) -> Self {
        Self {
            peer,
            delivery,
            failure,
        }
    }

    /// The address that was asked.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// [`Delivery::NotSent`] if no byte of the request left this process, else
    /// [`Delivery::Unknown`].
    #[must_use]
    pub const fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// What went wrong.
    #[must_use]
    pub const fn failure(&self) -> &RequestFailure {
        &self.failure
    }
}

/// Why a request got no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RequestFailure {
    /// The connection ended before the answer came.
    #[error("connection lost: {0}")]
    ConnectionLost(Arc<CloseReason>),
    /// No answer came before the deadline. The connection stays open.
    #[error("no answer before the deadline")]
    DeadlineExceeded,
    /// The request is too large for a frame.
    #[error("{0}")]
    Frame(FrameError),
    /// A hook did not let it pass.
    #[error("{}", .0.with_reason())]
    Hook(HookError),
    /// As many requests wait on this connection as its bound allows.
    #[error("{limit} requests are already pending on this connection")]
    PendingFull {
        /// The bound, [`ConnectionOptions::max_pending`](super::ConnectionOptions::max_pending).
        limit: usize,
    },
    /// The peer did not take the bytes before it, so the request never left.
    #[error("no room in the write buffer before the deadline")]
    WriteBufferFull,
}

/// Why a connection ended.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// This side closed it.
    #[error("closed by this side")]
    Local,
    /// The server said GO_AWAY and everything under way has been answered.
    #[error("server is leaving (GO_AWAY)")]
    GoAway,
    /// The peer closed it.
    #[error("closed by peer")]
    PeerClosed,
    /// Reading or writing failed.
    #[error("{0}")]
    Io(Arc<io::Error>),
    /// The peer sent bytes that are no frame of the protocol.
    #[error("peer sent a malformed frame: {0}")]
    Protocol(FrameError),
}

impl RequestFailure {
    /// Why the connection was lost, if it was.
    #[must_use]
    pub fn lost(&self) -> Option<&CloseReason> {
        match self {
            Self::ConnectionLost(reason) => Some(reason),
            _ => None,
        }
    }
}

impl CloseReason {
    /// Whether the peer closed or reset the connection.
    #[must_use]
    pub fn is_by_peer(&self) -> bool {
        match self {
            Self::PeerClosed => true,
            Self::Io(error) => error.kind() == io::ErrorKind::ConnectionReset,
            _ => false,
        }
    }

    /// How TLS failed, if it was TLS that ended it.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsFailure> {
        match self {
            Self::Io(error) => TlsFailure::of(error),
            _ => None,
        }
    }
}

/// A connection could not be opened.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot connect to {address}: {failure}")]
pub struct ConnectError {
    address: Arc<str>,
    failure: ConnectFailure,
}

impl ConnectError {
    pub(crate) const fn new(address: Arc<str>, failure: ConnectFailure) -> Self {
        Self { address, failure }
    }

    /// The address that was dialled.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What went wrong.
    #[must_use]
    pub const fn failure(&self) -> &ConnectFailure {
        &self.failure
    }
}

/// Why a connection could not be opened. No byte of a request was sent.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectFailure {
    /// The caller's deadline passed while the connection was being opened; dialling goes on.
    #[error("not connected before the deadline")]
    DeadlineExceeded,
    /// The address did not resolve, or the connection was refused or unreachable.
    #[error("{0}")]
    Io(Arc<io::Error>),
    /// The peer did not answer within the connect timeout. Shared by all who waited for the dial,
    /// so that one dial can be told from several.
    #[error("no answer within the connect timeout of {0:?}")]
    TimedOut(Arc<Duration>),
    /// The last connection ended before the peer had answered anything on it.
    #[error("the last connection ended at once: {0}")]
    EndedAtOnce(Arc<CloseReason>),
    /// An attempt failed a moment ago; the address is not dialled again before the pause ends.
    #[error("{cause} (next attempt in {retry_in:.1?})")]
    BackingOff {
        /// What the last attempt failed with.
        cause: Box<Self>,
        /// Time until the address may be dialled again.
        retry_in: Duration,
    },
    /// The pool is closed.
    #[error("the connection pool is closed")]
    PoolClosed,
}

impl ConnectFailure {
    /// How TLS failed, if it was TLS that kept the connection from opening or ended the last one.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsFailure> {
        match self {
            Self::Io(error) => TlsFailure::of(error),
            Self::EndedAtOnce(reason) => reason.tls(),
            Self::BackingOff { cause, .. } => cause.tls(),
            _ => None,
        }
    }

    /// What the dialer met, if the last dial failed with an error.
    fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Io(error) => Some(error),
            Self::BackingOff { cause, .. } => cause.io(),
            _ => None,
        }
    }

    /// How the proxy failed to bring the connection, if one was to (setting `socks_proxy`).
    #[must_use]
    pub fn proxy(&self) -> Option<&ProxyError> {
        self.io().and_then(find)
    }

    /// What came of the addresses of the host, if its name was not resolved or has several that are all unreachable.
    #[must_use]
    pub fn host(&self) -> Option<&HostFailure> {
        self.io().and_then(find)
    }

    /// Whether another dial a moment later would fail in the same way: a certificate that proves nothing, versions of TLS
    /// that do not meet, a proxy that refuses.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        let by_proxy = self.proxy().map(ProxyError::failure);
        // What speaks no TLS may be a server that was ending.
        let by_tls = self.tls();
        by_tls.is_some_and(|failure| !matches!(failure, TlsFailure::NotTls | TlsFailure::Other(_)))
            || matches!(
                by_proxy,
                Some(
                    ProxyFailure::LoginRequired
                        | ProxyFailure::LoginRefused
                        | ProxyFailure::Forbidden { .. }
                )
            )
    }

    /// The address that was dialled in place of the advertised one, if the dialer did so (settings `address_map` and
    /// `vip_channel`) and failed.
    #[must_use]
    pub fn dialled_as(&self) -> Option<&str> {
        let rerouted: &Rerouted = self.io().and_then(find)?;
        Some(&rerouted.reached_as)
    }

    /// Whether the peer took the connection and closed it before it had said anything, as a server does that speaks
    /// TLS only, or none.
    #[must_use]
    pub fn closed_without_a_word(&self) -> bool {
        match self {
            Self::EndedAtOnce(reason) => reason.is_by_peer(),
            Self::BackingOff { cause, .. } => cause.closed_without_a_word(),
            _ => false,
        }
    }
}
