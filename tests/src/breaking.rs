//! A stream that takes some bytes and then breaks, for tests of what had left by then.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::fuzz::random::Random;

/// Takes so many bytes, then every write fails as if the peer had reset the connection. Nothing ever comes to be read.
pub struct BreakingStream {
    left: usize,
    pieces: Option<Random>,
    taken: Taken,
}

/// The bytes that a [`BreakingStream`] took.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Taken {
    /// The bytes so far.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let bytes = self.bytes.lock();
        bytes.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, bytes: &[u8]) {
        let taken = self.bytes.lock();
        taken
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
    }
}

impl fmt::Debug for BreakingStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakingStream")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl BreakingStream {
    /// Breaks after so many bytes.
    #[must_use]
    pub fn after(bytes: usize) -> Self {
        Self {
            left: bytes,
            pieces: None,
            taken: Taken::default(),
        }
    }

    /// Takes a random number of bytes at a time, and sometimes none for a moment.
    #[must_use]
    pub fn in_pieces(mut self, random: Random) -> Self {
        self.pieces = Some(random);
        self
    }

    /// What it takes from now on and has taken.
    #[must_use]
    pub fn taken(&self) -> Taken {
        self.taken.clone()
    }
}

impl AsyncRead for BreakingStream {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for BreakingStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let mut most = bytes.len().min(self.left);
        if let Some(random) = &mut self.pieces {
            if random.one_in(4) {
                // A full socket, for a moment.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            most = most.min(1 + random.below(most));
        }
        self.left -= most;
        self.taken.add(bytes.get(..most).unwrap_or_default());
        Poll::Ready(Ok(most))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
