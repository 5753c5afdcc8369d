//! Message traces on real brokers: the records of our producer beside those of Apache's own, read by Apache's client.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rocketmq_producer::Message;
use tokio::time::Instant;
use xtask::apache::{FindBy, JavaSend, ReadMessage, Reader, Version};

use crate::clusters::{Apache, end, promise};

const TRACES: &str = "RMQ_SYS_TRACE_TOPIC";
const TOPIC: &str = "traced";
const GROUP: &str = "tracers";

promise!(traces_are_those_of_apaches_own_producer: on_5_5_0, on_4_9_7);

async fn traces_are_those_of_apaches_own_producer(apache: &'static Apache) -> Result<()> {
    apache.topic(TOPIC, 4)?;
    let java = JavaSend::new(1).group(GROUP).body_len(32).traced();
    let java = apache
        .reader
        .java_send(&apache.name_servers(), TOPIC, &java)?;
    let java_id = java[0].msg_id.clone().context("an id")?;

    let producer = apache
        .producer_with(GROUP, |settings| settings.trace_message(true))
        .await?;
    // What Apache's producer sends.
    let message = Message::new(TOPIC, vec![b'x'; 32])?
        .with_tags("java")?
        .with_keys(["key-0"])?;
    let receipt = producer.send(message).await?;
    let batch = [Message::new(TOPIC, "one")?, Message::new(TOPIC, "two")?];
    let batch = producer.send_batch(batch).await?;
    end(&producer).await?;
    assert_eq!(producer.stats().traces_sent, 3);

    let id = receipt.message_id().to_string();
    let ours = record(apache, &id)?;
    assert_eq!(ours.len(), 14, "{ours:?}");
    // Apache's client of 4.9.7 ends before the trace of a last message has left it.
    if apache.cluster.version() != Version::V4_9_7 {
        let theirs = record(apache, &java_id)?;
        assert_eq!(theirs.len(), 14, "{theirs:?}");
        // Kind, region, group, topic, tags, keys, body, type of message, success.
        for field in [0, 2, 3, 4, 6, 7, 9, 11, 13] {
            assert_eq!(
                ours[field], theirs[field],
                "field {field}: {ours:?}, {theirs:?}"
            );
        }
    }
    let offset_id = receipt.offset_message_id().context("an id")?.to_string();
    assert_eq!((&ours[5], &ours[12]), (&id, &offset_id));
    let attempt = receipt.attempts().last().context("an attempt")?;
    assert_eq!(ours[8], attempt.address());
    let began: i64 = ours[1].parse()?;
    let born = receipt.born_timestamp();
    ensure!(
        (born - 1..born + 60_000).contains(&began),
        "{began} of {born}"
    );
    for receipt in &batch {
        let record = record(apache, receipt.message_id().as_str())?;
        let offset_id = receipt.offset_message_id().context("an id")?.to_string();
        assert_eq!(
            (&*record[6], &*record[7], record[12].clone()),
            ("null", "null", offset_id)
        );
    }
    Ok(())
}

/// All records that name a message, once there are so many.
pub(crate) fn records_about(
    java: &Reader,
    name_servers: &str,
    id: &str,
    count: usize,
) -> Result<Vec<Vec<String>>> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let by = FindBy::Key(id);
        let wait = Duration::from_secs(30);
        let found = java.find(name_servers, TRACES, &by, wait)?;
        let mut records: Vec<_> = found.iter().flat_map(records_of).collect();
        records.retain(|record| record.iter().any(|field| field == id));
        if records.len() == count {
            return Ok(records);
        }
        // A broker enters a message into its index a little after it has acknowledged it.
        ensure!(
            Instant::now() < deadline,
            "{} of {count} traces of {id}: {found:?}",
            records.len()
        );
    }
}

/// The record of a message, found as RocketMQ's tools find it: by the message's id as a key of its trace.
fn record(apache: &Apache, id: &str) -> Result<Vec<String>> {
    let by = FindBy::Key(id);
    let wait = Duration::from_secs(30);
    let found = apache
        .reader
        .find(&apache.name_servers(), TRACES, &by, wait)?;
    let records = found.iter().flat_map(records_of);
    let mut records = records.filter(|record| record.iter().any(|field| field == id));
    let record = records
        .next()
        .with_context(|| format!("no trace of {id}: {found:?}"))?;
    ensure!(records.next().is_none(), "several traces of {id}");
    Ok(record)
}

fn records_of(message: &ReadMessage) -> Vec<Vec<String>> {
    let body = String::from_utf8_lossy(&message.body);
    let records = body.split_terminator('\u{2}');
    records
        .map(|record| record.split('\u{1}').map(str::to_owned).collect())
        .collect()
}
