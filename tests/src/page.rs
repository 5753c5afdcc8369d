//! A page over HTTP whose text a test can change, such as the list of name servers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A page on a port of 127.0.0.1, which ends when it is dropped.
#[derive(Debug)]
pub struct Page {
    address: SocketAddr,
    text: watch::Sender<Option<String>>,
    asked: Arc<watch::Sender<Vec<String>>>,
    _task: JoinSet<()>,
}

impl Page {
    /// A page with this text; none answers with status 500.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(text: Option<&str>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (text, shown) = watch::channel(text.map(str::to_owned));
        let asked = Arc::new(watch::Sender::new(Vec::new()));
        let notes = Arc::clone(&asked);
        let mut task = JoinSet::new();
        task.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => request.push(byte),
                        Err(_) => break,
                    }
                }
                let request = String::from_utf8_lossy(&request);
                let first = request.lines().next().unwrap_or_default().to_owned();
                let answer = match &*shown.borrow() {
                    Some(text) => format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
                        text.len()
                    ),
                    None => "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".to_owned(),
                };
                let _ = stream.write_all(answer.as_bytes()).await;
                notes.send_modify(|asked| asked.push(first));
            }
        });
        Ok(Self {
            address,
            text,
            asked,
            _task: task,
        })
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/rocketmq/nsaddr", self.address)
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Changes the text, and waits until it was asked for twice more: whoever asked before has it by then.
    pub async fn change(&self, text: Option<&str>) {
        self.text.send_replace(text.map(str::to_owned));
        let mut asked = self.asked.subscribe();
        let before = asked.borrow_and_update().len();
        // Ends with the page only.
        let _ = asked.wait_for(|asked| asked.len() >= before + 2).await;
    }

    /// The first lines of the requests so far.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked.borrow().clone()
    }
}
