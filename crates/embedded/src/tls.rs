//! [`ServerTls`]: TLS at the side of the servers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocketmq_producer_remoting::TlsVersion;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, version};

use crate::error::EmbeddedError;

/// Files, all in PEM, of servers that speak TLS only (Java: `tls.server.mode=enforcing`).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerTls {
    /// The servers' certificate, and those that signed it.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Who signs the certificates that clients must show. Default none: clients show nothing.
    pub client_ca: Option<PathBuf>,
    /// The newest version spoken. Default TLS 1.3.
    pub max_version: TlsVersion,
    /// Whether name servers speak it too, or brokers only. Default yes.
    pub name_servers: bool,
}

impl ServerTls {
    /// Servers with this certificate and key.
    #[must_use]
    pub fn new(cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            cert: cert.into(),
            key: key.into(),
            client_ca: None,
            max_version: TlsVersion::V1_3,
            name_servers: true,
        }
    }

    /// Sets [`client_ca`](Self::client_ca).
    #[must_use]
    pub fn client_ca(mut self, file: impl Into<PathBuf>) -> Self {
        self.client_ca = Some(file.into());
        self
    }

    /// Sets [`max_version`](Self::max_version).
    #[must_use]
    pub const fn max_version(mut self, version: TlsVersion) -> Self {
        self.max_version = version;
        self
    }

    /// Sets [`name_servers`](Self::name_servers).
    #[must_use]
    pub const fn name_servers(mut self, enabled: bool) -> Self {
        self.name_servers = enabled;
        self
    }

    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, EmbeddedError> {
        let provider = Arc::new(ring::default_provider());
        let versions: &[_] = match self.max_version {
            TlsVersion::V1_2 => &[&version::TLS12],
            _ => &[&version::TLS13, &version::TLS12],
        };
        let unusable = |error: &dyn std::error::Error| EmbeddedError::Tls(error.to_string());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| unusable(&error))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(file)? {
                    roots.add(certificate).map_err(|error| unusable(&error))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = verifier.build().map_err(|error| unusable(&error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| unusable(&error))?;
        let config = builder.with_single_cert(certificates(&self.cert)?, key);
        let config = config.map_err(|error| unusable(&error))?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, EmbeddedError> {
    let found = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    found.map_err(|error| EmbeddedError::Tls(format!("{}: {error}", file.display())))
}
