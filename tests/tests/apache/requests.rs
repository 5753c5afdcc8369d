//! Requests get their replies from Apache's own consumer, through real brokers; and producers share a client.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rocketmq_producer::{ClientContext, Message, RequestError};
use rocketmq_producer_tests::command;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::clusters::{Apache, end, promise};

/// A consumer that has just begun may take long until it is given its queues.
const PATIENT: Duration = Duration::from_secs(60);

promise!(requests_get_the_replies_of_apaches_consumer: on_5_5_0, on_4_9_7);

async fn requests_get_the_replies_of_apaches_consumer(apache: &'static Apache) -> Result<()> {
    let (topic, group) = ("requests", "requests_group");
    apache.topic(topic, 4)?;
    let producer = apache.producer(group).await?;
    let consumer = apache.reader.clone().in_one_process()?;
    consumer.answer_requests(&apache.name_servers(), topic, "requests_replier")?;
    let mut asked = JoinSet::new();
    for number in 0..20 {
        let producer = producer.clone();
        asked.spawn(async move {
            let body = format!("ping-{number}");
            let message = Message::new(topic, body.clone())?;
            let reply = producer.request(message, PATIENT).await?;
            ensure!(
                reply.body() == format!("re: {body}").as_bytes(),
                "{reply:?}"
            );
            ensure!(reply.message.property("MSG_TYPE") == Some("reply"));
            reply.receipt.context("its receipt came")
        });
    }
    while let Some(receipt) = asked.join_next().await {
        receipt??;
    }
    let stats = producer.stats();
    assert_eq!((stats.replies, stats.unknown_replies), (20, 0));
    // A body that the replying side packs comes unpacked.
    let long = "long ".repeat(4000);
    let reply = producer.request(Message::new(topic, long.clone())?, PATIENT);
    let reply = reply.await?;
    assert!(reply.body() == format!("re: {long}").as_bytes());
    end(&producer).await?;
    the_command_prints_replies_and_has_them_in_the_ledger(apache, topic)
}

/// In the same test, since the consumer that replies takes long to begin.
fn the_command_prints_replies_and_has_them_in_the_ledger(
    apache: &Apache,
    topic: &str,
) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let ledger = folder.path().join("ledger");
    let mut asking = Command::new(command::path()?)
        .args([
            "send",
            "--topic",
            topic,
            "--namesrv",
            &apache.name_servers(),
        ])
        .args(["--format", "jsonl", "--request=60s", "--ledger"])
        .arg(&ledger)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = asking.stdin.take().context("a pipe")?;
    for id in 0..5 {
        writeln!(input, r#"{{"id":{id},"body":"from the command {id}"}}"#)?;
    }
    drop(input);
    let output = asking.wait_with_output()?;
    ensure!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout)?;
    let printed = text.lines().filter(|line| line.starts_with('{'));
    let printed: Vec<Value> = printed
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let ledger = std::fs::read_to_string(&ledger)?;
    let ledger: Vec<Value> = ledger
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    assert_eq!((printed.len(), ledger.len()), (5, 5), "{text}");
    for id in 0..5 {
        let reply = format!("re: from the command {id}");
        let of = |lines: &[Value]| lines.iter().find(|line| line["id"] == id).cloned();
        assert_eq!(of(&printed).context("printed")?["reply"], reply);
        let line = of(&ledger).context("in the ledger")?;
        assert_eq!(
            (&line["outcome"], &line["answer"]["reply"]),
            (&"acked".into(), &reply.into())
        );
    }
    Ok(())
}

promise!(without_a_replying_consumer_the_request_is_stored_and_the_error_says_where: on_5_5_0, on_4_9_7);

async fn without_a_replying_consumer_the_request_is_stored_and_the_error_says_where(
    apache: &'static Apache,
) -> Result<()> {
    let (topic, group) = ("unanswered", "unanswered_group");
    apache.topic(topic, 4)?;
    let producer = apache.producer(group).await?;
    let message = Message::new(topic, "anybody?")?;
    let asked = producer.request(message, Duration::from_secs(5)).await;
    let Err(RequestError::NoReply { receipt, .. }) = asked else {
        anyhow::bail!("{asked:?}");
    };
    let read = apache.read(topic, 1)?;
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].offset, receipt.queue_offset());
    let property = |name: &str| read[0].properties.get(name).map(String::as_str);
    assert_eq!(property("REPLY_TO_CLIENT"), Some(producer.client_id()));
    assert_eq!(property("TTL"), Some("5000"));
    end(&producer).await?;
    Ok(())
}

promise!(brokers_list_all_groups_of_a_shared_client_until_each_has_left: on_5_5_0, on_4_9_7);

async fn brokers_list_all_groups_of_a_shared_client_until_each_has_left(
    apache: &'static Apache,
) -> Result<()> {
    let (topic, groups) = ("shared_client", ["shared_client_a", "shared_client_b"]);
    apache.topic(topic, 4)?;
    let context = ClientContext::builder().name_servers(&apache.name_servers());
    let context = context.build()?;
    let start = |group| context.producer(group).preheat([topic]).start();
    let (one, two) = (start(groups[0]).await?, start(groups[1]).await?);
    for producer in [&one, &two] {
        producer.send(Message::new(topic, "hello")?).await?;
        context.send_heartbeat_to_all_brokers().await;
    }
    let brokers = apache.cluster.brokers().len();
    let listed = |group| -> Result<usize> {
        let listing = apache.brokers_that_list(group, context.client_id())?;
        Ok(listing.len())
    };
    assert_eq!((listed(groups[0])?, listed(groups[1])?), (brokers, brokers));
    let report = end(&one).await?;
    assert_eq!(report.unregistered, brokers);
    assert_eq!((listed(groups[0])?, listed(groups[1])?), (0, brokers));
    two.send(Message::new(topic, "still here")?).await?;
    end(&two).await?;
    assert_eq!(listed(groups[1])?, 0);
    Ok(())
}
