//! A SOCKS5 proxy for tests, which can be told to refuse.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What a proxy does with those who come.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Manner {
    /// Connects them.
    #[default]
    Open,
    /// Connects those who know the user and the password.
    Login(&'static str, &'static str),
    /// Answers every wish for a connection with this code.
    Refuse(u8),
    /// Takes connections and says nothing.
    Silent,
    /// Speaks something else.
    Http,
}

/// A proxy on a port of 127.0.0.1, which ends when it is dropped.
#[derive(Debug)]
pub struct SocksProxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

/// What the connections of one proxy share.
#[derive(Debug, Clone)]
struct House {
    manner: Manner,
    /// Names that only the proxy knows.
    names: Arc<HashMap<String, SocketAddr>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl SocksProxy {
    /// Starts a proxy.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(manner: Manner) -> io::Result<Self> {
        Self::with_names(manner, []).await
    }

    /// Starts a proxy that knows some names (`host:port`) by itself.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn with_names(
        manner: Manner,
        names: impl IntoIterator<Item = (String, SocketAddr)>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let house = House {
            manner,
            names: Arc::new(names.into_iter().collect()),
            asked: Arc::default(),
        };
        let asked = Arc::clone(&house.asked);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut guests = JoinSet::new();
            while let Ok((guest, _)) = listener.accept().await {
                let house = house.clone();
                guests.spawn(async move {
                    let _ = house.serve(guest).await;
                });
            }
        });
        Ok(Self {
            address,
            asked,
            _task: task,
        })
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Where it was asked to connect to, in the order of asking.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.clone()
    }
}

const VERSION: u8 = 5;
const NO_LOGIN: u8 = 0;
const PASSWORD: u8 = 2;

impl House {
    async fn serve(&self, mut guest: TcpStream) -> io::Result<()> {
        match self.manner {
            Manner::Silent => {
                let mut all = Vec::new();
                guest.read_to_end(&mut all).await?;
                return Ok(());
            }
            Manner::Http => {
                let mut first = [0; 3];
                guest.read_exact(&mut first).await?;
                return guest.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            }
            _ => {}
        }
        let [_, count] = read::<2>(&mut guest).await?;
        let mut methods = vec![0; usize::from(count)];
        guest.read_exact(&mut methods).await?;
        if let Manner::Login(user, password) = self.manner {
            if !methods.contains(&PASSWORD) {
                return guest.write_all(&[VERSION, 0xff]).await;
            }
            guest.write_all(&[VERSION, PASSWORD]).await?;
            let [_, length] = read::<2>(&mut guest).await?;
            let given = text(&mut guest, length).await?;
            let [length] = read::<1>(&mut guest).await?;
            let fits = given == user && text(&mut guest, length).await? == password;
            guest.write_all(&[1, u8::from(!fits)]).await?;
            if !fits {
                return Ok(());
            }
        } else {
            guest.write_all(&[VERSION, NO_LOGIN]).await?;
        }
        let [_, _, _, kind] = read::<4>(&mut guest).await?;
        let host = match kind {
            1 => std::net::Ipv4Addr::from(read::<4>(&mut guest).await?).to_string(),
            4 => std::net::Ipv6Addr::from(read::<16>(&mut guest).await?).to_string(),
            _ => {
                let [length] = read::<1>(&mut guest).await?;
                text(&mut guest, length).await?
            }
        };
        let port = u16::from_be_bytes(read::<2>(&mut guest).await?);
        let target = format!("{host}:{port}");
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(target.clone());
        let (code, server) = match self.manner {
            Manner::Refuse(code) => (code, None),
            _ => match self.connect(&target).await {
                Ok(server) => (0, Some(server)),
                // Connection refused.
                Err(_) => (5, None),
            },
        };
        guest
            .write_all(&[VERSION, code, 0, 1, 127, 0, 0, 1, 0, 0])
            .await?;
        if let Some(mut server) = server {
            server.set_nodelay(true)?;
            guest.set_nodelay(true)?;
            copy_bidirectional(&mut guest, &mut server).await?;
        }
        Ok(())
    }

    async fn connect(&self, target: &str) -> io::Result<TcpStream> {
        match self.names.get(target) {
            Some(address) => TcpStream::connect(address).await,
            None => TcpStream::connect(target).await,
        }
    }
}

async fn read<const N: usize>(guest: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    guest.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn text(guest: &mut TcpStream, length: u8) -> io::Result<String> {
    let mut bytes = vec![0; usize::from(length)];
    guest.read_exact(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
