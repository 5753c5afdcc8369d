//! Servers of 5.5.0 that speak TLS only, in a cluster of their own for the one test.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rocketmq_producer::{Delivery, ErrorKind, Message, Producer, ProducerBuilder, SendError};
use rocketmq_producer_tests::oracle::Oracle;
use xtask::apache::{Cluster, ReadOptions, Reader, ServerTls, require};
use xtask::wait;

use crate::clusters::{block_on, end, on_5_5_0};
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

/// PEM files of an authority, and of a certificate for 127.0.0.1 that it has signed.
struct Files {
    ca: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

fn files(dir: &Path, name: &str) -> Result<Files> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate()?;
    let ca = params.self_signed(&key)?;
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate()?;
    let cert = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&key, &issuer)?;
    let path = |end: &str| dir.join(format!("{name}-{end}.pem"));
    let files = Files {
        ca: path("ca"),
        cert: path("cert"),
        key: path("key"),
    };
    std::fs::write(&files.ca, ca.pem())?;
    std::fs::write(&files.cert, cert.pem())?;
    std::fs::write(&files.key, key.serialize_pem())?;
    Ok(files)
}

#[test]
fn servers_that_speak_tls_only_are_sent_to() -> Result<()> {
    let test = concat!(module_path!(), "::servers_that_speak_tls_only_are_sent_to");
    let Some(()) = require(test) else {
        return Ok(());
    };
    let dir = std::env::temp_dir().join(format!("rocketmq-producer-tls-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let outcome = on_tls(&dir);
    let _ = std::fs::remove_dir_all(&dir);
    outcome
}

fn on_tls(dir: &Path) -> Result<()> {
    let (ours, strange) = (files(dir, "ours")?, files(dir, "strange")?);
    let spec = on_5_5_0()
        .brokers(1)
        .auto_create_topics(false)
        .tls(&ServerTls::new(&ours.cert, &ours.key, &ours.ca));
    let reader = Reader::new(spec.version)?.with_java(ServerTls::client_java(&ours.ca));
    let cluster = Cluster::start(&spec)?;
    let broker = cluster.brokers().first().context("a broker")?.address();
    let fields = [
        ("topic", TOPIC),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", "4"),
        ("writeQueueNums", "4"),
        ("perm", "6"),
        ("topicFilterType", "SINGLE_TAG"),
        ("topicSysFlag", "0"),
        ("order", "false"),
    ];
    reader.ask(broker, CREATE_TOPIC, &fields, "")?;
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
    let ca = ours.ca.to_str().context("a path")?;
    let producer = builder(cluster, PATIENT)
        .configure(|settings| settings.tls(true).tls_ca(ca))
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
        .configure(|settings| settings.tls(true).danger_accept_invalid_certs(true))
        .start()
        .await?;
    let body = Bytes::from_static(b"to anyone");
    let receipt = careless.send(Message::new(TOPIC, body.clone())?).await?;
    oracle.acked(&receipt, &body);
    end(&careless).await?;

    let strange = strange.ca.to_str().context("a path")?;
    let wrong = builder(cluster, BUDGET).configure(|settings| settings.tls(true).tls_ca(strange));
    refused(wrong, "signed by no trusted authority", "tls_ca").await?;
    let wrong = builder(cluster, BUDGET).configure(|settings| {
        let settings = settings.tls(true).tls_ca(ca);
        settings.tls_server_name("mq.internal")
    });
    refused(wrong, "is not for mq.internal", "tls_server_name").await?;
    refused(builder(cluster, BUDGET), "", "setting tls").await?;

    let name_servers = cluster.name_server_addr();
    let on = |ca: &str| format!("tls = true\ntls_ca = \"{ca}\"");
    Diagnosis::of(&name_servers, TOPIC, &on(ca))?.finds_nothing()?;
    Diagnosis::of(&name_servers, TOPIC, &on(strange))?.says(5, "tls_failed")?;
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
