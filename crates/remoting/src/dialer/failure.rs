//! What a failed dial tells beyond an error of the operating system.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;

/// Why the host of an address could not be connected to. A host that is an IP address, or a name with one address only,
/// fails with the plain error of the operating system instead of [`Unreachable`](Self::Unreachable).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostFailure {
    /// The name has no address, or no name service could say so.
    #[error("{host} is not resolved: {cause}")]
    #[non_exhaustive]
    Unresolved {
        /// The name.
        host: String,
        /// What the resolver says.
        cause: io::Error,
    },
    /// The name has several addresses, and none of them took a connection.
    #[error("none of the {} addresses of {host} is reachable: {}", attempts.len(), describe(attempts))]
    #[non_exhaustive]
    Unreachable {
        /// The name.
        host: String,
        /// Each address that was tried, and what came of it.
        attempts: Vec<(SocketAddr, io::Error)>,
    },
}

impl HostFailure {
    /// Wraps it into an error of a stream.
    pub(super) fn into_io(self) -> io::Error {
        let kind = match &self {
            Self::Unresolved { .. } => io::ErrorKind::NotFound,
            Self::Unreachable { attempts, .. } => {
                let mut kinds = attempts.iter().map(|(_, error)| error.kind());
                let first = kinds.next().unwrap_or(io::ErrorKind::Other);
                if kinds.all(|kind| kind == first) {
                    first
                } else {
                    io::ErrorKind::Other
                }
            }
        };
        io::Error::new(kind, self)
    }
}

fn describe(attempts: &[(SocketAddr, io::Error)]) -> String {
    let attempts = attempts.iter();
    let texts: Vec<_> = attempts
        .map(|(address, error)| format!("{address} ({error})"))
        .collect();
    texts.join(", ")
}

/// An address that was dialled as another one, and the error met there.
#[derive(Debug)]
pub(crate) struct Rerouted {
    pub(crate) reached_as: String,
    pub(crate) cause: io::Error,
}

impl fmt::Display for Rerouted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dialled as {}: {}", self.reached_as, self.cause)
    }
}

impl Error for Rerouted {}

/// The typed failure inside an error of a dial, also of one that was rerouted.
pub(crate) fn find<T: Error + 'static>(error: &io::Error) -> Option<&T> {
    let inside = error.get_ref()?;
    if let Some(found) = inside.downcast_ref() {
        return Some(found);
    }
    find(&inside.downcast_ref::<Rerouted>()?.cause)
}
