//! Settings of a connection and of the pool that opens it.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::{CredentialsProvider, Signer};
use crate::byte_size::ByteSize;
use crate::frame::{HeaderEncoding, MAX_FRAME_LENGTH};
use crate::hook::{RequestHook, RequestHooks};

/// Settings of connections.
///
/// ```
/// use std::time::Duration;
/// use rocketmq_producer_remoting::{ConnectionOptions, HeaderEncoding};
///
/// let options = ConnectionOptions::new()
///     .with_connect_timeout(Duration::from_secs(1))
///     .with_header_encoding(HeaderEncoding::Json);
/// assert_eq!(options.connect_timeout, Duration::from_secs(1));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionOptions {
    /// Longest time to open a connection. Default 3 s (Java: `connectTimeoutMillis`).
    pub connect_timeout: Duration,
    /// Connections to each address that is in use. Default 1; 0 counts as 1. Requests whose order matters keep to the
    /// first.
    pub connections: usize,
    /// How headers of requests are encoded; answers are read in either encoding. Default
    /// [`HeaderEncoding::Binary`] (Java: `serializeType`, there JSON).
    pub header_encoding: HeaderEncoding,
    /// Largest frame accepted, length prefix included. Default and upper bound 16 MiB.
    pub max_frame_length: ByteSize,
    /// Requests that may wait on one connection. Default 65 536, at least 1; beyond it a request
    /// fails at once as not sent.
    pub max_pending: usize,
    /// Bytes that may wait to be written on one connection. Default 4 MiB; beyond it a request
    /// waits for room until its deadline. One frame always fits an empty buffer.
    pub max_unsent: ByteSize,
    /// Idle time after which the operating system probes the peer. Default 30 s; `None` turns
    /// probing off.
    pub tcp_keepalive: Option<Duration>,
    /// Time after which the operating system gives a connection up whose bytes the peer does not
    /// confirm. Default 20 s, at least 1 ms; `None` leaves it to the system (on Linux about 15
    /// minutes). Has an effect on Linux and Android only.
    pub tcp_user_timeout: Option<Duration>,
    /// Pause after the first failed dial of an address; it doubles with each further failure up to
    /// [`recovery_interval`](Self::recovery_interval), and once the address has been away for
    /// [`recovery_phase`](Self::recovery_phase), up to
    /// [`max_redial_pause`](Self::max_redial_pause). Each is drawn from the upper half of its
    /// range. Default 50 ms, at least 1 ms.
    pub redial_pause: Duration,
    /// Longest pause between two dials of one address. Default 30 s. An address that callers ask
    /// for is dialled every 3 s at least.
    pub max_redial_pause: Duration,
    /// How long a peer may leave requests without any answer before it counts as
    /// [`Silent`](crate::SuspectCause::Silent). Also how long a dial may go unanswered before the
    /// address counts as [`DialSlow`](crate::SuspectCause::DialSlow). Default 200 ms, at least
    /// 1 ms. Where an address begins;
    /// [`Endpoint::set_silence_limit`](crate::Endpoint::set_silence_limit) adapts it.
    pub silence_limit: Duration,
    /// Time between two attempts to win a suspect address back while it is held: a dial, or a
    /// request for a sign of life. Default 1 s, at least 10 ms; each is drawn from the upper half
    /// of its range.
    pub recovery_interval: Duration,
    /// How long attempts follow at [`recovery_interval`](Self::recovery_interval); after that they
    /// follow at [`max_redial_pause`](Self::max_redial_pause). Default 5 minutes.
    pub recovery_phase: Duration,
    /// What signs every request, for servers with access control (Java: `AclClientRPCHook`).
    /// Default none.
    pub signer: Option<Signer>,
    /// Namespace that every request names in fields of its own (Java: `namespaceV2`, `NamespaceRpcHook`). Default none.
    pub namespace: Option<Arc<str>>,
    /// What sees every request before it is signed (Java: `RPCHook`). Default none.
    pub request_hooks: RequestHooks,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            connections: 1,
            header_encoding: HeaderEncoding::default(),
            max_frame_length: ByteSize::mib(16),
            max_pending: 65_536,
            max_unsent: ByteSize::mib(4),
            tcp_keepalive: Some(Duration::from_secs(30)),
            redial_pause: Duration::from_millis(50),
            tcp_user_timeout: Some(Duration::from_secs(20)),
            max_redial_pause: Duration::from_secs(30),
            silence_limit: Duration::from_millis(200),
            recovery_interval: Duration::from_secs(1),
            recovery_phase: Duration::from_secs(300),
            signer: None,
            namespace: None,
            request_hooks: RequestHooks::default(),
        }
    }
}

