//! Connections through a SOCKS5 proxy: what a client asks of it, and how it can fail.
//!
//! The options and failures are always here; [`Socks5Dialer`] comes with the feature `socks5`.

#[cfg(feature = "socks5")]
mod socks5;

use std::fmt;
use std::io;
use std::sync::Arc;

use secrecy::SecretString;

#[cfg(feature = "socks5")]
pub use self::socks5::Socks5Dialer;

/// Which SOCKS5 proxy to go through, and as whom (Java: `socksProxyConfig`).
///
/// ```
/// use rocketmq_producer_remoting::Socks5Options;
///
/// let options = Socks5Options::new("proxy.internal:1080").with_user("orders", "its secret");
/// assert!(!format!("{options:?}").contains("secret"));
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Socks5Options {
    /// The proxy, `host:port`.
    pub proxy: Arc<str>,
    /// User and password, if the proxy asks for them. Default none.
    pub user: Option<(String, SecretString)>,
}

impl Socks5Options {
    /// A proxy that asks for no user.
    #[must_use]
    pub fn new(proxy: impl Into<Arc<str>>) -> Self {
        Self {
            proxy: proxy.into(),
            user: None,
        }
    }

    /// Sets [`user`](Self::user): 1 to 255 bytes each.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>, password: impl Into<SecretString>) -> Self {
        self.user = Some((user.into(), password.into()));
        self
    }
}

impl fmt::Debug for Socks5Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socks5Options")
            .field("proxy", &self.proxy)
            .field("user", &self.user.as_ref().map(|(user, _)| user))
            .finish_non_exhaustive()
    }
}

/// A connection that a proxy was to bring, and did not.
#[derive(Debug, Clone, thiserror::Error)]
#[error("SOCKS5 proxy {proxy}: {failure}")]
pub struct ProxyError {
    proxy: Arc<str>,
    failure: ProxyFailure,
}

impl ProxyError {
    /// The proxy.
    #[must_use]
    pub fn proxy(&self) -> &str {
        &self.proxy
    }

    /// What went wrong.
    #[must_use]
    pub const fn failure(&self) -> &ProxyFailure {
        &self.failure
    }
}

/// Why a proxy brought no connection.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyFailure {
    /// The proxy itself could not be connected to.
    #[error("it cannot be reached: {0}")]
    Unreachable(Arc<io::Error>),
    /// The proxy, or the server behind it, did not answer within the connect timeout.
    #[error("no connection to {target} within the connect timeout")]
    #[non_exhaustive]
    TimedOut {
        /// The server that it was to connect to.
        target: String,
    },
    /// The proxy asks for a user and password and none are given, or it takes no such ones.
    #[error("it takes none of the ways to log in that are offered to it")]
    LoginRequired,
    /// The proxy refuses the user or the password.
    #[error("it refuses the user or the password")]
    LoginRefused,
    /// The proxy's rules forbid the connection.
    #[error("its rules forbid a connection to {target}")]
    #[non_exhaustive]
    Forbidden {
        /// The server that it was to connect to.
        target: String,
    },
    /// The proxy could not connect to the server, or not find it.
    #[error("it cannot connect to {target}: {reason}")]
    #[non_exhaustive]
    TargetUnreachable {
        /// The server that it was to connect to.
        target: String,
        /// What the proxy says.
        reason: String,
    },
    /// What answers is no SOCKS5 proxy, or it ended the connection.
    #[error("it does not speak SOCKS5: {0}")]
    NotSocks5(String),
    /// The proxy says that it failed, and no more.
    #[error("it failed: {0}")]
    Failed(String),
}

#[cfg(feature = "socks5")]
impl ProxyError {
    pub(crate) const fn new(proxy: Arc<str>, failure: ProxyFailure) -> Self {
        Self { proxy, failure }
    }

    /// Wraps it into an error of a stream.
    pub(crate) fn into_io(self) -> io::Error {
        let kind = match &self.failure {
            ProxyFailure::Unreachable(error) => error.kind(),
            ProxyFailure::TimedOut { .. } => io::ErrorKind::TimedOut,
            ProxyFailure::LoginRequired
            | ProxyFailure::LoginRefused
            | ProxyFailure::Forbidden { .. } => io::ErrorKind::PermissionDenied,
            ProxyFailure::TargetUnreachable { .. } => io::ErrorKind::HostUnreachable,
            ProxyFailure::NotSocks5(_) => io::ErrorKind::InvalidData,
            ProxyFailure::Failed(_) => io::ErrorKind::Other,
        };
        io::Error::new(kind, self)
    }
}
