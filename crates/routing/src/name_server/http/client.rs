//! Asking the page.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::header::{ACCEPT, CONNECTION, HOST, LOCATION, USER_AGENT};
use hyper::{Request, Response, client::conn::http1};
use hyper_util::rt::TokioIo;
use rocketmq_producer_remoting::{ConnectionOptions, Dialer, TcpDialer};

use super::super::addresses::NameServerAddresses;
use super::super::discovery::{DiscoveryError, NameServerDiscovery};
use super::super::source::DiscoveryUrl;
use super::{HttpFailure, MAX_PAGE, read_page};

/// How often one question may be sent on to another page.
const MAX_REDIRECTS: usize = 3;

/// Asks a page for the addresses of the name servers: the first line of what `GET` brings, `host:port;host:port` (Java:
/// `DefaultTopAddressing`).
///
/// The page may have 64 KiB, and send on to other pages three times.
#[derive(Clone)]
pub struct HttpDiscovery {
    url: DiscoveryUrl,
    dialer: Arc<dyn Dialer>,
    timeout: Duration,
}

impl fmt::Debug for HttpDiscovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpDiscovery")
            .field("url", &self.url)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl HttpDiscovery {
    /// Asks this page, over TCP, for 3 s at most.
    #[must_use]
    pub fn new(url: DiscoveryUrl) -> Self {
        Self {
            url,
            dialer: Arc::new(TcpDialer),
            timeout: Duration::from_secs(3),
        }
    }

    /// Sets what opens the connections to the page's server.
    #[must_use]
    pub fn with_dialer(mut self, dialer: Arc<dyn Dialer>) -> Self {
        self.dialer = dialer;
        self
    }

    /// Sets the longest wait for the page. Default 3 s.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    async fn ask(&self) -> Result<NameServerAddresses, HttpFailure> {
        let mut url = self.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            match self.get(&url).await? {
                Answer::Page(page) => return read_page(&page),
                Answer::Elsewhere(location) => {
                    let next = url.redirected(&location);
                    url = next.map_err(|error| HttpFailure::Redirect(error.to_string()))?;
                }
            }
        }
        Err(HttpFailure::Redirect(format!(
            "more than {MAX_REDIRECTS} redirections"
        )))
    }

    async fn get(&self, url: &DiscoveryUrl) -> Result<Answer, HttpFailure> {
        let options = ConnectionOptions::new().with_connect_timeout(self.timeout);
        let stream = self.dialer.dial(url.address(), &options).await;
        let stream = stream.map_err(|error| HttpFailure::Connect(Arc::new(error)))?;
        let mut http = http1::Builder::new();
        http.max_buf_size(MAX_PAGE);
        let (mut sender, connection) =
            http.handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let request = Request::get(url.target())
            .header(HOST, url.authority())
            .header(USER_AGENT, "rocketmq-producer")
            .header(ACCEPT, "text/plain, */*")
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new());
        let request = request.map_err(|error| HttpFailure::Redirect(error.to_string()))?;
        let exchange = async { read(sender.send_request(request).await.map_err(broken)?).await };
        let driving = async {
            // How it ends, the exchange tells.
            let _ = connection.await;
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            answer = exchange => answer,
            never = driving => match never {},
        }
    }
}

enum Answer {
    Page(Bytes),
    Elsewhere(String),
}

async fn read(response: Response<hyper::body::Incoming>) -> Result<Answer, HttpFailure> {
    let status = response.status();
    if matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        let location = response.headers().get(LOCATION);
        let location = location.and_then(|location| location.to_str().ok());
        let location = location.ok_or(HttpFailure::Status(status.as_u16()))?;
        return Ok(Answer::Elsewhere(location.to_owned()));
    }
    // Java takes no other success either.
    if status.as_u16() != 200 {
        return Err(HttpFailure::Status(status.as_u16()));
    }
    match Limited::new(response.into_body(), MAX_PAGE).collect().await {
        Ok(page) => Ok(Answer::Page(page.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Err(HttpFailure::TooLarge),
        Err(error) => Err(HttpFailure::Protocol(error.to_string())),
    }
}

fn broken(error: hyper::Error) -> HttpFailure {
    HttpFailure::Protocol(error.to_string())
}

#[async_trait]
impl NameServerDiscovery for HttpDiscovery {
    async fn addresses(&self) -> Result<NameServerAddresses, DiscoveryError> {
        let outcome = match tokio::time::timeout(self.timeout, self.ask()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(HttpFailure::TimedOut(self.timeout)),
        };
        outcome.map_err(|failure| failure.about(&self.url))
    }

    fn patience(&self) -> Duration {
        // It ends by itself before.
        self.timeout.saturating_add(Duration::from_secs(1))
    }
}
