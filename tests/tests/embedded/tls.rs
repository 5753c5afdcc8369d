//! TLS between the producer and embedded servers: what is refused, and in which words.

use std::time::Duration;

use anyhow::{Context, Result};
use rocketmq_producer::config::ProducerConfigBuilder;
use rocketmq_producer::config::routing::{AttemptCause, RoutingError};
use rocketmq_producer::remoting::{ConnectFailure, TlsFailure, TlsVersion};
use rocketmq_producer::{Delivery, Message, Producer, SendError, SendFailure};
use rocketmq_producer_embedded::{EmbeddedCluster, ServerTls};
use rocketmq_producer_tests::authority::{Authority, Signed, Validity, text};

use crate::support::{PATIENT, cluster};

const TOPIC: &str = "tls";
const HERE: &[&str] = &["127.0.0.1"];

/// Servers that speak TLS only.
async fn servers(tls: ServerTls) -> Result<EmbeddedCluster> {
    Ok(cluster().topic(TOPIC, 2).tls(tls).start().await?)
}

fn of(signed: &Signed) -> ServerTls {
    ServerTls::new(&signed.cert, &signed.key)
}

async fn producer(
    cluster: &EmbeddedCluster,
    change: impl FnOnce(ProducerConfigBuilder) -> ProducerConfigBuilder,
) -> Result<Producer> {
    let builder = Producer::builder("g").name_servers(&cluster.name_servers());
    let builder = builder.configure(|settings| change(settings.send_msg_timeout(PATIENT)));
    Ok(builder.start().await?)
}

/// The error of one send that cannot be done.
async fn failing(
    cluster: &EmbeddedCluster,
    change: impl FnOnce(ProducerConfigBuilder) -> ProducerConfigBuilder,
) -> Result<SendError> {
    let producer = producer(cluster, change).await?;
    let error = producer.send(Message::new(TOPIC, "never")?).await.err();
    let error = error.context("it cannot be sent")?;
    assert_eq!(error.delivery(), Delivery::NotSent, "{error:?}");
    assert_eq!(cluster.message_count(TOPIC), 0);
    Ok(error)
}

/// How TLS failed with a name server or a broker.
fn tls_of(error: &SendError) -> Option<TlsFailure> {
    let failure = match error.cause() {
        SendFailure::Routing(RoutingError::NameServer { cause, .. }) => {
            match &cause.attempts().first()?.cause {
                AttemptCause::Connect(error) => error.failure().tls(),
                AttemptCause::Request(error) => error.failure().lost()?.tls(),
                _ => None,
            }
        }
        SendFailure::Connect(error) | SendFailure::BrokerAway { cause: error, .. } => {
            error.failure().tls()
        }
        _ => None,
    };
    failure.cloned()
}

