//! Topics that are not there, or not to be written to.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use rocketmq_producer::routing::RoutingError;
use rocketmq_producer::{Delivery, ErrorKind, Message, SendFailure, SendOptions};
use xtask::apache::{Permission, Version};

use super::ground::{PATIENT, end};
use super::row::{Group, row};
use super::trial::{QUEUES, refusal, shown};
use super::{Cell, Column, Ground};
use crate::oracle::Oracle;

pub(super) const GROUP: Group = Group::new(
    "Topics",
    &[
        row!(
            "auto-created topic",
            "the first message creates its topic, with as many queues as set",
            auto_created
        ),
        row!(
            "unknown topic",
            "with `create_topic` off: not sent, the error names topic and name server",
            unknown
        ),
        row!(
            "read-only topic",
            "not sent, the error names the brokers and the permission",
            read_only
        ),
        row!(
            "a message of another type",
            "a message with a sharding key to a topic that was created for `NORMAL` messages",
            other_type
        ),
        row!(
            "`wait_for_topic`",
            "a topic that is created while waited for",
            waited_for
        ),
    ],
);

async fn auto_created(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "auto-created";
    let producer = ground
        .builder(topic)
        .configure(|settings| settings.default_topic_queue_nums(3))
        .start()
        .await?;
    if ground.column() == Column::Proxy {
        let error = producer.send(Message::new(topic, "first")?).await;
        let code = refusal(&error.err().context("taken")?)?;
        end(&producer).await?;
        return Cell::not_offered(format!(
            "the proxy takes nothing for a topic whose message type it does not know: rejected with code {code}"
        ));
    }
    let mut oracle = Oracle::new();
    for index in 0..12 {
        let body = bytes::Bytes::from(format!("{index}"));
        let receipt = producer.send(Message::new(topic, body.clone())?).await?;
        ensure!(receipt.queue().queue_id() < 3, "{receipt:?}");
        oracle.acked(&receipt, &body);
    }
    end(&producer).await?;
    oracle
        .judge(&ground.read(topic, 12).await?)
        .exactly_once()?;
    Ok(Cell::Passed)
}

async fn unknown(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "no-such-topic";
    let producer = ground
        .builder(topic)
        .configure(|settings| settings.create_topic(false))
        .start()
        .await?;
    let error = producer.send(Message::new(topic, "never")?).await;
    let error = error.err().context("taken")?;
    ensure!(error.delivery() == Delivery::NotSent, "{error:?}");
    ensure!(error.kind() == ErrorKind::RouteNotFound, "{error:?}");
    let SendFailure::Routing(RoutingError::TopicNotFound { .. }) = error.cause() else {
        bail!("{error:?}");
    };
    let text = shown(error);
    ensure!(
        text.contains(topic) && text.contains(&ground.name_servers()),
        "{text}"
    );
    end(&producer).await?;
    Cell::refused("not sent: no such topic")
}

async fn read_only(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "read-only";
    ground
        .topic_with(topic, QUEUES, Permission::READ_ONLY, "")
        .await?;
    let producer = ground.builder(topic).start().await?;
    let error = producer.send(Message::new(topic, "never")?).await;
    let error = error.err().context("taken")?;
    ensure!(error.delivery() == Delivery::NotSent, "{error:?}");
    let SendFailure::Routing(RoutingError::NothingWritable { .. }) = error.cause() else {
        bail!("{error:?}");
    };
    let text = shown(error);
    for broker in ground.brokers() {
        ensure!(text.contains(broker.name()), "{text}");
    }
    end(&producer).await?;
    Cell::refused("not sent: nothing writable")
}

async fn other_type(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "other-type";
    let has_types = ground.version() != Version::V4_9_7;
    let attributes = if has_types {
        "+message.type=NORMAL"
    } else {
        ""
    };
    ground
        .topic_with(topic, QUEUES, Permission::READ_WRITE, attributes)
        .await?;
    let producer = ground.builder(topic).start().await?;
    let message = Message::new(topic, "keyed")?.with_sharding_key("key")?;
    let outcome = producer.send(message).await;
    end(&producer).await?;
    let stored = ground.read(topic, usize::from(outcome.is_ok())).await?;
    ensure!(stored.len() == usize::from(outcome.is_ok()), "{stored:?}");
    if ground.column() == Column::Proxy {
        let code = refusal(&outcome.err().context("taken")?)?;
        return Cell::refused(format!(
            "rejected with code {code}: the proxy looks at types"
        ));
    }
    outcome?;
    Cell::not_offered(if has_types {
        "brokers do not look at the type, the message is stored"
    } else {
        "topics of 4.x have no type, the message is stored"
    })
}

async fn waited_for(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "waited-for";
    let producer = ground
        .builder(topic)
        .configure(|settings| settings.create_topic(false))
        .start()
        .await?;
    let before = producer.send_with(
        Message::new(topic, "too early")?,
        SendOptions::new().timeout(PATIENT),
    );
    let before = before.await.err().context("the topic is there already")?;
    ensure!(before.delivery() == Delivery::NotSent, "{before:?}");
    let (waited, created) = tokio::join!(
        producer.wait_for_topic(topic, super::ground::SOON),
        ground.topic(topic, QUEUES)
    );
    created?;
    waited?;
    let mut oracle = Oracle::new();
    let body = bytes::Bytes::from_static(b"in time");
    let receipt = producer.send(Message::new(topic, body.clone())?).await?;
    oracle.acked(&receipt, &body);
    end(&producer).await?;
    oracle.judge(&ground.read(topic, 1).await?).exactly_once()?;
    Ok(Cell::Passed)
}
