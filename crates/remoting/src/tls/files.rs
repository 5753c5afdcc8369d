//! Certificates and keys from PEM files.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsOptionsError;

/// All certificates of a file, at least one.
pub(super) fn certificates(
    what: &'static str,
    file: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsOptionsError> {
    let found: Result<Vec<_>, pem::Error> =
        CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let found = found.map_err(|error| refused(what, file, error))?;
    if found.is_empty() {
        return Err(missing(what, file));
    }
    Ok(found)
}

/// The first private key of a file.
pub(super) fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsOptionsError> {
    const WHAT: &str = "private key";
    PrivateKeyDer::from_pem_file(file).map_err(|error| refused(WHAT, file, error))
}

fn refused(what: &'static str, file: &Path, error: pem::Error) -> TlsOptionsError {
    let cause = match error {
        pem::Error::NoItemsFound => return missing(what, file),
        pem::Error::Io(cause) => cause,
        // Says what is wrong with the form, and nothing of what is inside.
        other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
    };
    TlsOptionsError::Unreadable {
        what,
        file: file.to_path_buf(),
        cause: Arc::new(cause),
    }
}

fn missing(what: &'static str, file: &Path) -> TlsOptionsError {
    TlsOptionsError::Missing {
        what,
        file: file.to_path_buf(),
    }
}
