//! Whom a client believes: the system's authorities, those of a file, or, on request, anyone.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, version,
};

use super::{TlsOptions, TlsOptionsError, TlsVersion, files};

/// The configuration that the options stand for.
pub(super) fn client_config(options: &TlsOptions) -> Result<ClientConfig, TlsOptionsError> {
    // Named, so that nothing depends on a default of the process.
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let versions: &[_] = match options.min_version {
        TlsVersion::V1_2 => &[&version::TLS13, &version::TLS12],
        TlsVersion::V1_3 => &[&version::TLS13],
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| TlsOptionsError::Version(error.to_string()))?;
    let builder = if options.danger_accept_invalid_certs {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
    } else {
        let roots = match &options.ca {
            Some(file) => given_roots(file)?,
            None => system_roots()?,
        };
        builder.with_root_certificates(roots)
    };
    match (&options.cert, &options.key) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(cert), Some(key)) => {
            let chain = files::certificates("certificate", cert)?;
            builder
                .with_client_auth_cert(chain, files::private_key(key)?)
                .map_err(|error| TlsOptionsError::ClientCertificate(error.to_string()))
        }
        _ => Err(TlsOptionsError::HalfPair),
    }
}

fn given_roots(file: &Path) -> Result<RootCertStore, TlsOptionsError> {
    let mut roots = RootCertStore::empty();
    for certificate in files::certificates("certificate of an authority", file)? {
        roots
            .add(certificate)
            .map_err(|error| TlsOptionsError::Ca {
                file: file.to_path_buf(),
                reason: error.to_string(),
            })?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, TlsOptionsError> {
    let mut roots = RootCertStore::empty();
    // Systems have odd ones among them, which are passed over.
    let (added, _) =
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        return Err(TlsOptionsError::NoSystemRoots);
    }
    Ok(roots)
}

/// Believes any certificate; only whether the peer holds its key is still checked.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
