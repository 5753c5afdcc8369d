//! Whether a server speaks TLS on the connections it takes.

use std::io;

use super::socket::Stream;

/// What every connection of a server goes through before it is served.
#[derive(Clone, Default)]
pub(crate) struct Security {
    #[cfg(feature = "tls")]
    acceptor: Option<tokio_rustls::TlsAcceptor>,
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Security").finish_non_exhaustive()
    }
}

#[cfg(not(feature = "tls"))]
impl Security {
    #[expect(clippy::unused_async, reason = "with the feature it waits")]
    pub(super) async fn secure(&self, stream: Stream) -> io::Result<Stream> {
        Ok(stream)
    }
}

#[cfg(feature = "tls")]
impl Security {
    pub(crate) fn tls(acceptor: tokio_rustls::TlsAcceptor) -> Self {
        Self {
            acceptor: Some(acceptor),
        }
    }

    /// The stream to serve: as it is, or the TLS session on it. A client that speaks plain text is left without a word,
    /// as Apache's servers do in the mode `enforcing`.
    pub(super) async fn secure(&self, stream: Stream) -> io::Result<Stream> {
        /// A record of a handshake begins with it; no frame that is allowed does.
        const HANDSHAKE: u8 = 0x16;
        let Some(acceptor) = &self.acceptor else {
            return Ok(stream);
        };
        if let Stream::Tcp(stream) = &stream {
            let mut first = [0];
            if stream.peek(&mut first).await? == 1 && first != [HANDSHAKE] {
                // Else the system would send a reset.
                let _ = stream.try_read(&mut [0; 64 * 1024]);
                let reason = "plain text where TLS was due";
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
        }
        let session = acceptor.accept(stream).await?;
        Ok(Stream::Tls(Box::new(session)))
    }
}
