//! [`TlsDialer`]: a dialer that speaks TLS on what another one has opened.

use std::fmt;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::stream::{TlsStream, explain_handshake};
use super::{TlsFailure, TlsOptions, TlsOptionsError, trust};
use crate::connection::ConnectionOptions;
use crate::dialer::{Dialer, TcpDialer, Transport};

/// Opens TLS sessions with servers, on TCP connections or on those of another dialer.
///
/// Bytes of a request count as taken once the session has taken them: a request of which the session has nothing was
/// not sent, any other may have been.
#[derive(Clone)]
pub struct TlsDialer {
    beneath: Arc<dyn Dialer>,
    connector: TlsConnector,
    /// Instead of the host that is dialled.
    server_name: Option<ServerName<'static>>,
}

impl fmt::Debug for TlsDialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsDialer")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

impl TlsDialer {
    /// TLS on TCP. Reads the files that the options name.
    ///
    /// # Errors
    /// A [`TlsOptionsError`] if a file or the server name cannot be used.
    pub fn new(options: &TlsOptions) -> Result<Self, TlsOptionsError> {
        Self::over(Arc::new(TcpDialer), options)
    }

    /// TLS on the streams that `beneath` opens, such as those through a proxy.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn over(beneath: Arc<dyn Dialer>, options: &TlsOptions) -> Result<Self, TlsOptionsError> {
        let server_name = options.server_name.as_deref();
        let server_name = server_name.map(|name| {
            let refused = || TlsOptionsError::ServerName(name.to_owned());
            server_name_of(name).ok_or_else(refused)
        });
        Ok(Self {
            server_name: server_name.transpose()?,
            ..Self::with_rustls(beneath, Arc::new(trust::client_config(options)?))
        })
    }

    /// TLS by a configuration of rustls of one's own, which then decides whom to trust.
    #[must_use]
    pub fn with_rustls(beneath: Arc<dyn Dialer>, config: Arc<ClientConfig>) -> Self {
        Self {
            beneath,
            connector: TlsConnector::from(config),
            server_name: None,
        }
    }
}

#[async_trait]
impl Dialer for TlsDialer {
    async fn dial(
        &self,
        address: &str,
        options: &ConnectionOptions,
    ) -> io::Result<Box<dyn Transport>> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => {
                let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
                server_name_of(host).ok_or_else(|| {
                    TlsFailure::Other(format!("{host:?} is no host name that TLS can verify"))
                        .into_io()
                })?
            }
        };
        let stream = self.beneath.dial(address, options).await?;
        let expected = name.to_str().into_owned();
        match self.connector.connect(name, stream).await {
            Ok(stream) => Ok(Box::new(TlsStream::new(stream))),
            Err(error) => Err(explain_handshake(error, &expected)),
        }
    }
}

/// A host name or an IP address, in brackets or not.
fn server_name_of(host: &str) -> Option<ServerName<'static>> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    ServerName::try_from(bare.unwrap_or(host).to_owned()).ok()
}
