//! Brokers with access control: ACL 2.0 on 5.5.0, ACL 1.0 on 4.9.7. Each has a cluster of its own for the one test.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use rocketmq_producer::remoting::message::{SystemClock, WallClock as _};
use rocketmq_producer::remoting::protocol::SendMessageRequestHeader;
use rocketmq_producer::remoting::{
    Connection, ConnectionOptions, Credentials, Dialer as _, HeaderEncoding, NoConsumer,
    ResponseCode, RotatingCredentials, TcpDialer,
};
use rocketmq_producer::{
    Delivery, ErrorKind, Message, Producer, ProducerStats, SendError, SendFailure,
};
use rocketmq_producer_tests::accounts::{self, FILE, GRANTED as TOPIC, PUBLISHER, STRANGER, SUPER};
use rocketmq_producer_tests::oracle::Oracle;
use tokio::time::Instant;
use xtask::apache::{Cluster, ClusterSpec, ReadOptions, Reader, Version, ask, require};
use xtask::wait;

use crate::clusters::{block_on, end, on_4_9_7, on_5_5_0, topic_fields};
use crate::doctor::Diagnosis;

/// `UPDATE_AND_CREATE_TOPIC`, sent to a broker.
const CREATE_TOPIC: i32 = 17;
/// `GET_ROUTEINFO_BY_TOPIC`, sent to a name server.
const TOPIC_ROUTE: i32 = 105;

const SOON: Duration = Duration::from_secs(30);
const PATIENT: Duration = Duration::from_secs(20);

#[test]
fn requests_are_signed_and_refusals_are_final_on_5_5_0() -> Result<()> {
    run(
        concat!(
            module_path!(),
            "::requests_are_signed_and_refusals_are_final_on_5_5_0"
        ),
        on_5_5_0().brokers(1),
        ResponseCode::NO_PERMISSION,
    )
}

#[test]
fn requests_are_signed_and_refusals_are_final_on_4_9_7() -> Result<()> {
    run(
        concat!(
            module_path!(),
            "::requests_are_signed_and_refusals_are_final_on_4_9_7"
        ),
        on_4_9_7(),
        ResponseCode::SYSTEM_ERROR,
    )
}

fn run(test: &str, spec: ClusterSpec, refusal: ResponseCode) -> Result<()> {
    let Some(()) = require(test) else {
        return Ok(());
    };
    let spec = spec.auto_create_topics(false).acl(SUPER.0, SUPER.1, FILE);
    let admin = Reader::new(spec.version)?.with_credentials(SUPER.0, SUPER.1);
    let cluster = Cluster::start(&spec)?;
    prepare(&cluster, &admin)?;
    block_on(promises(&cluster, &admin, refusal))
}

/// Makes the topic and, where there is no file of them, the accounts.
fn prepare(cluster: &Cluster, admin: &Reader) -> Result<()> {
    let broker = cluster.brokers().first().context("a broker")?.address();
    accounts::create(admin, cluster.version(), &[broker])?;
    admin.ask(broker, CREATE_TOPIC, &topic_fields(TOPIC), "")?;
    let known = || {
        let answer = ask(
            &cluster.name_server_addr(),
            TOPIC_ROUTE,
            &[("topic", TOPIC)],
            SOON,
        );
        answer.is_ok_and(|answer| answer.code == 0).then_some(())
    };
    wait::until(SOON, known).context("no route")
}

fn builder(cluster: &Cluster) -> rocketmq_producer::ProducerBuilder {
    Producer::builder("acl")
        .name_servers(&cluster.name_server_addr())
        .configure(|settings| settings.send_msg_timeout(PATIENT))
}

