//! How TLS fails, in words that name the cause.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a TLS session could not be opened, or ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsFailure {
    /// No known authority signed the server's certificate.
    #[error("the server's certificate is signed by no trusted authority")]
    UnknownCa,
    /// The server's certificate is no longer valid.
    #[error("the server's certificate has expired")]
    Expired,
    /// The server's certificate is not valid yet, or this machine's clock is behind.
    #[error("the server's certificate is not valid yet")]
    NotValidYet,
    /// The server's certificate is for other names.
    #[error("the server's certificate is not for {expected}")]
    NameMismatch {
        /// The name or address that it would have to carry.
        expected: String,
    },
    /// The server shows the certificate of an authority (`CA:TRUE`), which proves no server. `openssl req -x509` makes
    /// such ones unless told otherwise.
    #[error("the server's certificate is that of an authority (CA:TRUE)")]
    AuthorityAsServer,
    /// The server's certificate is refused for another reason.
    #[error("the server's certificate is refused: {0}")]
    Certificate(String),
    /// The server asks for a certificate of the client and got none.
    #[error("the server asks for a client certificate")]
    ClientCertificateRequired,
    /// The server refuses the certificate of the client.
    #[error("the server refuses the client certificate: {0}")]
    ClientCertificateRefused(String),
    /// The peer ended the connection, or answered with something else, where its part of the handshake was due: it
    /// does not speak TLS.
    #[error("the server does not speak TLS")]
    NotTls,
    /// The two sides share no version or cipher.
    #[error("no common version or cipher of TLS")]
    Incompatible,
    /// Anything else.
    #[error("TLS failed: {0}")]
    Other(String),
}

impl TlsFailure {
    /// One sentence on what to do, by the names of the settings.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::UnknownCa => "give the authority that signed the certificate as tls_ca",
            Self::AuthorityAsServer => {
                "have the server show a certificate with basicConstraints CA:FALSE; that one, or \
                 the authority that signed it, goes in as tls_ca"
            }
            Self::NameMismatch { .. } => {
                "set tls_server_name to a name in the certificate, or have the address put into it"
            }
            Self::Expired | Self::NotValidYet => {
                "have the server's certificate renewed, and check this machine's clock"
            }
            Self::ClientCertificateRequired | Self::ClientCertificateRefused(_) => {
                "give a certificate that the server takes as tls_cert and tls_key"
            }
            Self::NotTls => "turn tls off, or have the server speak TLS",
            Self::Incompatible => "lower tls_min_version, or have the server updated",
            Self::Certificate(_) | Self::Other(_) => {
                "read what TLS says; check the certificates of both sides"
            }
        }
    }

    /// What was wrapped into an error of a stream, if it was.
    pub(crate) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// Wraps it into an error of a stream.
    #[cfg(feature = "tls")]
    pub(crate) fn into_io(self) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, self)
    }
}

/// TLS options that cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TlsOptionsError {
    /// A file could not be read, or is no PEM.
    #[error("cannot read {what} from {}", .file.display())]
    #[non_exhaustive]
    Unreadable {
        /// What the file should hold.
        what: &'static str,
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        cause: Arc<io::Error>,
    },
    /// A file holds nothing of the kind.
    #[error("{} holds no {what}", .file.display())]
    #[non_exhaustive]
    Missing {
        /// What the file should hold.
        what: &'static str,
        /// The file.
        file: PathBuf,
    },
    /// A client certificate without its key, or the reverse.
    #[error("a client certificate and its key must be given together")]
    HalfPair,
    /// A client certificate and a key that do not belong together, or are of an unknown kind.
    #[error("the client certificate or its key cannot be used: {0}")]
    ClientCertificate(String),
    /// An authority's certificate that cannot be used.
    #[error("{} holds an authority that cannot be used: {reason}", .file.display())]
    #[non_exhaustive]
    Ca {
        /// The file.
        file: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The system names no authority that could be used.
    #[error("the system has no list of trusted authorities")]
    NoSystemRoots,
    /// The server name is neither a host name nor an IP address.
    #[error("{0:?} is neither a host name nor an IP address")]
    ServerName(String),
    /// The versions asked for cannot be spoken.
    #[error("the minimum version cannot be spoken: {0}")]
    Version(String),
}
