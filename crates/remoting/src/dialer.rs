//! How streams to an address are opened: the seam for proxies, TLS and simulations.

mod failure;
mod tcp;

use std::io;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

pub use self::failure::HostFailure;
pub(crate) use self::failure::{Rerouted, find};
pub use self::tcp::{Resolver, ResolvingDialer, TcpDialer};
use crate::connection::ConnectionOptions;

/// A stream of bytes to a peer. Vectored writes must pass through to what is beneath, or frames of
/// many callers leave one by one.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + ?Sized> Transport for T {}

/// Opens streams for a [`ConnectionPool`](crate::ConnectionPool).
#[async_trait]
pub trait Dialer: Send + Sync + 'static {
    /// Opens a stream to `address` (`host:port`). The pool sees to
    /// [`connect_timeout`](ConnectionOptions::connect_timeout) and to pauses between attempts.
    ///
    /// # Errors
    /// Whatever kept the stream from opening.
    ///
    /// # Cancel safety
    /// Dropped when the connect timeout has passed or the pool closes; nothing may stay behind.
    async fn dial(
        &self,
        address: &str,
        options: &ConnectionOptions,
    ) -> io::Result<Box<dyn Transport>>;
}
