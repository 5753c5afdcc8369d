//! Servers of 5.5.0 that speak TLS only and ask clients for a certificate, in a cluster of their own for the one test.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use rocketmq_producer::config::ProducerConfigBuilder;
use rocketmq_producer::remoting::TlsVersion;
use rocketmq_producer::{Delivery, ErrorKind, Message, Producer, ProducerBuilder, SendError};
use rocketmq_producer_tests::authority::{Authority, Signed, Validity, text};
use rocketmq_producer_tests::oracle::Oracle;
use xtask::apache::{Cluster, ReadOptions, Reader, ServerTls, require};
use xtask::wait;

use crate::clusters::{block_on, end, on_5_5_0, topic_fields};
use crate::doctor::Diagnosis;

/// `UPDATE_AND_CREATE_TOPIC`, sent to a broker.
const CREATE_TOPIC: i32 = 17;
/// `GET_ROUTEINFO_BY_TOPIC`, sent to a name server.
const TOPIC_ROUTE: i32 = 105;
const TOPIC: &str = "tls";
const SOON: Duration = Duration::from_secs(60);
const PATIENT: Duration = Duration::from_secs(20);
/// For sends that are to fail.
const BUDGET: Duration = Duration::from_secs(5);

/// An authority, and a certificate for 127.0.0.1 that it has signed, for servers and clients alike.
struct Files {
    authority: Authority,
    own: Signed,
}

fn files(name: &str) -> Result<Files> {
    let authority = Authority::new(name)?;
    let own = authority.sign(name, &["127.0.0.1"], Validity::Now)?;
    Ok(Files { authority, own })
}

#[test]
fn servers_that_speak_tls_only_are_sent_to() -> Result<()> {
    let test = concat!(module_path!(), "::servers_that_speak_tls_only_are_sent_to");
    let Some(()) = require(test) else {
        return Ok(());
    };
    let (ours, strange) = (files("ours")?, files("strange")?);
    let ca = ours.authority.ca();
    let spec = on_5_5_0()
        .brokers(1)
        .auto_create_topics(false)
        .tls(&ServerTls::new(&ours.own.cert, &ours.own.key, &ca).client_auth(true));
    let mut java = ServerTls::client_java(&ca);
    for (option, file) in [("keyPath", &ours.own.key), ("certPath", &ours.own.cert)] {
        java.push(format!("-Dtls.client.{option}={}", file.display()));
    }
    let reader = Reader::new(spec.version)?.with_java(java);
    let cluster = Cluster::start(&spec)?;
    let broker = cluster.brokers().first().context("a broker")?.address();
    reader.ask(broker, CREATE_TOPIC, &topic_fields(TOPIC), "")?;
    let name_server = cluster.name_server_addr();
    let known = || {
        reader
            .ask(&name_server, TOPIC_ROUTE, &[("topic", TOPIC)], "")
            .ok()
    };
    wait::until(SOON, known).context("no route")?;
    block_on(promises(&cluster, &reader, &ours, &strange))
}

fn builder(cluster: &Cluster, budget: Duration) -> ProducerBuilder {
    Producer::builder("tls")
        .name_servers(&cluster.name_server_addr())
        .configure(|settings| settings.send_msg_timeout(budget))
}

