//! Ports, listeners and streams, of the operating system or in memory.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use rocketmq_producer_remoting::Transport;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;

use super::BACKLOG;
use super::security::Security;
use crate::network::{Arrival, MemoryNetwork};

/// Where servers listen, and what their connections go through.
#[derive(Clone, Debug, Default)]
pub(crate) struct Site {
    /// None: on loopback.
    pub(crate) network: Option<MemoryNetwork>,
    pub(crate) security: Security,
}

/// A port that is held and refuses connections.
#[derive(Debug)]
pub(super) enum Held {
    /// A bound socket that does not listen.
    Tcp(TcpSocket),
    Memory(MemoryNetwork),
}

pub(super) enum Listener {
    Tcp(TcpListener),
    Memory(mpsc::Receiver<Arrival>),
}

pub(super) enum Stream {
    Tcp(TcpStream),
    Memory(Box<dyn Transport>),
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::server::TlsStream<Self>>),
}

impl Site {
    /// Takes a port, 0 standing for any free one.
    pub(super) fn bind(&self, port: u16) -> io::Result<(Held, SocketAddr)> {
        match &self.network {
            None => {
                let socket = TcpSocket::new_v4()?;
                // Connections of an earlier run that still close must not keep the port.
                socket.set_reuseaddr(true)?;
                socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
                let address = socket.local_addr()?;
                Ok((Held::Tcp(socket), address))
            }
            Some(network) => {
                let address = network.bind(port);
                Ok((Held::Memory(network.clone()), address))
            }
        }
    }
}

impl Held {
    pub(super) fn listen(self, address: SocketAddr) -> io::Result<Listener> {
        Ok(match self {
            Self::Tcp(socket) => {
                // 1024 fits any integer.
                Listener::Tcp(socket.listen(u32::try_from(BACKLOG).unwrap_or(u32::MAX))?)
            }
            Self::Memory(network) => Listener::Memory(network.listen(address)),
        })
    }
}

impl Listener {
    pub(super) async fn accept(&mut self) -> io::Result<(Stream, SocketAddr)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), address))
            }
            Self::Memory(arrivals) => match arrivals.recv().await {
                Some((stream, address)) => Ok((Stream::Memory(stream), address)),
                // Another server has taken the address.
                None => std::future::pending().await,
            },
        }
    }
}

impl Stream {
    /// Ends the connection so that the client sees a reset instead of an orderly end. In memory
    /// there is no such thing.
    pub(super) fn reset(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_zero_linger(),
            Self::Memory(_) => Ok(()),
            #[cfg(feature = "tls")]
            Self::Tls(session) => session.get_ref().0.reset(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Memory(stream) => Pin::new(stream).poll_read(cx, buffer),
            #[cfg(feature = "tls")]
            Self::Tls(session) => Pin::new(session).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Memory(stream) => Pin::new(stream).poll_write(cx, bytes),
            #[cfg(feature = "tls")]
            Self::Tls(session) => Pin::new(session).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Memory(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(feature = "tls")]
            Self::Tls(session) => Pin::new(session).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Memory(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(feature = "tls")]
            Self::Tls(session) => Pin::new(session).poll_shutdown(cx),
        }
    }
}