#[tokio::test]
async fn messages_of_all_sizes_go_through() -> Result<()> {
    let authority = Authority::new("authority")?;
    let server = authority.sign("server", HERE, Validity::Now)?;
    let client = authority.sign("client", &["client"], Validity::Now)?;
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let tls = of(&server).client_ca(authority.ca()).max_version(version);
        let cluster = servers(tls).await?;
        let producer = producer(&cluster, |settings| {
            let settings = settings.tls(true).tls_ca(text(&authority.ca()));
            settings
                .tls_cert(text(&client.cert))
                .tls_key(text(&client.key))
        })
        .await?;
        for size in [1, 17_000, 200_000, 2_000_000] {
            producer
                .send(Message::new(TOPIC, vec![b'x'; size])?)
                .await?;
        }
        assert!(
            producer
                .send_heartbeat_to_all_brokers()
                .await
                .failed
                .is_empty()
        );
        assert_eq!(cluster.message_count(TOPIC), 4);
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_proves_nothing_is_refused_at_once_with_the_reason() -> Result<()> {
    let (authority, other) = (Authority::new("authority")?, Authority::new("other")?);
    let namesake = Authority::new("authority")?;
    let ca = authority.ca();
    type Is = fn(&TlsFailure) -> bool;
    let cases: [(&str, Signed, Is, &str); 6] = [
        (
            "unknown",
            other.sign("good", HERE, Validity::Now)?,
            |f| *f == TlsFailure::UnknownCa,
            "tls_ca",
        ),
        (
            "unknown, of a known name",
            namesake.sign("good", HERE, Validity::Now)?,
            |f| *f == TlsFailure::UnknownCa,
            "tls_ca",
        ),
        (
            "expired",
            authority.sign("expired", HERE, Validity::Expired)?,
            |f| *f == TlsFailure::Expired,
            "renewed",
        ),
        (
            "future",
            authority.sign("future", HERE, Validity::NotYet)?,
            |f| *f == TlsFailure::NotValidYet,
            "clock",
        ),
        (
            "another name",
            authority.sign("other", &["mq.internal"], Validity::Now)?,
            |f| matches!(f, TlsFailure::NameMismatch { expected } if expected == "127.0.0.1"),
            "tls_server_name",
        ),
        (
            "an authority's own",
            authority.sign_authority("authority", HERE)?,
            |f| *f == TlsFailure::AuthorityAsServer,
            "CA:FALSE",
        ),
    ];
    for (what, signed, is, advice) in cases {
        // Also where the name servers are not the ones that say so.
        for name_servers in [true, false] {
            let cluster = servers(of(&signed).name_servers(name_servers)).await?;
            let trusting = |settings: ProducerConfigBuilder| settings.tls(true).tls_ca(text(&ca));
            let error = if name_servers {
                failing(&cluster, trusting).await?
            } else {
                brokers_only(&cluster, &ca).await?
            };
            let failure = tls_of(&error).with_context(|| format!("{what}: {error:?}"))?;
            assert!(is(&failure), "{what}: {failure}");
            assert!(
                error.advice().contains(advice),
                "{what}: {}",
                error.advice()
            );
        }
    }
    Ok(())
}

/// A send to brokers that speak TLS, with name servers of plain text: no settings stand for that, so the dialer does it.
async fn brokers_only(cluster: &EmbeddedCluster, ca: &std::path::Path) -> Result<SendError> {
    use rocketmq_producer::remoting::{TlsDialer, TlsOptions};
    let dialer = Split {
        plain: cluster.name_servers(),
        tls: TlsDialer::new(&TlsOptions::new().with_ca(ca))?,
    };
    let producer = Producer::builder("g")
        .name_servers(&cluster.name_servers())
        .dialer(std::sync::Arc::new(dialer))
        .configure(|settings| settings.send_msg_timeout(PATIENT))
        .start()
        .await?;
    let sent = producer.send(Message::new(TOPIC, "never")?);
    let sent = tokio::time::timeout(PATIENT / 2, sent).await;
    let error = sent.context("not waited for in vain")?.err();
    let error = error.context("it cannot be sent")?;
    assert_eq!(error.delivery(), Delivery::NotSent, "{error:?}");
    let dials = producer.stats().brokers.dials;
    assert!(dials <= 4, "{dials} dials of two brokers");
    Ok(error)
}

/// Plain text to one address, TLS to all others.
struct Split {
    plain: String,
    tls: rocketmq_producer::remoting::TlsDialer,
}

#[async_trait::async_trait]
impl rocketmq_producer::remoting::Dialer for Split {
    async fn dial(
        &self,
        address: &str,
        options: &rocketmq_producer::remoting::ConnectionOptions,
    ) -> std::io::Result<Box<dyn rocketmq_producer::remoting::Transport>> {
        if address == self.plain {
            rocketmq_producer::remoting::TcpDialer
                .dial(address, options)
                .await
        } else {
            self.tls.dial(address, options).await
        }
    }
}

#[tokio::test]
async fn a_client_certificate_that_is_missed_or_not_taken_is_named() -> Result<()> {
    let (authority, other) = (Authority::new("authority")?, Authority::new("other")?);
    let server = authority.sign("server", HERE, Validity::Now)?;
    let strange = other.sign("client", &["client"], Validity::Now)?;
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let tls = of(&server).client_ca(authority.ca()).max_version(version);
        let cluster = servers(tls).await?;
        for with_strange in [false, true] {
            let error = failing(&cluster, |settings| {
                let settings = settings.tls(true).tls_ca(text(&authority.ca()));
                if with_strange {
                    settings
                        .tls_cert(text(&strange.cert))
                        .tls_key(text(&strange.key))
                } else {
                    settings
                }
            })
            .await?;
            let failure = tls_of(&error).with_context(|| format!("{error:?}"))?;
            let named = matches!(
                failure,
                TlsFailure::ClientCertificateRequired | TlsFailure::ClientCertificateRefused(_)
            );
            assert!(named, "{version:?} {with_strange}: {failure}");
            assert!(error.advice().contains("tls_cert"), "{}", error.advice());
        }
    }
    Ok(())
}

#[tokio::test]
async fn versions_that_do_not_meet_are_named() -> Result<()> {
    let authority = Authority::new("authority")?;
    let server = authority.sign("server", HERE, Validity::Now)?;
    let cluster = servers(of(&server).max_version(TlsVersion::V1_2)).await?;
    let error = failing(&cluster, |settings| {
        let settings = settings.tls(true).tls_ca(text(&authority.ca()));
        settings.tls_min_version(TlsVersion::V1_3)
    })
    .await?;
    assert_eq!(tls_of(&error), Some(TlsFailure::Incompatible), "{error:?}");
    assert!(
        error.advice().contains("tls_min_version"),
        "{}",
        error.advice()
    );
    Ok(())
}

#[tokio::test]
async fn plain_text_and_tls_that_meet_are_told_apart() -> Result<()> {
    let authority = Authority::new("authority")?;
    let server = authority.sign("server", HERE, Validity::Now)?;
    let secured = servers(of(&server)).await?;
    let error = failing(&secured, |settings| settings).await?;
    assert_eq!(tls_of(&error), None, "{error:?}");
    assert!(error.advice().contains("setting tls"), "{}", error.advice());

    let plain = cluster().topic(TOPIC, 2).start().await?;
    let error = failing(&plain, |settings| {
        settings.tls(true).tls_ca(text(&authority.ca()))
    })
    .await?;
    assert_eq!(tls_of(&error), Some(TlsFailure::NotTls), "{error:?}");
    assert!(
        error.advice().contains("turn tls off"),
        "{}",
        error.advice()
    );

    // Brokers alone that speak TLS close a plain connection, after it has taken the request.
    let brokers = servers(of(&server).name_servers(false)).await?;
    let producer = producer(&brokers, |settings| {
        settings.send_msg_timeout(Duration::from_secs(3))
    })
    .await?;
    let error = producer.send(Message::new(TOPIC, "never")?).await.err();
    let error = error.context("it cannot be sent")?;
    assert_eq!(tls_of(&error), None, "{error:?}");
    assert_eq!(brokers.message_count(TOPIC), 0);
    let closed = error
        .attempts()
        .iter()
        .filter_map(|attempt| attempt.failure());
    let mut closed = closed.chain([error.cause()]);
    let said = closed.any(|failure| match failure {
        SendFailure::Connect(error) | SendFailure::BrokerAway { cause: error, .. } => {
            ConnectFailure::closed_without_a_word(error.failure())
        }
        _ => false,
    });
    assert!(said, "{error:?}");
    Ok(())
}