async fn promises(cluster: &Cluster, admin: &Reader, refusal: ResponseCode) -> Result<()> {
    let mut oracle = Oracle::new();
    let mut sent = 0;
    for encoding in [HeaderEncoding::Binary, HeaderEncoding::Json] {
        let producer = builder(cluster)
            .credentials(PUBLISHER.0, PUBLISHER.1)
            .configure(|settings| settings.header_encoding(encoding))
            .start()
            .await?;
        for index in 0..10 {
            let body = Bytes::from(format!("{encoding:?} {index} 集"));
            let message = Message::new(TOPIC, body.clone())?
                .with_keys([format!("key-{index}")])?
                .with_property("owner", "é")?;
            let receipt = producer.send(message).await?;
            oracle.acked(&receipt, &body);
            sent += 1;
        }
        // Heartbeats are checked as well.
        let beats = producer.send_heartbeat_to_all_brokers().await;
        ensure!(beats.failed.is_empty(), "{beats:?}");
        ensure!(beats.succeeded.len() == 1, "{beats:?}");
        end(&producer).await?;
    }

    for (what, (access_key, secret_key)) in [
        ("wrong access key", ("nobody", PUBLISHER.1)),
        ("wrong secret", (PUBLISHER.0, "not the secret")),
        ("no right to publish", STRANGER),
    ] {
        let producer = builder(cluster)
            .credentials(access_key, secret_key)
            .start()
            .await?;
        let error = producer.send(Message::new(TOPIC, what)?).await;
        let error = error.err().context(what)?;
        assert_final(&error, refusal, what);
        end(&producer).await?;
    }
    let producer = builder(cluster).start().await?;
    let error = producer.send(Message::new(TOPIC, "unsigned")?).await;
    assert_final(&error.err().context("unsigned")?, refusal, "unsigned");
    end(&producer).await?;

    diagnose(cluster)?;

    // Wrong ones are put right while the producer runs, and its connection stays.
    let [wrong, right] = [("publisher", "not the secret"), PUBLISHER]
        .map(|(access_key, secret)| Credentials::new(access_key, secret));
    let rotating = Arc::new(RotatingCredentials::new(wrong?));
    let producer = builder(cluster)
        .credentials_provider(Arc::clone(&rotating) as _)
        .start()
        .await?;
    let body = Bytes::from_static(b"before");
    let error = producer.send(Message::new(TOPIC, body)?).await;
    assert_final(&error.err().context("before")?, refusal, "rotating");
    rotating.replace(right?);
    let body = Bytes::from_static(b"after");
    let receipt = producer.send(Message::new(TOPIC, body.clone())?).await?;
    oracle.acked(&receipt, &body);
    sent += 1;
    assert_eq!(
        producer.stats().brokers.dials,
        1,
        "the refusal broke nothing"
    );
    end(&producer).await?;

    sent += without_right_to_traces(cluster, &mut oracle).await?;
    sent += with_clocks_far_off(cluster, &mut oracle).await?;
    found_by_its_id(cluster, &mut oracle).await?;
    sent += 1;

    let options = ReadOptions::new().at_least(sent).wait(SOON);
    let stored = admin.read_topic_with(&cluster.name_server_addr(), TOPIC, &options)?;
    assert_eq!(stored.len(), sent);
    oracle.judge(&stored).kept()?;
    Ok(())
}

/// No time is signed and none is looked at: a client whose clock is years off is believed like any other. Returns how
/// many messages were sent.
async fn with_clocks_far_off(cluster: &Cluster, oracle: &mut Oracle) -> Result<usize> {
    const TEN_YEARS: i64 = 10 * 365 * 86_400_000;
    const BODY: Bytes = Bytes::from_static(b"from another time");
    let credentials = Credentials::new(PUBLISHER.0, PUBLISHER.1)?;
    let options =
        ConnectionOptions::new().with_credentials(Arc::new(RotatingCredentials::new(credentials)));
    let broker = cluster.brokers().first().context("a broker")?.address();
    let stream = TcpDialer.dial(broker, &options).await?;
    let (connection, driver) =
        Connection::new(stream, Arc::from(broker), &options, Arc::new(NoConsumer));
    let mut task = tokio::task::JoinSet::new();
    task.spawn(driver);
    let now = i64::try_from(SystemClock.epoch_millis())?;
    let clocks = [now - TEN_YEARS, now + TEN_YEARS, 0];
    for clock in clocks {
        let header = SendMessageRequestHeader::new("acl", TOPIC, 0, clock);
        let deadline = Instant::now() + PATIENT;
        let answer = connection.request(&header, &BODY, deadline).await?;
        let remark = answer.remark();
        assert_eq!(answer.code(), ResponseCode::SUCCESS, "{clock}: {remark:?}");
    }
    oracle.cancelled(&BODY, clocks.len());
    Ok(clocks.len())
}

