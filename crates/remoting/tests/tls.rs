//! Connections over TLS, against a server of rustls: every way it can fail is told apart.
#![cfg(feature = "tls")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "clippy does not see that the helpers of an integration test are tests"
)]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rocketmq_producer_remoting::protocol::{HeartbeatRequestHeader, SendMessageRequestHeader};
use rocketmq_producer_remoting::{
    ConnectFailure, ConnectionOptions, ConnectionPool, Delivery, FrameDecoder, HeaderEncoding,
    NoConsumer, RemotingCommand, RequestFailure, ResponseCode, TlsDialer, TlsFailure, TlsOptions,
    TlsOptionsError, TlsVersion,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};
use tokio_util::codec::FramedRead;

/// An authority, and the files of what it has signed.
struct Authority {
    dir: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), cert.pem()).unwrap();
        Self { dir, issuer }
    }

    fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Files of a certificate for `names`, over since `expired`.
    fn signs(&self, file: &str, names: &[&str], expired: bool) -> (PathBuf, PathBuf) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        if expired {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let path = |end: &str| self.dir.path().join(format!("{file}.{end}"));
        std::fs::write(path("pem"), cert.pem()).unwrap();
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
        (path("pem"), path("key"))
    }
}

/// Answers every request with 0 and its own body.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> io::Result<()> {
    let (read, mut write) = tokio::io::split(stream);
    let mut frames = FramedRead::new(read, FrameDecoder::default());
    use futures_util::StreamExt;
    while let Some(Ok(frame)) = frames.next().await {
        let request = RemotingCommand::decode(frame).unwrap();
        let answer = RemotingCommand::response(ResponseCode::SUCCESS, request.opaque, None)
            .with_body(request.body);
        let mut bytes = BytesMut::new();
        answer.encode(HeaderEncoding::Binary, &mut bytes).unwrap();
        write.write_all(&bytes).await?;
        write.flush().await?;
    }
    Ok(())
}

/// A server with this certificate; with `clients`, only for clients that they have signed.
async fn server(cert: &(PathBuf, PathBuf), clients: Option<&Authority>) -> String {
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_file(authority.ca()).unwrap())
                .unwrap();
            let roots = Arc::new(roots);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let chain = CertificateDer::from_pem_file(&cert.0).unwrap();
    let key = PrivateKeyDer::from_pem_file(&cert.1).unwrap();
    let config = builder.with_single_cert(vec![chain], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    let _ = serve(stream).await;
                }
            });
        }
    });
    address
}

/// A server that closes every connection whose first bytes it has read, having said `word`.
async fn plain_server(word: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut first = [0; 1];
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut first).await;
            let _ = stream.write_all(word).await;
        }
    });
    address
}

