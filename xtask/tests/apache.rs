//! The judge is judged first: every version boots, Apache's own producer sends, Apache's own consumer reads it back.
#![allow(
    clippy::print_stdout,
    reason = "start times are worth seeing with --nocapture"
)]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use xtask::apache::{
    Cluster, ClusterSpec, JavaSend, Permission, ReadOptions, Reader, Version, require,
};

fn boots_and_reads_back(version: Version, names: &[&str]) -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "reported, not decided by")]
    let start = Instant::now();
    let cluster = Cluster::start(&ClusterSpec::new(version).brokers(names.len()))?;
    println!("{version}: {names:?} ready after {:.1?}", start.elapsed());
    cluster.create_topic("judged", 4, Permission::READ_WRITE)?;
    let namesrv = cluster.name_server_addr();
    let reader = Reader::new(version)?;

    let sent = reader.java_send(&namesrv, "judged", &JavaSend::new(200).body_len(256))?;
    assert_eq!(sent.len(), 200);
    let failed: Vec<_> = sent.iter().filter(|s| s.status != "SEND_OK").collect();
    assert!(failed.is_empty(), "{failed:?}");

    let options = ReadOptions::new()
        .at_least(200)
        .wait(Duration::from_secs(10));
    let read = reader.read_topic_with(&namesrv, "judged", &options)?;
    assert_eq!(read.len(), 200);
    let brokers: HashSet<_> = read.iter().map(|m| m.broker.as_str()).collect();
    assert_eq!(brokers, names.iter().copied().collect());
    for message in &sent {
        let position = (message.broker.as_deref(), message.queue, message.offset);
        let stored = read
            .iter()
            .find(|r| (Some(r.broker.as_str()), Some(r.queue), Some(r.offset)) == position)
            .context("acknowledged, so stored")?;
        assert_eq!(Some(&stored.msg_id), message.msg_id.as_ref());
        assert_eq!(stored.offset_msg_id, message.offset_msg_id);
        assert_eq!(stored.keys, Some(format!("key-{}", message.index)));
        assert_eq!(stored.tags.as_deref(), Some("java"));
        assert_eq!(stored.properties["index"], message.index.to_string());
        assert_eq!((stored.len, stored.body.len()), (256, 256));
        let body = String::from_utf8_lossy(&stored.body);
        assert_eq!(
            body.trim_end_matches('.'),
            format!("java-{}", message.index)
        );
    }
    assert!(
        reader
            .producer_connections(&namesrv, "no_such_group", "judged")?
            .is_empty()
    );

    let broker = cluster.brokers().last().context("a broker")?;
    broker.pause()?;
    broker.resume()?;
    let before = broker.pid();
    broker.kill()?;
    assert_eq!(broker.pid(), None);
    broker.start()?;
    assert_ne!(broker.pid(), before);
    let options = ReadOptions::new().digest_only().at_least(200);
    let again = reader.read_topic_with(&namesrv, "judged", &options)?;
    assert_eq!(
        again.len(),
        200,
        "a killed broker keeps what the system had taken"
    );
    assert!(again.iter().all(|m| m.body.is_empty() && m.len == 256));
    shows_a_running_producer(&reader, &namesrv)
}

fn shows_a_running_producer(reader: &Reader, namesrv: &str) -> Result<()> {
    std::thread::scope(|scope| {
        let send = JavaSend::new(1)
            .group("judged_producer")
            .linger(Duration::from_secs(6));
        let sending = scope.spawn(move || reader.java_send(namesrv, "judged", &send));
        while !sending.is_finished() {
            let found = reader.producer_connections(namesrv, "judged_producer", "judged")?;
            if let Some(connection) = found.first() {
                assert_eq!(connection.language, "JAVA");
                assert!(connection.version_name.starts_with('V'), "{connection:?}");
                return Ok(());
            }
        }
        anyhow::bail!("the producer ended without having been seen")
    })
}

#[test]
fn apache_4_9_7_boots_and_is_read_back() -> Result<()> {
    let Some(()) = require("apache_4_9_7_boots_and_is_read_back") else {
        return Ok(());
    };
    boots_and_reads_back(Version::V4_9_7, &["broker-a"])
}

#[test]
fn apache_5_1_4_boots_and_is_read_back() -> Result<()> {
    let Some(()) = require("apache_5_1_4_boots_and_is_read_back") else {
        return Ok(());
    };
    boots_and_reads_back(Version::V5_1_4, &["broker-a"])
}

#[test]
fn apache_5_5_0_boots_and_is_read_back() -> Result<()> {
    let Some(()) = require("apache_5_5_0_boots_and_is_read_back") else {
        return Ok(());
    };
    boots_and_reads_back(Version::V5_5_0, &["broker-a", "broker-b"])
}

#[test]
fn a_broker_that_cannot_start_shows_its_last_words() {
    let Some(()) = require("a_broker_that_cannot_start_shows_its_last_words") else {
        return;
    };
    let spec = ClusterSpec::new(Version::V4_9_7).broker_java("-XX:NoSuchOption");
    let error = Cluster::start(&spec).expect_err("no such option");
    let shown = format!("{error:#}");
    assert!(shown.contains("broker-a"), "{shown}");
    assert!(shown.contains("NoSuchOption"), "{shown}");
}