/// 4.9.7 with ACL 1.0 refuses the signature of a query for an id in the form of its own client; the other form works.
async fn found_by_its_id(cluster: &Cluster, oracle: &mut Oracle) -> Result<()> {
    let producer = builder(cluster)
        .credentials(SUPER.0, SUPER.1)
        .start()
        .await?;
    let body = Bytes::from_static(b"to be found");
    let receipt = producer.send(Message::new(TOPIC, body.clone())?).await?;
    oracle.acked(&receipt, &body);
    let id = receipt.message_id().to_string();
    let admin = producer.admin().with_timeout(PATIENT);
    // Brokers index a message a moment after they stored it.
    let found = async {
        loop {
            let found = admin.find_by_message_id(TOPIC, &id).await?;
            if !found.messages.is_empty() {
                return anyhow::Ok(found);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let found = tokio::time::timeout(SOON, found).await??;
    assert!(found.failed.is_empty(), "{:?}", found.failed);
    assert_eq!(found.messages.len(), 1);
    assert_eq!(found.messages[0].body, body);
    assert_eq!(found.messages[0].queue_offset, receipt.queue_offset());
    end(&producer).await?;
    Ok(())
}

/// The command names what is wrong with the credentials.
fn diagnose(cluster: &Cluster) -> Result<()> {
    let with = |(access_key, secret_key): (&str, &str)| {
        let settings = format!("access_key = \"{access_key}\"\nsecret_key = \"{secret_key}\"");
        Diagnosis::of(&cluster.name_server_addr(), TOPIC, &settings)
    };
    with(PUBLISHER)?.finds_nothing()?;
    with(STRANGER)?.says(11, "no_right_to_publish")?;
    with(("nobody", PUBLISHER.1))?.says(7, "credentials_refused")?;
    with((PUBLISHER.0, "not the secret"))?.says(7, "credentials_refused")?;
    let none = Diagnosis::of(&cluster.name_server_addr(), TOPIC, "")?;
    none.says(7, "credentials_refused")
}

/// The account may publish to one topic, which is not that of traces: they stop, and messages go on. ACL 1.0 lets
/// everybody trace. Returns how many messages were sent.
async fn without_right_to_traces(cluster: &Cluster, oracle: &mut Oracle) -> Result<usize> {
    let producer = builder(cluster)
        .credentials(PUBLISHER.0, PUBLISHER.1)
        .configure(|settings| settings.trace_message(true))
        .start()
        .await?;
    let bodies = ["traced", "not traced any more"].map(|body| Bytes::from_static(body.as_bytes()));
    for (index, body) in (1..).zip(&bodies) {
        let receipt = producer.send(Message::new(TOPIC, body.clone())?).await?;
        oracle.acked(&receipt, body);
        let settled = async || {
            let settled = |stats: ProducerStats| stats.traces_dropped + stats.traces_sent;
            while settled(producer.stats()) < index {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(SOON, settled()).await;
        waited.with_context(|| format!("{:?}", producer.stats()))?;
    }
    let stats = producer.stats();
    let taken = if cluster.version() == Version::V4_9_7 {
        2
    } else {
        0
    };
    assert_eq!((stats.traces_sent, stats.total_sent), (taken, 2));
    end(&producer).await?;
    Ok(bodies.len())
}

/// A refusal that was not repeated, whose advice names the credentials.
fn assert_final(error: &SendError, refusal: ResponseCode, what: &str) {
    assert_eq!(error.kind(), ErrorKind::MessageSend, "{what}: {error:?}");
    assert_eq!(error.delivery(), Delivery::Rejected, "{what}: {error:?}");
    assert_eq!(error.attempts().len(), 1, "{what}: {error:?}");
    assert!(!error.is_retryable(), "{what}: {error:?}");
    let SendFailure::Refused { code, remark } = error.cause() else {
        panic!("{what}: {error:?}");
    };
    assert_eq!(*code, refusal, "{what}: {remark}");
    assert!(
        error.advice().contains("access_key"),
        "{what}: {}",
        error.advice()
    );
}
