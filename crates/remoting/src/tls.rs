//! TLS beneath connections: what a client asks of it, and how it can fail.
//!
//! The options and failures are always here; [`TlsDialer`] comes with the feature `tls`.

#[cfg(feature = "tls")]
mod dialer;
mod failure;
#[cfg(feature = "tls")]
mod files;
#[cfg(feature = "tls")]
mod stream;
#[cfg(feature = "tls")]
mod trust;

use std::path::PathBuf;

#[cfg(feature = "tls")]
pub use self::dialer::TlsDialer;
pub use self::failure::{TlsFailure, TlsOptionsError};

/// The oldest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2, which every RocketMQ server knows.
    #[default]
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// What a client asks of TLS. Servers are verified unless
/// [`danger_accept_invalid_certs`](Self::danger_accept_invalid_certs) is set.
///
/// ```
/// use rocketmq_producer_remoting::TlsOptions;
///
/// let options = TlsOptions::new()
///     .with_ca("/etc/rocketmq/ca.pem")
///     .with_server_name("rocketmq.internal");
/// assert!(!options.danger_accept_invalid_certs);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsOptions {
    /// PEM file of the authorities that may sign server certificates, in place of the system's. Default none: those of
    /// the system (Java: `tls.client.trustCertPath`).
    pub ca: Option<PathBuf>,
    /// PEM file of the certificate chain that this client shows, its own first. Default none; needs
    /// [`key`](Self::key) (Java: `tls.client.certPath`).
    pub cert: Option<PathBuf>,
    /// PEM file of that certificate's private key, not encrypted. Default none (Java: `tls.client.keyPath`).
    pub key: Option<PathBuf>,
    /// The name that every server's certificate must carry. Default none: the host of the address that is dialled,
    /// which for brokers mostly is an IP address and must then be in the certificate as such.
    pub server_name: Option<String>,
    /// The oldest version spoken. Default TLS 1.2.
    pub min_version: TlsVersion,
    /// Takes whatever certificate a server shows, so that anyone on the way can read and change everything. Default
    /// no. For development only.
    pub danger_accept_invalid_certs: bool,
}

impl TlsOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`ca`](Self::ca).
    #[must_use]
    pub fn with_ca(mut self, file: impl Into<PathBuf>) -> Self {
        self.ca = Some(file.into());
        self
    }

    /// Sets [`cert`](Self::cert) and [`key`](Self::key).
    #[must_use]
    pub fn with_client_cert(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.cert = Some(cert.into());
        self.key = Some(key.into());
        self
    }

    /// Sets [`server_name`](Self::server_name).
    #[must_use]
    pub fn with_server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Sets [`min_version`](Self::min_version).
    #[must_use]
    pub const fn with_min_version(mut self, version: TlsVersion) -> Self {
        self.min_version = version;
        self
    }

    /// Sets [`danger_accept_invalid_certs`](Self::danger_accept_invalid_certs).
    #[must_use]
    pub const fn with_danger_accept_invalid_certs(mut self, accept: bool) -> Self {
        self.danger_accept_invalid_certs = accept;
        self
    }
}
