//! Topics whose queues are more, or elsewhere, than a broker's own.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use rocketmq_producer::{Message, Producer, SendReceipt};
use xtask::apache::{ReadMessage, Version};

use super::ground::{SOON, end};
use super::row::{Group, row};
use super::trial::Trial;
use super::{Cell, Column, Ground};

pub(super) const GROUP: Group = Group::new(
    "Special topics",
    &[
        row!(
            "light queues",
            "`with_lmq`: stored once, and in each of its light queues",
            light
        ),
        row!(
            "order topic",
            "only the queues that the name servers' order configuration names are sent to",
            order
        ),
        row!(
            "static topic",
            "its queues keep their numbers while they move to another broker; each message is stored once",
            moved
        ),
    ],
);

/// `UPDATE_NAMESRV_CONFIG` and `PUT_KV_CONFIG`, sent to a name server.
const UPDATE_NAME_SERVER_CONFIG: i32 = 318;
const PUT_KV_CONFIG: i32 = 100;
/// `GET_MAX_OFFSET`, sent to a broker.
const MAX_OFFSET: i32 = 30;
/// `UPDATE_AND_CREATE_STATIC_TOPIC`, sent to a broker.
const CREATE_STATIC_TOPIC: i32 = 513;

async fn light(ground: Arc<Ground>) -> Result<Cell> {
    let mut trial = Trial::new(&ground, "light").await?;
    let body = trial.body();
    let message = trial.message(&body)?.with_lmq(["light_a", "light_b"])?;
    let receipt = trial.producer.send(message).await?;
    trial.oracle.acked(&receipt, &body);
    let broker = receipt.queue().broker_name().to_string();
    ground
        .java(move |ground, java| {
            let broker = ground.cluster().broker(&broker).context("the broker")?;
            for queue in ["%LMQ%light_a", "%LMQ%light_b"] {
                let fields = [("topic", queue), ("queueId", "0"), ("commit", "true")];
                let length = java.ask_field(broker.address(), MAX_OFFSET, &fields, "offset")?;
                ensure!(length == "1", "{queue} holds {length}");
            }
            Ok(())
        })
        .await?;
    let read = trial.judge().await?;
    ensure!(read.len() == 1, "{} stored", read.len());
    Ok(Cell::Passed)
}

async fn order(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "order-topic";
    ground.topic(topic, 4).await?;
    ground
        .java(move |ground, java| {
            let brokers = ground.brokers().iter();
            let first_two: Vec<_> = brokers.map(|it| format!("{}:2", it.name())).collect();
            let server = ground.direct();
            let on = "orderMessageEnable=true\n";
            java.ask(&server, UPDATE_NAME_SERVER_CONFIG, &[], on)?;
            let fields = [
                ("namespace", "ORDER_TOPIC_CONFIG"),
                ("key", topic),
                ("value", &first_two.join(";")),
            ];
            java.ask(&server, PUT_KV_CONFIG, &fields, "").map(drop)
        })
        .await?;
    let producer = ground.builder(topic).start().await?;
    let count = ground.brokers().len() * 8;
    round(&producer, topic, 0, count).await?;
    end(&producer).await?;
    let read = ground.read(topic, count).await?;
    ensure!(read.len() == count, "{} stored", read.len());
    let beyond = read.iter().filter(|stored| stored.queue >= 2).count();
    if ground.column() == Column::Proxy && beyond > 0 {
        return Cell::not_offered(
            "the routes of the proxy have no order configuration: all queues",
        );
    }
    ensure!(beyond == 0, "{beyond} in other queues");
    Ok(Cell::Passed)
}

fn not_followed(error: &anyhow::Error) -> Result<Cell> {
    let text = format!("{error:#}");
    ensure!(text.contains("NOT_LEADER_FOR_QUEUE"), "{text}");
    Cell::not_offered("the proxy does not follow static queues: rejected with code 501")
}

