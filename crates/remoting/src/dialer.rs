//! How streams to an address are opened: the seam for proxies, TLS and simulations.

use std::io;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

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

/// Opens plain TCP connections.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a marker without state")]
pub struct TcpDialer;

#[async_trait]
impl Dialer for TcpDialer {
    async fn dial(
        &self,
        address: &str,
        options: &ConnectionOptions,
    ) -> io::Result<Box<dyn Transport>> {
        let stream = TcpStream::connect(address).await?;
        prepare(&stream, options)?;
        Ok(Box::new(stream))
    }
}

/// Sets the options of a fresh socket.
fn prepare(stream: &TcpStream, options: &ConnectionOptions) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    if let Some(idle) = options.tcp_keepalive {
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(idle)
            .with_interval(idle);
        socket.set_tcp_keepalive(&keepalive)?;
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(timeout) = options.tcp_user_timeout {
        let timeout = timeout.max(std::time::Duration::from_millis(1));
        socket.set_tcp_user_timeout(Some(timeout))?;
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_fresh_socket_has_the_options_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let timeout = Duration::from_secs(7);
        let options = ConnectionOptions::new().with_tcp_user_timeout(Some(timeout));
        let stream = TcpStream::connect(address).await.unwrap();
        prepare(&stream, &options).unwrap();
        let socket = socket2::SockRef::from(&stream);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(timeout));
        assert!(socket.keepalive().unwrap());
        assert!(stream.nodelay().unwrap());

        let plain = TcpStream::connect(address).await.unwrap();
        let options = options.with_tcp_user_timeout(None).with_tcp_keepalive(None);
        prepare(&plain, &options).unwrap();
        let socket = socket2::SockRef::from(&plain);
        assert_eq!(socket.tcp_user_timeout().unwrap(), None);
        assert!(!socket.keepalive().unwrap());
    }
}