async fn promises(cluster: &Cluster, reader: &Reader, ours: &Files, strange: &Files) -> Result<()> {
    let ca = ours.authority.ca();
    let ca = text(&ca);
    let shown = |settings: ProducerConfigBuilder, own: &Signed| {
        let settings = settings.tls(true).tls_ca(ca);
        settings.tls_cert(text(&own.cert)).tls_key(text(&own.key))
    };
    let producer = builder(cluster, PATIENT)
        .configure(|settings| shown(settings, &ours.own))
        .start()
        .await?;
    let mut oracle = Oracle::new();
    let mut under_way = tokio::task::JoinSet::new();
    // Among them bodies of many TLS records, and of more than a session takes at once.
    let sizes = [1, 200, 17_000, 200_000, 2_000_000];
    let count = 60;
    for (index, size) in sizes.into_iter().cycle().take(count).enumerate() {
        let body = Bytes::from(format!("{index} ").repeat(size).into_bytes()[..size].to_vec());
        let (producer, message) = (producer.clone(), Message::new(TOPIC, body.clone())?);
        under_way.spawn(async move { (producer.send(message).await, body) });
    }
    while let Some(done) = under_way.join_next().await {
        let (outcome, body) = done?;
        oracle.acked(&outcome?, &body);
    }
    let body = Bytes::from_static(b"one way");
    producer
        .send_oneway(Message::new(TOPIC, body.clone())?)
        .await?;
    oracle.cancelled(&body, 1);
    end(&producer).await?;

    let careless = builder(cluster, PATIENT)
        .configure(|settings| shown(settings, &ours.own).danger_accept_invalid_certs(true))
        .start()
        .await?;
    let body = Bytes::from_static(b"to anyone");
    let receipt = careless.send(Message::new(TOPIC, body.clone())?).await?;
    oracle.acked(&receipt, &body);
    end(&careless).await?;

    let strange_ca = strange.authority.ca();
    let wrong = builder(cluster, BUDGET)
        .configure(|settings| shown(settings, &ours.own).tls_ca(text(&strange_ca)));
    refused(wrong, "signed by no trusted authority", "tls_ca").await?;
    let wrong = builder(cluster, BUDGET)
        .configure(|settings| shown(settings, &ours.own).tls_server_name("mq.internal"));
    refused(wrong, "is not for mq.internal", "tls_server_name").await?;
    // Both ways that a server has to ask for the client's certificate.
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let wrong = builder(cluster, BUDGET).configure(|settings| {
            let settings = settings.tls(true).tls_ca(ca);
            settings.tls_min_version(version)
        });
        refused(wrong, "client certificate", "tls_cert").await?;
    }
    let wrong = builder(cluster, BUDGET).configure(|settings| shown(settings, &strange.own));
    refused(
        wrong,
        "the server refuses the client certificate",
        "tls_cert",
    )
    .await?;
    refused(builder(cluster, BUDGET), "", "setting tls").await?;

    let name_servers = cluster.name_server_addr();
    let on = |ca: &str| {
        let (cert, key) = (text(&ours.own.cert), text(&ours.own.key));
        format!("tls = true\ntls_ca = \"{ca}\"\ntls_cert = \"{cert}\"\ntls_key = \"{key}\"")
    };
    Diagnosis::of(&name_servers, TOPIC, &on(ca))?.finds_nothing()?;
    Diagnosis::of(&name_servers, TOPIC, &on(text(&strange_ca)))?.says(5, "tls_failed")?;
    Diagnosis::of(&name_servers, TOPIC, "")?.says(5, "tls_required")?;

    let options = ReadOptions::new().at_least(count + 2).wait(SOON);
    let stored = reader.read_topic_with(&cluster.name_server_addr(), TOPIC, &options)?;
    oracle.judge(&stored).kept()?;
    ensure!(stored.len() == count + 2, "{} messages", stored.len());
    Ok(())
}

/// One send fails before anything left, in words that name the cause and the setting.
async fn refused(builder: ProducerBuilder, words: &str, setting: &str) -> Result<()> {
    let producer = builder.start().await?;
    let outcome = producer.send(Message::new(TOPIC, "never")?).await;
    let error: SendError = outcome.err().context("it cannot be sent")?;
    let text = format!("{:#}", anyhow::Error::from(error.clone()));
    assert_eq!(error.kind(), ErrorKind::NameServer, "{text}");
    assert_eq!(error.delivery(), Delivery::NotSent, "{text}");
    assert!(text.contains(words), "{text}");
    assert!(
        error.advice().contains(setting),
        "{}: {text}",
        error.advice()
    );
    end(&producer).await?;
    Ok(())
}
