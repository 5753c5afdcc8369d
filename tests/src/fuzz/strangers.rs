//! Answers of those that are neither brokers nor name servers: pages over HTTP, and SOCKS5 proxies.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use bytes::Bytes;
use rocketmq_producer::remoting::{
    ConnectionOptions, Dialer, ProxyError, ProxyFailure, Socks5Dialer, Socks5Options, Transport,
};
use rocketmq_producer::routing::{
    DiscoveryUrl, HttpDiscovery, HttpFailure, NameServerAddresses, NameServerDiscovery as _,
    read_page,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::runtime::Builder;

use super::Verdict;
use super::corpus::Corpus;

/// Bytes of one read.
const PIECE: usize = 61;

pub(super) const HTTP_TOKENS: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 200 \r\n",
    b"HTTP/1.1 302 Found\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"Location: /other\r\n",
    b"Location: http://h:1/p\r\n",
    b"Location: //h/p\r\n",
    b"Content-Length: 7\r\n",
    b"Content-Length: 18446744073709551615\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"7\r\na:1;b:2\r\n0\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
    b"a:9876;b:9876",
    b"\xff",
];

pub(super) const PAGE_TOKENS: &[&[u8]] = &[
    b"\n",
    b"\r\n",
    b"\r",
    b"\t",
    b" ",
    b";",
    b",",
    b":",
    b"a:1",
    b"[::1]:2",
    b"<html>",
    b"\xc2\xa0",
    b"\xe2\x80\xa8",
    b"\xff",
    b"\x00",
];

pub(super) const SOCKS_TOKENS: &[&[u8]] = &[
    &[5, 0],
    &[5, 2, 1, 0],
    &[5, 255],
    &[5, 1],
    &[1, 1],
    &[5, 0, 0, 1, 127, 0, 0, 1, 0, 80],
    &[5, 0, 0, 4],
    &[5, 0, 0, 3, 255],
    &[5, 0, 0, 3, 0, 0, 0],
    &[5, 5, 0, 1],
    &[5, 9, 0, 1],
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
];