async fn moved(ground: Arc<Ground>) -> Result<Cell> {
    const QUEUES: usize = 4;
    let topic = "static-topic";
    if ground.version() == Version::V4_9_7 {
        let refused = ground
            .java(move |ground, java| {
                let broker = ground.brokers().first().context("a broker")?;
                java.ask(
                    broker.address(),
                    CREATE_STATIC_TOPIC,
                    &[("topic", topic)],
                    "",
                )
            })
            .await;
        let error = refused.err().context("4.x knows static topics?")?;
        let text = format!("{error:#}");
        ensure!(text.contains("not supported"), "{text}");
        return Cell::not_offered("4.x has no static topics: the request is not known");
    }
    let (first, last) = match ground.brokers() {
        [first, .., last] => (first.name(), last.name()),
        [only] => (only.name(), only.name()),
        [] => bail!("no broker"),
    };
    let servers = ground.direct();
    let admin = async |line: String| ground.java(move |_, java| java.admin_tool(&line)).await;
    admin(format!(
        "updateStaticTopic -n {servers} -t {topic} -qn {QUEUES} -b {first}"
    ))
    .await?;
    let producer = ground
        .builder(topic)
        .configure(|settings| settings.create_topic(false))
        .start()
        .await?;
    producer.wait_for_topic(topic, SOON).await?;
    // The proxy may have the broker by its own view of the topic, which is another than the route's.
    let mut receipts = match round(&producer, topic, 0, QUEUES).await {
        Err(error) if ground.column() == Column::Proxy => {
            end(&producer).await?;
            return not_followed(&error);
        }
        receipts => receipts?,
    };
    if first != last {
        admin(format!(
            "remappingStaticTopic -n {servers} -t {topic} -b {last}"
        ))
        .await?;
    }
    // The route at hand is old: the broker says so (501), and the route is fetched anew within the send.
    let second = round(&producer, topic, QUEUES, QUEUES).await;
    end(&producer).await?;
    match second {
        Err(error) if ground.column() == Column::Proxy => return not_followed(&error),
        second => receipts.extend(second?),
    }
    let read = ground.read(topic, 2 * QUEUES).await?;
    whole(&read, 2 * QUEUES)?;
    let at = |receipt: &SendReceipt| -> Option<String> {
        let attempt = receipt.attempts().last()?;
        Some(attempt.broker().to_owned())
    };
    for (index, receipt) in receipts.iter().enumerate() {
        let wanted = if index < QUEUES { first } else { last };
        ensure!(at(receipt).as_deref() == Some(wanted), "{receipt:?}");
    }
    let numbers = |receipts: &[SendReceipt]| -> Vec<i32> {
        let ids = receipts.iter().map(|receipt| receipt.queue().queue_id());
        let mut ids: Vec<_> = ids.collect();
        ids.sort_unstable();
        ids
    };
    let (before, after) = receipts.split_at(QUEUES);
    ensure!(numbers(before) == [0, 1, 2, 3], "{before:?}");
    ensure!(numbers(after).iter().all(|id| (0..4).contains(id)));
    if first == last {
        return Cell::but("one master only: nowhere to move to");
    }
    Ok(Cell::Passed)
}

async fn round(
    producer: &Producer,
    topic: &str,
    from: usize,
    count: usize,
) -> Result<Vec<SendReceipt>> {
    let mut receipts = Vec::new();
    for index in from..from + count {
        let message = Message::new(topic, format!("{index}"))?;
        receipts.push(producer.send(message).await?);
    }
    Ok(receipts)
}

/// The bodies are the numbers below `count`, each once.
fn whole(read: &[ReadMessage], count: usize) -> Result<()> {
    let bodies = read
        .iter()
        .map(|stored| String::from_utf8_lossy(&stored.body));
    let mut bodies: Vec<_> = bodies.map(std::borrow::Cow::into_owned).collect();
    bodies.sort();
    let mut wanted: Vec<_> = (0..count).map(|index| index.to_string()).collect();
    wanted.sort();
    ensure!(bodies == wanted, "{bodies:?}");
    Ok(())
}
