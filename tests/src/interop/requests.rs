//! Requests that a consumer of Apache's answers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rocketmq_producer::Message;
use tokio::task::JoinSet;

use super::ground::{SOON, end};
use super::row::{Group, row};
use super::trial::{QUEUES, shown};
use super::{Cell, Column, Ground};

pub(super) const GROUP: Group = Group::new(
    "Requests",
    &[
        row!(
            "request and reply",
            "Java's replying consumer answers ten requests at once, each its own",
            replied
        ),
        row!(
            "a request that nobody answers",
            "the error says that the request is stored, and that no reply came",
            unanswered
        ),
    ],
);

async fn replied(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "requests";
    ground.topic(topic, QUEUES).await?;
    ground
        .java(move |ground, java| java.answer_requests(&ground.direct(), topic, "repliers"))
        .await?;
    let producer = ground.builder(topic).start().await?;
    // A consumer needs its time until it has its queues.
    let patience = match ground.column() {
        Column::Proxy => Duration::from_secs(15),
        _ => SOON,
    };
    let first = producer
        .request(Message::new(topic, "first")?, patience)
        .await;
    if ground.column() == Column::Proxy {
        end(&producer).await?;
        let error = first.err().context("the proxy hands replies on")?;
        ensure!(ground.read(topic, 1).await?.len() == 1, "{error}");
        return Cell::not_offered(
            "the request is stored and answered; the broker knows no connection of ours to push the reply to",
        );
    }
    ensure!(**first?.body() == *b"re: first");
    let mut under_way = JoinSet::new();
    for index in 0..10 {
        let producer = producer.clone();
        let message = Message::new(topic, format!("{index}"))?;
        under_way.spawn(async move { (index, producer.request(message, SOON).await) });
    }
    while let Some(done) = under_way.join_next().await {
        let (index, reply) = done?;
        let reply = reply?;
        let text = String::from_utf8_lossy(reply.body()).into_owned();
        ensure!(text == format!("re: {index}"), "{text}");
    }
    end(&producer).await?;
    Ok(Cell::Passed)
}

async fn unanswered(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "requests-unanswered";
    ground.topic(topic, QUEUES).await?;
    let producer = ground.builder(topic).start().await?;
    let message = Message::new(topic, "anybody?")?;
    let outcome = producer.request(message, Duration::from_secs(3)).await;
    end(&producer).await?;
    let error = outcome.err().context("who replied?")?;
    let receipt = error.receipt().context("not stored")?;
    let read = ground.read(topic, 1).await?;
    let stored = super::trial::stored(&read, receipt)?;
    ensure!(stored.body == b"anybody?", "{stored:?}");
    let text = shown(error);
    ensure!(text.contains("no reply"), "{text}");
    Cell::refused("the error carries the receipt of the stored request")
}
