//! [`Socks5Dialer`]: a dialer that asks a SOCKS5 proxy for the connection.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::ExposeSecret;
use tokio::time::{Instant, timeout_at};
use tokio_socks::tcp::Socks5Stream;
use tokio_socks::{Error, TargetAddr};

use super::{ProxyError, ProxyFailure, Socks5Options};
use crate::address;
use crate::connection::ConnectionOptions;
use crate::dialer::{Dialer, TcpDialer, Transport};

/// Opens connections through a SOCKS5 proxy, which resolves the names of servers.
///
/// Whatever goes wrong is a [`ProxyError`] that names the proxy; an address that is none is refused before it is asked.
#[derive(Clone)]
pub struct Socks5Dialer {
    beneath: Arc<dyn Dialer>,
    options: Socks5Options,
}

impl fmt::Debug for Socks5Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socks5Dialer")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Socks5Dialer {
    /// A proxy that is reached by TCP.
    #[must_use]
    pub fn new(options: Socks5Options) -> Self {
        Self::over(Arc::new(TcpDialer), options)
    }

    /// A proxy that is reached by the streams that `beneath` opens.
    #[must_use]
    pub fn over(beneath: Arc<dyn Dialer>, options: Socks5Options) -> Self {
        Self { beneath, options }
    }

    fn error(&self, failure: ProxyFailure) -> io::Error {
        ProxyError::new(Arc::clone(&self.options.proxy), failure).into_io()
    }

    /// Has the proxy connect to `target`.
    async fn ask(
        &self,
        stream: Box<dyn Transport>,
        target: TargetAddr<'_>,
    ) -> Result<Box<dyn Transport>, Error> {
        let connected = match &self.options.user {
            None => Socks5Stream::connect_with_socket(stream, target).await?,
            Some((user, password)) => {
                let password = password.expose_secret();
                Socks5Stream::connect_with_password_and_socket(stream, target, user, password)
                    .await?
            }
        };
        Ok(connected.into_inner())
    }
}

#[async_trait]
impl Dialer for Socks5Dialer {
    async fn dial(
        &self,
        address: &str,
        options: &ConnectionOptions,
    ) -> io::Result<Box<dyn Transport>> {
        let target = target_of(address).ok_or_else(|| {
            let reason = format!("{address:?} is no address, write host:port");
            io::Error::new(io::ErrorKind::InvalidInput, reason)
        })?;
        // A little before whoever waits for the dial gives it up, so that the error can name the proxy.
        let end = Instant::now() + options.connect_timeout.mul_f64(0.95);
        let dialling = async {
            let stream = self.beneath.dial(&self.options.proxy, options).await;
            let stream =
                stream.map_err(|error| self.error(ProxyFailure::Unreachable(Arc::new(error))))?;
            self.ask(stream, target)
                .await
                .map_err(|error| self.error(explain(error, address)))
        };
        timeout_at(end, dialling).await.unwrap_or_else(|_| {
            let target = address.to_owned();
            Err(self.error(ProxyFailure::TimedOut { target }))
        })
    }
}

/// An IP address as such, a name for the proxy to resolve.
fn target_of(address: &str) -> Option<TargetAddr<'_>> {
    if let Ok(ip) = address.parse::<SocketAddr>() {
        return Some(TargetAddr::Ip(ip));
    }
    let (host, port) = address::split(address)?;
    // Its length travels as one byte.
    (host.len() <= 255).then(|| TargetAddr::Domain(host.into(), port))
}

/// Names the cause.
fn explain(error: Error, target: &str) -> ProxyFailure {
    let target = target.to_owned();
    let reason = |reason: &str| ProxyFailure::TargetUnreachable {
        target: target.clone(),
        reason: reason.to_owned(),
    };
    match error {
        Error::NoAcceptableAuthMethods | Error::AuthorizationRequired => {
            ProxyFailure::LoginRequired
        }
        // A way to log in that was not offered, or a code that the standard does not have.
        Error::UnknownAuthMethod => {
            ProxyFailure::NotSocks5("an answer without a meaning".to_owned())
        }
        // Too long or too short to be sent.
        Error::PasswordAuthFailure(_) | Error::InvalidAuthValues(_) => ProxyFailure::LoginRefused,
        Error::ConnectionNotAllowedByRuleset => ProxyFailure::Forbidden { target },
        Error::NetworkUnreachable => reason("network unreachable"),
        Error::HostUnreachable => reason("host unreachable"),
        Error::ConnectionRefused => reason("connection refused"),
        Error::TtlExpired => reason("no answer (TTL expired)"),
        Error::AddressTypeNotSupported => reason("it takes no addresses of this kind"),
        Error::Io(error) => ProxyFailure::NotSocks5(error.to_string()),
        Error::InvalidResponseVersion
        | Error::InvalidReservedByte
        | Error::UnknownAddressType
        | Error::UnknownError => ProxyFailure::NotSocks5(error.to_string().to_lowercase()),
        other => ProxyFailure::Failed(other.to_string()),
    }
}