pub(super) fn http_seeds(_: &Corpus) -> Vec<Vec<u8>> {
    [
        "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\na:1;b:2",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\na:9876;b:9876;c:9876\r\nmore\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na:1\r\n4\r\n;b:2\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\n[::1]:9876",
        "HTTP/1.1 302 Found\r\nLocation: /rocketmq/nsaddr\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    ]
    .map(|answer| answer.as_bytes().to_vec())
    .into()
}

pub(super) fn page_seeds(_: &Corpus) -> Vec<Vec<u8>> {
    [
        "a:1;b:2",
        "\r\n a:1;b:2 \r\nrest",
        "a:1;b:2\rc:3",
        "\n[::1]:9876, b:2\n\n",
    ]
    .map(|page| page.as_bytes().to_vec())
    .into()
}

/// The first byte says whether a user is given.
pub(super) fn socks_seeds(_: &Corpus) -> Vec<Vec<u8>> {
    let connected = [5, 0, 0, 1, 127, 0, 0, 1, 0, 80];
    let named = [&[5, 0, 0, 3, 4][..], b"host", &[0, 80]].concat();
    let six = [&[5, 0, 0, 4][..], &[0; 18]].concat();
    vec![
        [&[0, 5, 0][..], &connected, b"and more"].concat(),
        [&[1, 5, 2, 1, 0][..], &connected].concat(),
        [&[1, 5, 0][..], &named, &[7]].concat(),
        [&[0, 5, 0][..], &six].concat(),
        vec![1, 5, 2, 1, 1],
        vec![0, 5, 0, 5, 2, 0, 1, 0, 0, 0, 0, 0, 0],
    ]
}

/// Whoever is dialled takes what is said, then says these bytes, and ends.
struct Says(Vec<u8>);

#[async_trait]
impl Dialer for Says {
    async fn dial(&self, _: &str, _: &ConnectionOptions) -> io::Result<Box<dyn Transport>> {
        Ok(Box::new(Answers {
            left: Bytes::copy_from_slice(&self.0),
            was_asked: false,
            reader: None,
        }))
    }
}

/// A stream that says nothing before it was asked something, and then a few bytes at a time.
struct Answers {
    left: Bytes,
    was_asked: bool,
    reader: Option<Waker>,
}

impl AsyncRead for Answers {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.was_asked {
            self.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let length = self.left.len().min(buffer.remaining()).min(PIECE);
        buffer.put_slice(&self.left.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Answers {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.was_asked = true;
        self.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Runs what waits for nobody; a wait would end at once, as a timeout.
fn run<T>(what: impl Future<Output = T>) -> T {
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    runtime.expect("a runtime without I/O").block_on(what)
}

pub(super) fn http(input: &[u8]) -> Verdict {
    let url: DiscoveryUrl = "http://host/rocketmq/nsaddr".parse().expect("a URL");
    let discovery = HttpDiscovery::new(url).with_dialer(Arc::new(Says(input.to_vec())));
    match run(discovery.addresses()) {
        Ok(addresses) => {
            assert_sound(&addresses);
            Verdict::Accepted
        }
        Err(error) => {
            let failure = HttpFailure::of(&error).expect("every failure has its cause");
            // Nothing is left to wait for when the bytes have ended.
            assert!(!matches!(failure, HttpFailure::TimedOut(_)), "it waits");
            assert!(failure.to_string().len() < 5_000, "{failure}");
            Verdict::Refused
        }
    }
}

pub(super) fn page(input: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(input);
    let first = text.trim().split(['\n', '\r']).next().unwrap_or_default();
    let list = first.parse::<NameServerAddresses>();
    match read_page(input) {
        Ok(addresses) => {
            assert_eq!(list.as_ref(), Ok(&addresses), "{text:?}");
            assert_sound(&addresses);
            Verdict::Accepted
        }
        Err(error) => {
            assert!(list.is_err() || matches!(error, HttpFailure::TooLarge));
            assert!(error.to_string().len() < 1_000, "{error}");
            Verdict::Refused
        }
    }
}

fn assert_sound(addresses: &NameServerAddresses) {
    assert!((1..=NameServerAddresses::MAX).contains(&addresses.len()));
    assert_eq!(addresses.to_string().parse().as_ref(), Ok(addresses));
}

pub(super) fn socks(input: &[u8]) -> Verdict {
    let (first, said) = input.split_first().unwrap_or((&0, &[]));
    let has_user = first % 2 == 1;
    let options = Socks5Options::new("proxy:1080");
    let options = if has_user {
        options.with_user("user", "password")
    } else {
        options
    };
    let dialer = Socks5Dialer::over(Arc::new(Says(said.to_vec())), options);
    let outcome = run(async {
        let mut stream = dialer
            .dial("broker:10911", &ConnectionOptions::new())
            .await?;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await?;
        Ok::<_, io::Error>(rest)
    });
    let expected = behind_answers(said, has_user);
    match outcome {
        Ok(rest) => {
            // Not a byte of the broker is taken for one of the proxy.
            assert_eq!(Some(&rest[..]), expected);
            Verdict::Accepted
        }
        Err(error) => {
            assert_eq!(expected, None, "{error}");
            let cause = error.get_ref().and_then(|e| e.downcast_ref::<ProxyError>());
            let cause = cause.expect("every failure names the proxy");
            assert_eq!(cause.proxy(), "proxy:1080");
            let failure = cause.failure();
            // Which is taken for lasting: nothing else may be.
            let asks = matches!(said, [5, 2 | 255, ..]);
            let is_login = matches!(failure, ProxyFailure::LoginRequired);
            assert!(asks || !is_login, "{failure}");
            assert!(
                !matches!(
                    failure,
                    ProxyFailure::TimedOut { .. } | ProxyFailure::Unreachable(_)
                ),
                "{failure}"
            );
            Verdict::Refused
        }
    }
}

/// What follows a proxy's consent, as RFC 1928 and RFC 1929 have it; none if it does not consent.
fn behind_answers(said: &[u8], has_user: bool) -> Option<&[u8]> {
    let said = match said {
        [5, 0, rest @ ..] => rest,
        [5, 2, 1, 0, rest @ ..] if has_user => rest,
        _ => return None,
    };
    let (address, rest) = match said {
        [5, 0, 0, 1, rest @ ..] => (4, rest),
        [5, 0, 0, 4, rest @ ..] => (16, rest),
        [5, 0, 0, 3, length, rest @ ..] => {
            // A name has to be text, which nobody needs but the reader insists on.
            let name = rest.get(..usize::from(*length))?;
            std::str::from_utf8(name).ok()?;
            (name.len(), rest)
        }
        _ => return None,
    };
    rest.get(address + 2..)
}
