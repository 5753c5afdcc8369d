//! Administration on real brokers: what it says is what Apache's own client sees.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rocketmq_producer::remoting::protocol::{Boundary, Permission, TopicConfig};
use rocketmq_producer::{
    Admin, FoundMessages, KeyQuery, Message, MessageQueue, SendProbe, TopicTarget,
};
use xtask::apache::{Node, Version};

use crate::clusters::{Apache, end, promise};

const PATIENCE: Duration = Duration::from_secs(60);
/// The index follows the log within moments.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks until the index has as many messages.
async fn found<F>(count: usize, ask: impl Fn() -> F + Send + Sync) -> Result<FoundMessages>
where
    F: Future<Output = Result<FoundMessages, rocketmq_producer::AdminError>> + Send,
{
    let asking = async {
        loop {
            let found = ask().await?;
            ensure!(found.failed.is_empty(), "{:?}", found.failed);
            if found.messages.len() >= count {
                return Ok(found);
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .context("not in the index")?
}

promise!(a_topic_made_here_holds_what_is_found_here_and_by_java: on_5_5_0, on_4_9_7);

async fn a_topic_made_here_holds_what_is_found_here_and_by_java(
    apache: &'static Apache,
) -> Result<()> {
    let topic = "admin_made";
    let producer = apache.producer(topic).await?;
    let admin = producer.admin().with_timeout(PATIENCE);
    let mut config = TopicConfig::new(topic, 2);
    let has_attributes = apache.cluster.version() != Version::V4_9_7;
    if has_attributes {
        let attributes = &mut config.attributes;
        attributes.insert("+message.type".into(), "NORMAL".into());
    }
    let brokers = apache.cluster.brokers();
    let change = admin.create_topic(&config, &TopicTarget::default()).await?;
    ensure!(change.failed.is_empty(), "{:?}", change.failed);
    assert_eq!(change.done.len(), brokers.len());
    producer.wait_for_topic(topic, PATIENCE).await?;
    ensure!(admin.topics().await?.contains(&topic.to_owned()));

    let empty = admin.topic_status(topic).await?;
    assert_eq!(empty.queues.len(), 2 * brokers.len());
    assert!(empty.queues.iter().all(|queue| queue.max_offset == 0));

    let mut receipts = Vec::new();
    for number in 0..10 {
        let message = Message::new(topic, format!("body {number}"))?;
        let message = message.with_keys(["shared", &format!("own-{number}")])?;
        receipts.push(producer.send(message).await?);
    }
    let read = apache.read(topic, receipts.len())?;

    let status = admin.topic_status(topic).await?;
    for queue in &status.queues {
        let held = |stored: &&xtask::apache::ReadMessage| {
            stored.broker == queue.broker_name && stored.queue == queue.queue_id
        };
        let count = i64::try_from(read.iter().filter(held).count())?;
        assert_eq!(queue.messages(), count, "{queue:?}");
        let named = MessageQueue::new(topic, queue.broker_name.as_str(), queue.queue_id);
        assert_eq!(admin.max_offset(&named).await?, count);
        assert_eq!(admin.min_offset(&named).await?, 0);
        let first = admin.search_offset(&named, 0, Boundary::Lower).await?;
        assert_eq!(first, 0);
    }
    for (number, receipt) in receipts.iter().enumerate() {
        let body = format!("body {number}");
        let id = *receipt.offset_message_id().context("an offset id")?;
        let by_place = admin.view_message(topic, id).await?.context("a message")?;
        assert_eq!(by_place.body, body);
        assert_eq!(by_place.queue_offset, receipt.queue_offset());
        let message_id = receipt.message_id().to_string();
        let stored = read.iter().find(|stored| stored.msg_id == message_id);
        let stored = stored.context("Java sees it")?;
        assert_eq!(stored.offset, by_place.queue_offset);
        let by_id = found(1, || admin.find_by_message_id(topic, &message_id)).await?;
        assert_eq!(by_id.messages, std::slice::from_ref(&by_place));
        let key = format!("own-{number}");
        let by_key = found(1, || admin.find_by_key(topic, &key, KeyQuery::new())).await?;
        assert_eq!(by_key.messages, [by_place]);
    }
    let all = found(10, || admin.find_by_key(topic, "shared", KeyQuery::new())).await?;
    assert_eq!(all.messages.len(), 10);
    let mut nowhere = *receipts[0].offset_message_id().context("an offset id")?;
    nowhere.offset += i64::from(i32::MAX);
    assert_eq!(admin.view_message(topic, nowhere).await?, None);

    for broker in brokers {
        judge_broker(&admin, topic, broker, has_attributes).await?;
    }
    let seen = admin.producer_connections(topic).await?;
    assert_eq!(seen.len(), brokers.len(), "{seen:?}");
    let mine = seen.iter().map(|one| one.connection.client_id.as_str());
    assert!(mine.into_iter().all(|id| id == producer.client_id()));
    assert_eq!(admin.producer_connections("nobody").await?, []);
    // The probe of each broker has stored nothing.
    assert_eq!(apache.read(topic, receipts.len())?.len(), receipts.len());
    end(&producer).await.map(drop)
}

async fn judge_broker(
    admin: &Admin,
    topic: &str,
    broker: &Node,
    has_attributes: bool,
) -> Result<()> {
    let (name, address) = (broker.name(), broker.address());
    assert_eq!(
        admin.probe_send(topic, name, address).await?,
        SendProbe::WouldTake
    );
    let error = admin.probe_send("admin_nosuch", name, address).await;
    let error = error.err().context("no such topic")?;
    ensure!(error.is_topic_not_found(), "{error}");
    let config = admin.topic_config(topic, address).await;
    if has_attributes {
        let config = config?;
        assert_eq!(config.write_queue_nums, 2);
        assert_eq!(config.perm, Permission(6));
        assert_eq!(config.attributes["message.type"], "NORMAL");
    } else {
        let error = config.err().context("4.x does not know it")?;
        ensure!(error.is_not_supported(), "{error}");
    }
    let here = i64::try_from(std::time::UNIX_EPOCH.elapsed()?.as_millis())?;
    let clock = admin.broker_info(address).await?.clock();
    let difference = clock.context("a clock")? - here;
    // The same machine; a second is what the broker does not tell.
    ensure!((-5000..5000).contains(&difference), "{difference} ms");
    let version = admin.ping(address).await?.version;
    assert_eq!(version, if has_attributes { 513 } else { 407 });
    Ok(())
}
