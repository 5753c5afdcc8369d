//! [`HttpDiscovery`]: a page that tells the addresses of the name servers.
//!
//! The failures and what is read of a page are always here; the asking comes with the feature `discovery-http`.

#[cfg(feature = "discovery-http")]
mod client;

use std::sync::Arc;

use thiserror::Error;

use super::addresses::{NameServerAddresses, ParseAddressesError};
use super::discovery::DiscoveryError;
#[cfg(feature = "discovery-http")]
use super::source::DiscoveryUrl;

#[cfg(feature = "discovery-http")]
pub use self::client::HttpDiscovery;

/// The most bytes of a page.
pub(super) const MAX_PAGE: usize = 64 * 1024;

/// Why a page told no addresses.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum HttpFailure {
    /// The server could not be connected to.
    #[error("it cannot be reached: {0}")]
    Connect(Arc<std::io::Error>),
    /// The page did not come in time.
    #[error("no answer within {0:?}")]
    TimedOut(std::time::Duration),
    /// What answers speaks no HTTP, or the connection ended midway.
    #[error("no answer of HTTP: {0}")]
    Protocol(String),
    /// The answer is no page.
    #[error("it answered with status {0}")]
    Status(u16),
    /// It sends from one place to the next, or to one that cannot be asked.
    #[error("it leads nowhere: {0}")]
    Redirect(String),
    /// The page is larger than 64 KiB.
    #[error("the page is larger than 64 KiB")]
    TooLarge,
    /// The first line of the page is no list of addresses.
    #[error("the page has no list of addresses: {0}")]
    Page(ParseAddressesError),
}

impl HttpFailure {
    /// What a [`DiscoveryError`] was caused by, if a page was asked.
    #[must_use]
    pub fn of(error: &DiscoveryError) -> Option<&Self> {
        std::error::Error::source(error)?.downcast_ref()
    }

    /// As an error of discovery that names the page.
    #[cfg(feature = "discovery-http")]
    pub(super) fn about(self, url: &DiscoveryUrl) -> DiscoveryError {
        DiscoveryError::new(format!("{url} tells no name servers")).with_source(self)
    }
}

/// The addresses on a page: those of its first line (Java: `DefaultTopAddressing.clearNewLine`).
///
/// # Errors
/// [`HttpFailure::Page`] if they are no list, and [`HttpFailure::TooLarge`].
pub fn read_page(page: &[u8]) -> Result<NameServerAddresses, HttpFailure> {
    if page.len() > MAX_PAGE {
        return Err(HttpFailure::TooLarge);
    }
    let page = String::from_utf8_lossy(page);
    let first = page.trim().lines().next().unwrap_or_default();
    // `lines` keeps a lone carriage return.
    let first = first.split('\r').next().unwrap_or_default();
    let short = |error: ParseAddressesError| match error {
        ParseAddressesError::Invalid { piece, reason } => ParseAddressesError::Invalid {
            piece: piece.chars().take(100).collect(),
            reason,
        },
        other => other,
    };
    first
        .parse()
        .map_err(|error| HttpFailure::Page(short(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_a_page_is_the_list() {
        for page in [
            "a:1;b:2",
            "\r\n a:1;b:2 \r\nrest",
            "a:1;b:2\rc:3",
            "\na:1;b:2\n\n",
        ] {
            let list = read_page(page.as_bytes()).unwrap();
            assert_eq!(list.to_string(), "a:1;b:2", "{page:?}");
        }
        for page in [&b""[..], b" \n", b"<html>", b"a:1\xff"] {
            assert!(read_page(page).is_err());
        }
        let long = format!("<{}", "x".repeat(5000));
        assert!(read_page(long.as_bytes()).unwrap_err().to_string().len() < 300);
        assert!(matches!(
            read_page(&vec![b' '; MAX_PAGE + 1]),
            Err(HttpFailure::TooLarge)
        ));
    }
}