fn pool(options: &TlsOptions) -> ConnectionPool {
    let dialer = Arc::new(TlsDialer::new(options).unwrap());
    ConnectionPool::with_dialer(ConnectionOptions::new(), Arc::new(NoConsumer), dialer)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// How TLS fails to connect.
async fn failure(options: &TlsOptions, address: &str) -> TlsFailure {
    let error = pool(options).connection(address, soon()).await.unwrap_err();
    let failure = error.failure();
    let found = failure.tls().unwrap_or_else(|| panic!("{error}"));
    assert!(matches!(failure, ConnectFailure::Io(_)), "{error}");
    assert!(error.to_string().contains(&found.to_string()), "{error}");
    found.clone()
}

fn trusting(authority: &Authority) -> TlsOptions {
    TlsOptions::new().with_ca(authority.ca())
}

#[tokio::test]
async fn requests_of_many_callers_and_large_bodies_are_answered() {
    let authority = Authority::new("authority");
    let cert = authority.signs("server", &["127.0.0.1"], false);
    let address = server(&cert, None).await;
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let pool = pool(&trusting(&authority).with_min_version(version));
        let connection = pool.connection(&address, soon()).await.unwrap();
        let bodies: Vec<Bytes> = [0, 1, 300, 16 * 1024, 70_000, 3_000_000]
            .into_iter()
            .cycle()
            .take(60)
            .enumerate()
            .map(|(n, size)| Bytes::from(vec![u8::try_from(n).unwrap(); size]))
            .collect();
        let header = SendMessageRequestHeader::new("g", "t", 0, 1);
        let requests = bodies
            .iter()
            .map(|body| connection.request(&header, body, soon()));
        let answers = futures_util::future::join_all(requests).await;
        for (answer, body) in answers.into_iter().zip(&bodies) {
            assert_eq!(answer.unwrap().body(), body);
        }
        // Nothing more follows that could push the last bytes out.
        let last = connection.request(&header, &bodies[0], soon()).await;
        assert!(last.is_ok());
        let stats = pool.stats();
        assert!(stats.writes < 61 * 64, "{stats:?}");
        pool.close(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn a_name_instead_of_the_address_can_be_asked_for() {
    let authority = Authority::new("authority");
    let cert = authority.signs("server", &["mq.internal"], false);
    let address = server(&cert, None).await;
    let named = trusting(&authority).with_server_name("mq.internal");
    pool(&named).connection(&address, soon()).await.unwrap();
    assert_eq!(
        failure(&trusting(&authority), &address).await,
        TlsFailure::NameMismatch {
            expected: "127.0.0.1".to_owned()
        }
    );
}

#[tokio::test]
async fn certificates_that_prove_nothing_are_refused_each_with_its_reason() {
    let (authority, other) = (Authority::new("authority"), Authority::new("other"));
    let good = server(&authority.signs("good", &["127.0.0.1"], false), None).await;
    let old = server(&authority.signs("old", &["127.0.0.1"], true), None).await;
    assert_eq!(
        failure(&trusting(&other), &good).await,
        TlsFailure::UnknownCa
    );
    assert_eq!(
        failure(&trusting(&authority), &old).await,
        TlsFailure::Expired
    );
    let careless = TlsOptions::new().with_danger_accept_invalid_certs(true);
    for address in [good, old] {
        let pool = pool(&careless);
        let connection = pool.connection(&address, soon()).await.unwrap();
        let answer = connection
            .request(&HeartbeatRequestHeader, &Bytes::new(), soon())
            .await;
        assert!(answer.is_ok());
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_and_missed() {
    let (authority, other) = (Authority::new("authority"), Authority::new("other"));
    let cert = authority.signs("server", &["127.0.0.1"], false);
    let address = server(&cert, Some(&authority)).await;
    let (cert, key) = authority.signs("client", &["client"], false);
    let pool_with = pool(&trusting(&authority).with_client_cert(cert, key));
    let connection = pool_with.connection(&address, soon()).await.unwrap();
    let nothing = Bytes::new();
    let request = connection.request(&HeartbeatRequestHeader, &nothing, soon());
    assert!(request.await.is_ok());

    let (strange, strange_key) = other.signs("client", &["client"], false);
    let without = trusting(&authority);
    let with_strange = trusting(&authority).with_client_cert(strange, strange_key);
    for (options, missing) in [(without, true), (with_strange, false)] {
        // TLS 1.3 tells a client only after it has sent its first request.
        let pool = pool(&options);
        let connection = pool.connection(&address, soon()).await.unwrap();
        let request = connection.request(&HeartbeatRequestHeader, &nothing, soon());
        let error = request.await.unwrap_err();
        assert_eq!(error.delivery(), Delivery::Unknown, "{error}");
        let RequestFailure::ConnectionLost(reason) = error.failure() else {
            panic!("{error}");
        };
        match reason.tls() {
            Some(TlsFailure::ClientCertificateRequired) => assert!(missing, "{error}"),
            Some(TlsFailure::ClientCertificateRefused(_)) => assert!(!missing, "{error}"),
            other => panic!("{other:?} {error}"),
        }
    }
}

#[tokio::test]
async fn a_server_without_tls_is_said_to_be_one() {
    let authority = Authority::new("authority");
    for word in [
        &b""[..],
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        &[0, 0, 0, 9, 1, 2, 3, 4, 5, 6],
    ] {
        let address = plain_server(word).await;
        assert_eq!(
            failure(&trusting(&authority), &address).await,
            TlsFailure::NotTls,
            "{word:?}"
        );
    }
}

#[test]
fn options_that_cannot_be_used_say_which_file_and_why() {
    let authority = Authority::new("authority");
    let (cert, key) = authority.signs("client", &["client"], false);
    let other = authority.signs("other", &["client"], false);
    let empty = authority.dir.path().join("empty.pem");
    std::fs::write(&empty, "nothing of the kind").unwrap();
    let refused = |options: TlsOptions| TlsDialer::new(&options).unwrap_err();
    let trusting = || trusting(&authority);

    let error = refused(TlsOptions::new().with_ca("/nonexistent/ca.pem"));
    assert!(
        matches!(error, TlsOptionsError::Unreadable { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("/nonexistent/ca.pem"));
    let error = refused(TlsOptions::new().with_ca(&empty));
    assert!(matches!(error, TlsOptionsError::Missing { .. }), "{error}");
    let error = refused(trusting().with_client_cert(&cert, &empty));
    assert!(matches!(error, TlsOptionsError::Missing { .. }), "{error}");
    let error = refused(trusting().with_client_cert(&key, &key));
    assert!(matches!(error, TlsOptionsError::Missing { .. }), "{error}");
    let error = refused(trusting().with_client_cert(&cert, &other.1));
    assert!(
        matches!(error, TlsOptionsError::ClientCertificate(_)),
        "{error}"
    );
    let error = refused(trusting().with_server_name("not a name"));
    assert!(matches!(error, TlsOptionsError::ServerName(_)), "{error}");
    let mut half = trusting();
    half.cert = Some(Path::new(&cert).to_path_buf());
    assert!(matches!(refused(half), TlsOptionsError::HalfPair));
}
