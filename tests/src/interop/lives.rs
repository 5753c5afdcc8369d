//! What brokers know of a producer, from its start to its end.

use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use rocketmq_producer::Message;
use tokio::time::{Duration, Instant, sleep};
use xtask::apache::ProducerConnection;

use super::ground::{SOON, end};
use super::row::{Group, row};
use super::trial::{QUEUES, Trial, known};
use super::{Cell, Column, Ground};

pub(super) const GROUP: Group = Group::new(
    "Life of a producer",
    &[
        row!(
            "preheat",
            "route, connections and heartbeats are there when `start` returns; an unknown topic is reported",
            preheat
        ),
        row!(
            "heartbeats",
            "Java's producer connection list shows it once per broker, as RUST, version 513",
            heartbeats
        ),
        row!(
            "unregistering",
            "gone from the producer connection list when `shutdown` returns",
            unregistering
        ),
        row!(
            "several connections per broker",
            "sends at once take up to three to each broker",
            connections
        ),
        row!(
            "two producers of a group",
            "the list shows both, by their client ids",
            two_producers
        ),
        row!(
            "`flush` and `shutdown`",
            "sends under way are waited for, and counted",
            drained
        ),
    ],
);

/// The ordinal of `V5_5_0` among Java's versions.
const V5_5_0: i32 = 513;

async fn preheat(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "preheat";
    ground.topic(topic, QUEUES).await?;
    let producer = ground
        .builder(topic)
        .configure(|settings| settings.create_topic(false))
        .preheat([topic, "preheat-unknown"])
        .build()?;
    let report = producer.start().await?;
    ensure!(report.ready.iter().map(|t| &**t).eq([topic]), "{report:?}");
    ensure!(report.failed.len() == 1, "{report:?}");
    ensure!(report.heartbeats.failed.is_empty(), "{report:?}");
    let dials = producer.stats().brokers.dials;
    for _ in 0..16 {
        producer.send(Message::new(topic, "warm")?).await?;
    }
    ensure!(producer.stats().brokers.dials == dials, "dialled again");
    end(&producer).await?;
    Ok(Cell::Passed)
}

/// What the brokers list, once `fits`.
async fn listed(
    ground: &Arc<Ground>,
    topic: &str,
    fits: impl Fn(&[ProducerConnection]) -> bool,
) -> Result<Vec<ProducerConnection>> {
    let deadline = Instant::now() + SOON;
    loop {
        let found = ground.producers(topic, topic).await?;
        if fits(&found) {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("brokers list {found:?}");
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Behind a proxy, the producers that brokers know are the proxy's own.
const BEHIND: &str = "heartbeats end at the proxy, brokers see none of the group";

async fn behind_a_proxy(ground: &Arc<Ground>, topic: &str) -> Result<Option<Cell>> {
    if ground.column() != Column::Proxy {
        return Ok(None);
    }
    let found = ground.producers(topic, topic).await?;
    ensure!(found.is_empty(), "{found:?}");
    Ok(Some(Cell::NotOffered(BEHIND.to_owned())))
}

async fn heartbeats(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "heartbeats";
    let producer = known(&ground, topic).await?;
    let beats = producer.send_heartbeat_to_all_brokers().await;
    ensure!(beats.failed.is_empty(), "{beats:?}");
    if let Some(cell) = behind_a_proxy(&ground, topic).await? {
        end(&producer).await?;
        return Ok(cell);
    }
    let brokers = ground.brokers().len();
    let found = listed(&ground, topic, |found| found.len() == brokers).await?;
    for connection in &found {
        ensure!(
            connection.client_id == producer.client_id(),
            "{connection:?}"
        );
        ensure!(connection.language == "RUST", "{connection:?}");
        ensure!(connection.version == V5_5_0, "{connection:?}");
    }
    end(&producer).await?;
    Ok(Cell::Passed)
}

async fn unregistering(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "unregistering";
    let producer = known(&ground, topic).await?;
    if let Some(cell) = behind_a_proxy(&ground, topic).await? {
        end(&producer).await?;
        return Ok(cell);
    }
    let brokers = ground.brokers().len();
    listed(&ground, topic, |found| found.len() == brokers).await?;
    let report = producer.shutdown(SOON).await;
    ensure!(report.unregistered == brokers, "{report:?}");
    let left = ground.producers(topic, topic).await?;
    ensure!(left.is_empty(), "{left:?}");
    Ok(Cell::Passed)
}

async fn two_producers(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "two-producers";
    ground.topic(topic, QUEUES).await?;
    let mut producers = Vec::new();
    for id in ["two-producers@1", "two-producers@2"] {
        let builder = ground
            .builder(topic)
            .configure(|settings| settings.client_id(id));
        producers.push(builder.preheat([topic]).start().await?);
    }
    let cell = match behind_a_proxy(&ground, topic).await? {
        Some(cell) => cell,
        None => {
            let brokers = ground.brokers().len();
            let both = |found: &[ProducerConnection]| {
                ["two-producers@1", "two-producers@2"]
                    .iter()
                    .all(|id| found.iter().filter(|c| c.client_id == *id).count() == brokers)
            };
            listed(&ground, topic, both).await?;
            Cell::Passed
        }
    };
    for producer in producers {
        end(&producer).await?;
    }
    Ok(cell)
}

async fn connections(ground: Arc<Ground>) -> Result<Cell> {
    let mut trial = Trial::with(&ground, "connections", |builder| {
        builder.configure(|settings| settings.connections_per_broker(3))
    })
    .await?;
    let mut under_way = tokio::task::JoinSet::new();
    for index in 0..200 {
        let body = bytes::Bytes::from(format!("{index}"));
        let (producer, message) = (trial.producer.clone(), trial.message(&body)?);
        under_way.spawn(async move { (producer.send(message).await, body) });
    }
    while let Some(done) = under_way.join_next().await {
        let (outcome, body) = done?;
        trial.oracle.acked(&outcome?, &body);
    }
    let dials = trial.producer.stats().brokers.dials;
    // All brokers behind a proxy have its one address.
    let addresses = match ground.column() {
        Column::Proxy => 1,
        _ => ground.brokers().len() as u64,
    };
    // A further one is dialled when it is first needed.
    ensure!(dials > addresses && dials <= 3 * addresses, "{dials} dials");
    trial.judge().await?;
    Ok(Cell::Passed)
}

async fn drained(ground: Arc<Ground>) -> Result<Cell> {
    let mut trial = Trial::new(&ground, "drained").await?;
    let mut under_way = tokio::task::JoinSet::new();
    for index in 0..100 {
        let body = bytes::Bytes::from(format!("{index}"));
        let (producer, message) = (trial.producer.clone(), trial.message(&body)?);
        under_way.spawn(async move { (producer.send(message).await, body) });
    }
    // All have begun.
    while trial.producer.stats().under_way + under_way.len() > 0 {
        let flushed = trial.producer.flush(SOON).await;
        ensure!(flushed.is_complete(), "{flushed:?}");
        let Some(done) = under_way.join_next().await else {
            break;
        };
        let (outcome, body) = done?;
        trial.oracle.acked(&outcome?, &body);
    }
    let read = trial.judge().await?;
    ensure!(read.len() == 100);
    Ok(Cell::Passed)
}