impl ConnectionOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`connect_timeout`](Self::connect_timeout).
    #[must_use]
    pub const fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets [`connections`](Self::connections).
    #[must_use]
    pub const fn with_connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// Sets [`header_encoding`](Self::header_encoding).
    #[must_use]
    pub const fn with_header_encoding(mut self, encoding: HeaderEncoding) -> Self {
        self.header_encoding = encoding;
        self
    }

    /// Sets [`max_frame_length`](Self::max_frame_length); larger values than 16 MiB count as 16 MiB.
    #[must_use]
    pub const fn with_max_frame_length(mut self, length: ByteSize) -> Self {
        self.max_frame_length = length;
        self
    }

    /// Sets [`max_pending`](Self::max_pending); 0 counts as 1.
    #[must_use]
    pub const fn with_max_pending(mut self, requests: usize) -> Self {
        self.max_pending = requests;
        self
    }

    /// Sets [`max_unsent`](Self::max_unsent).
    #[must_use]
    pub const fn with_max_unsent(mut self, bytes: ByteSize) -> Self {
        self.max_unsent = bytes;
        self
    }

    /// Sets [`tcp_keepalive`](Self::tcp_keepalive).
    #[must_use]
    pub const fn with_tcp_keepalive(mut self, idle: Option<Duration>) -> Self {
        self.tcp_keepalive = idle;
        self
    }

    /// Sets [`redial_pause`](Self::redial_pause) and [`max_redial_pause`](Self::max_redial_pause).
    #[must_use]
    pub const fn with_redial_pause(mut self, first: Duration, longest: Duration) -> Self {
        self.redial_pause = first;
        self.max_redial_pause = longest;
        self
    }

    /// Sets [`tcp_user_timeout`](Self::tcp_user_timeout).
    #[must_use]
    pub const fn with_tcp_user_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.tcp_user_timeout = timeout;
        self
    }

    /// Sets [`silence_limit`](Self::silence_limit).
    #[must_use]
    pub const fn with_silence_limit(mut self, limit: Duration) -> Self {
        self.silence_limit = limit;
        self
    }

    /// Sets [`recovery_interval`](Self::recovery_interval) and
    /// [`recovery_phase`](Self::recovery_phase).
    #[must_use]
    pub const fn with_recovery(mut self, interval: Duration, phase: Duration) -> Self {
        self.recovery_interval = interval;
        self.recovery_phase = phase;
        self
    }

    /// Signs every request with the credentials that `provider` gives; sets
    /// [`signer`](Self::signer).
    #[must_use]
    pub fn with_credentials(mut self, provider: Arc<dyn CredentialsProvider>) -> Self {
        self.signer = Some(Signer::new(provider));
        self
    }

    /// Sets [`namespace`](Self::namespace).
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<Arc<str>>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Adds a hook that sees every request, after those that were added before; see
    /// [`request_hooks`](Self::request_hooks).
    #[must_use]
    pub fn with_request_hook(mut self, hook: Arc<dyn RequestHook>) -> Self {
        self.request_hooks.add(hook);
        self
    }

    /// The frame limit in bytes, never above what the protocol allows.
    pub(crate) fn frame_limit(&self) -> usize {
        self.max_frame_length.as_usize().min(MAX_FRAME_LENGTH)
    }
}
