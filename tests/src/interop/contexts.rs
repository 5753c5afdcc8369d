//! Producers of one process that share a client.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use rocketmq_producer::{ClientContext, Message, Producer};
use tokio::time::{Duration, Instant, sleep};

use super::ground::{PATIENT, SOON, end};
use super::row::{Group, row};
use super::trial::QUEUES;
use super::{Cell, Column, Ground};
use crate::accounts;
use crate::oracle::Oracle;

pub(super) const GROUP: Group = Group::new(
    "Several producers",
    &[
        row!(
            "shared client context",
            "two groups over one connection per broker, each listed with the same client id",
            shared
        ),
        row!(
            "a group twice in a context",
            "the second producer is refused",
            twice
        ),
        row!(
            "rank among instances",
            "`instance_rank` counts the producers of a group by their client ids",
            rank
        ),
    ],
);

fn context(ground: &Ground) -> Result<ClientContext> {
    let mut builder = ClientContext::builder().name_servers(&ground.name_servers());
    if ground.column().checks_access() {
        builder = builder.credentials(accounts::SUPER.0, accounts::SUPER.1);
    }
    let builder = builder.configure(|settings| ground.shown(ground.trusting(settings)));
    Ok(builder.build()?)
}

async fn producer(context: &ClientContext, group: &str, topic: &str) -> Result<Producer> {
    let builder = Producer::builder(group).context(context).preheat([topic]);
    let builder = builder.configure(|settings| settings.send_msg_timeout(PATIENT));
    Ok(builder.start().await?)
}

async fn shared(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "shared-context";
    ground.topic(topic, QUEUES).await?;
    let context = context(&ground)?;
    let groups = ["shared-orders", "shared-audit"];
    let mut producers = Vec::new();
    for group in groups {
        producers.push(producer(&context, group, topic).await?);
    }
    let mut oracle = Oracle::new();
    for index in 0..20 {
        let body = Bytes::from(format!("{index}"));
        let producer = producers.get(index % 2).context("a producer")?;
        let receipt = producer.send(Message::new(topic, body.clone())?).await?;
        oracle.acked(&receipt, &body);
    }
    let proxied = ground.column() == Column::Proxy;
    let addresses = if proxied { 1 } else { ground.brokers().len() };
    let dials = context.broker_connections().dials;
    ensure!(dials == addresses as u64, "{dials} dials");
    let beats = context.send_heartbeat_to_all_brokers().await;
    ensure!(beats.failed.is_empty(), "{beats:?}");
    for group in groups {
        let found = ground.producers(group, topic).await?;
        let expected = if proxied { 0 } else { ground.brokers().len() };
        ensure!(found.len() == expected, "{group}: {found:?}");
        ensure!(found.iter().all(|c| c.client_id == context.client_id()));
    }
    for producer in &producers {
        end(producer).await?;
    }
    oracle
        .judge(&ground.read(topic, 20).await?)
        .exactly_once()?;
    if proxied {
        Cell::but("one connection; brokers see the proxy's producers only")
    } else {
        Ok(Cell::Passed)
    }
}

async fn twice(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "twice";
    ground.topic(topic, QUEUES).await?;
    let context = context(&ground)?;
    let first = producer(&context, "twice", topic).await?;
    let second = producer(&context, "twice", topic).await;
    let error = second.err().context("two producers of a group")?;
    // The first is not disturbed.
    first.send(Message::new(topic, "still here")?).await?;
    let report = first.shutdown(SOON).await;
    ensure!(report.is_drained(), "{report:?}");
    let text = format!("{error:#}");
    ensure!(text.contains("twice"), "{text}");
    Cell::refused("the second is not built: the group is in the context already")
}

async fn rank(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "ranked";
    ground.topic(topic, QUEUES).await?;
    let mut producers = Vec::new();
    for id in ["ranked@1", "ranked@2"] {
        let builder = ground.builder(topic).preheat([topic]);
        let builder = builder.configure(|settings| settings.client_id(id).spread_by_rank(true));
        producers.push(builder.start().await?);
    }
    let mut cell = Cell::Passed;
    for (wanted, producer) in producers.iter().enumerate() {
        let deadline = Instant::now() + SOON;
        loop {
            let found = producer.instance_rank().await;
            if ground.column() == Column::Proxy {
                ensure!(found.map_or(true, |found| found.instances == 1));
                cell = Cell::NotOffered("brokers see the proxy's producers only".to_owned());
                break;
            }
            let found = found?;
            if (found.rank, found.instances) == (wanted, 2) {
                break;
            }
            ensure!(Instant::now() < deadline, "{found:?}");
            sleep(Duration::from_millis(100)).await;
        }
        producer.send(Message::new(topic, "ranked")?).await?;
    }
    for producer in &producers {
        end(producer).await?;
    }
    ensure!(ground.read(topic, 2).await?.len() == 2);
    Ok(cell)
}
