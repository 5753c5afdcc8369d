//! Plain TCP: names are resolved for every dial, and their addresses tried in turn.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::{Dialer, HostFailure, Transport};
use crate::address;
use crate::connection::ConnectionOptions;

/// The most addresses of one name that a dial tries.
const MAX_ADDRESSES: usize = 16;

/// Turns names into addresses.
#[async_trait]
pub trait Resolver: Send + Sync + 'static {
    /// The addresses of `host`, in the order in which they are to be tried. Asked anew for every dial, but not for IP
    /// addresses.
    ///
    /// # Errors
    /// Whatever keeps the name from being resolved.
    ///
    /// # Cancel safety
    /// Dropped when the connect timeout has passed; nothing may stay behind.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// Opens plain TCP connections. A name is resolved by the operating system for every dial; its addresses are tried one
/// after the other, each for its share of the connect timeout.
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
        open(&System, address, options).await
    }
}

/// Opens plain TCP connections as [`TcpDialer`] does, to the addresses that a [`Resolver`] of one's own gives.
#[derive(Clone)]
pub struct ResolvingDialer {
    resolver: Arc<dyn Resolver>,
}

impl ResolvingDialer {
    /// Dials what `resolver` gives.
    #[must_use]
    pub fn new(resolver: Arc<dyn Resolver>) -> Self {
        Self { resolver }
    }
}

impl fmt::Debug for ResolvingDialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolvingDialer").finish_non_exhaustive()
    }
}

#[async_trait]
impl Dialer for ResolvingDialer {
    async fn dial(
        &self,
        address: &str,
        options: &ConnectionOptions,
    ) -> io::Result<Box<dyn Transport>> {
        open(&*self.resolver, address, options).await
    }
}

/// The operating system's resolver.
struct System;

#[async_trait]
impl Resolver for System {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

async fn open(
    resolver: &dyn Resolver,
    address: &str,
    options: &ConnectionOptions,
) -> io::Result<Box<dyn Transport>> {
    let stream = connect(resolver, address, options.connect_timeout).await?;
    prepare(&stream, options)?;
    Ok(Box::new(stream))
}

async fn connect(resolver: &dyn Resolver, address: &str, limit: Duration) -> io::Result<TcpStream> {
    if let Ok(address) = address.parse::<SocketAddr>() {
        return TcpStream::connect(address).await;
    }
    let Some((host, port)) = address::split(address) else {
        let reason = format!("{address:?} is no address, write host:port");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    };
    // A little before whoever waits for the dial gives it up, so that the error can still say what was tried.
    let end = Instant::now() + limit.mul_f64(0.95);
    let unresolved = |cause| {
        let host = host.to_owned();
        HostFailure::Unresolved { host, cause }.into_io()
    };
    let mut found = resolver.resolve(host, port).await.map_err(unresolved)?;
    found.truncate(MAX_ADDRESSES);
    if let [only] = found.as_slice() {
        return TcpStream::connect(only).await;
    }
    if found.is_empty() {
        let cause = io::Error::new(io::ErrorKind::NotFound, "it has no address");
        return Err(unresolved(cause));
    }
    let mut attempts = Vec::new();
    let mut left = u32::try_from(found.len()).unwrap_or(u32::MAX);
    for address in found {
        let share = end.saturating_duration_since(Instant::now()) / left.max(1);
        left = left.saturating_sub(1);
        let error = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error,
            Err(_) => io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no answer within {share:.1?}"),
            ),
        };
        attempts.push((address, error));
    }
    let host = host.to_owned();
    Err(HostFailure::Unreachable { host, attempts }.into_io())
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
        let timeout = timeout.max(Duration::from_millis(1));
        socket.set_tcp_user_timeout(Some(timeout))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use tokio::net::TcpListener;

    use super::*;

    /// Gives the next list at each question.
    struct Script(Mutex<VecDeque<Vec<SocketAddr>>>);

    #[async_trait]
    impl Resolver for Script {
        async fn resolve(&self, host: &str, _port: u16) -> io::Result<Vec<SocketAddr>> {
            assert_eq!(host, "mq.internal", "IP addresses are not asked about");
            let next = self.0.lock().unwrap().pop_front();
            next.ok_or_else(|| io::Error::other("no such host"))
        }
    }

    fn dialer(lists: &[&[SocketAddr]]) -> ResolvingDialer {
        let lists = lists.iter().map(|list| list.to_vec()).collect();
        ResolvingDialer::new(Arc::new(Script(Mutex::new(lists))))
    }

    async fn listening() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    async fn closed() -> SocketAddr {
        listening().await.1
    }

    #[tokio::test]
    async fn a_name_is_resolved_anew_for_every_dial() {
        let ((one, first), (other, second)) = (listening().await, listening().await);
        let dialer = dialer(&[&[first], &[second]]);
        let options = ConnectionOptions::new();
        for listener in [one, other] {
            dialer.dial("mq.internal:9876", &options).await.unwrap();
            listener.accept().await.unwrap();
        }
    }

    #[tokio::test]
    async fn the_addresses_of_a_name_are_tried_in_turn() {
        let (listener, good) = listening().await;
        let dialer = dialer(&[&[closed().await, good, closed().await]]);
        let options = ConnectionOptions::new();
        dialer.dial("mq.internal:1", &options).await.unwrap();
        listener.accept().await.unwrap();
    }

    #[tokio::test]
    async fn a_name_without_a_reachable_address_tells_what_was_tried() {
        let (one, other) = (closed().await, closed().await);
        let dialer = dialer(&[&[one, other], &[]]);
        let options = ConnectionOptions::new();
        let failed = async |address: &str| dialer.dial(address, &options).await.err().unwrap();
        let error = failed("mq.internal:1").await;
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        for address in [one, other] {
            assert!(error.to_string().contains(&address.to_string()), "{error}");
        }
        let found = super::super::find::<HostFailure>(&error);
        assert!(
            matches!(found, Some(HostFailure::Unreachable { attempts, .. }) if attempts.len() == 2)
        );
        for nothing in ["without an address", "without an answer"] {
            let error = failed("mq.internal:1").await;
            let found = super::super::find::<HostFailure>(&error);
            assert!(
                matches!(found, Some(HostFailure::Unresolved { host, .. }) if host == "mq.internal"),
                "{nothing}: {error}"
            );
        }
        let error = failed("nonsense").await;
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        // Not asked about at all.
        assert!(failed(&one.to_string()).await.get_ref().is_none());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_fresh_socket_has_the_options_asked_for() {
        let (_listener, address) = listening().await;
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
