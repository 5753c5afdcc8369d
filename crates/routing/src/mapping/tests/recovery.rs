//! Refreshes while brokers are in trouble.

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use async_trait::async_trait;
use rocketmq_producer_remoting::{
    ConnectionOptions, ConnectionPool, Dialer, NoConsumer, Transport,
};
use tokio::time::Instant;

use super::{A, B, strict};
use crate::{
    mapping::TopicBrokerMapping,
    test_support::{FakeNameServer, mapping, mapping_over, soon},
};

/// The most questions within any second.
fn busiest_second(log: &[(String, Instant)]) -> usize {
    let second = Duration::from_secs(1);
    let from = |(index, (_, at)): (usize, &(String, Instant))| {
        log[index..]
            .iter()
            .filter(|(_, later)| *later - *at < second)
            .count()
    };
    log.iter().enumerate().map(from).max().unwrap_or(0)
}

async fn with_topics(source: &FakeNameServer, mapping: &TopicBrokerMapping, count: usize) {
    for number in 0..count {
        let topic = format!("T{number}");
        source.set(&topic, &[A, B]);
        mapping.topic(&topic, soon()).await.unwrap();
    }
    source.take_log();
}

#[tokio::test(start_paused = true)]
async fn a_vanished_broker_that_is_back_is_used_within_seconds() {
    let source = FakeNameServer::new();
    let mapping = mapping(&source, strict());
    mapping.start_polling();
    with_topics(&source, &mapping, 1).await;
    source.set("T0", &[B]);
    mapping.force_refresh("T0", soon()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(100)).await;
    let asked = source.take_log().len();
    assert!((85..=101).contains(&asked), "{asked} questions in 100 s");
    source.set("T0", &[A, B]);
    let entry = mapping.topic("T0", soon()).await.unwrap();
    let generation = entry.route().unwrap().generation();
    let back = Instant::now();
    entry.changed(generation).await;
    assert!(back.elapsed() <= Duration::from_millis(1200));
    assert!(!entry.route().unwrap().has_vanished());
    // All is well again: only the poll asks.
    source.take_log();
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!(source.take_log().len() <= 4);
}

#[tokio::test(start_paused = true)]
async fn the_frequent_refreshes_end_with_the_recovery_phase() {
    let source = FakeNameServer::new();
    let mapping = mapping(&source, strict());
    mapping.start_polling();
    with_topics(&source, &mapping, 1).await;
    source.set("T0", &[B]);
    mapping.force_refresh("T0", soon()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(301)).await;
    source.take_log();
    tokio::time::sleep(Duration::from_secs(90)).await;
    let asked = source.take_log().len();
    assert!((2..=4).contains(&asked), "{asked} questions in 90 s");
    // Another broker's trouble begins a phase of its own.
    source.set("T0", &[]);
    mapping.force_refresh("T0", soon()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(source.take_log().len() >= 8);
}

#[tokio::test(start_paused = true)]
async fn of_a_thousand_topics_in_trouble_sixteen_a_second_are_asked_for_and_all_get_their_turn() {
    let source = FakeNameServer::new();
    let mapping = mapping(&source, strict());
    with_topics(&source, &mapping, 1000).await;
    for number in 0..1000 {
        source.set(&format!("T{number}"), &[B]);
        mapping
            .force_refresh(&format!("T{number}"), soon())
            .await
            .unwrap();
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    let (hot, now) = (mapping.cached("T500").unwrap(), Instant::now());
    hot.touch(now);
    source.take_log();
    mapping.start_polling();
    // Polling has its own rhythm; this is over before its second round.
    tokio::time::sleep(Duration::from_secs(26)).await;
    let log = source.take_log();
    assert!(busiest_second(&log) <= 16, "{}", busiest_second(&log));
    let mut asked = HashMap::new();
    for (topic, _) in &log {
        *asked.entry(topic.as_str()).or_insert(0) += 1;
    }
    assert!(asked["T500"] >= 22, "the topic in use: {}", asked["T500"]);
    // Eight places a second go to the others in turn.
    assert!(asked.len() >= 8 * 22, "{} topics", asked.len());
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(26)).await;
        for (topic, _) in source.take_log() {
            asked.entry(String::leak(topic)).or_insert(0);
        }
    }
    assert_eq!(asked.len(), 1000);
}

#[tokio::test(start_paused = true)]
async fn name_servers_that_come_back_meet_no_thousand_questions_at_once() {
    let source = FakeNameServer::new();
    source.set_delay(Duration::from_millis(20));
    let mapping = mapping(&source, strict());
    with_topics(&source, &mapping, 1000).await;
    mapping.start_polling();
    source.set_down(true);
    // Every topic is in use, all its routes expire, and every send fails and hints.
    let send_all = || {
        for entry in mapping.entries() {
            let now = Instant::now();
            let route = entry.route().unwrap();
            mapping.hint_refresh(&entry, route.generation(), now);
        }
    };
    for _ in 0..60 {
        send_all();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let down = source.take_log();
    assert!(
        busiest_second(&down[100..]) <= 20,
        "{}",
        busiest_second(&down[100..])
    );
    source.set_down(false);
    for _ in 0..600 {
        send_all();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let up = source.take_log();
    // Polling asks for eight topics at a time and is bound by the answers.
    let by_poll = 8 * 50;
    assert!(
        busiest_second(&up) <= 128 + by_poll,
        "{}",
        busiest_second(&up)
    );
    assert_eq!(source.most_at_once(), 1);
    let now = Instant::now();
    let oldest = mapping
        .entries()
        .iter()
        .map(|entry| entry.route().unwrap().age(now))
        .max();
    assert!(
        oldest.unwrap() <= Duration::from_secs(60),
        "all fresh again"
    );
}

#[tokio::test(start_paused = true)]
async fn while_no_name_server_is_reachable_one_topic_in_trouble_is_enough_to_ask_for() {
    let source = FakeNameServer::new();
    let mapping = mapping(&source, strict());
    with_topics(&source, &mapping, 100).await;
    for number in 0..100 {
        source.set(&format!("T{number}"), &[B]);
        mapping
            .force_refresh(&format!("T{number}"), soon())
            .await
            .unwrap();
    }
    source.set_down(true);
    mapping.start_polling();
    tokio::time::sleep(Duration::from_secs(3)).await;
    source.take_log();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let asked = source.take_log().len();
    assert!((17..=21).contains(&asked), "{asked} questions in 20 s");
    source.set_down(false);
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert!(source.take_log().len() >= 100, "in turn again");
}

/// A network in which nothing listens.
struct NobodyThere;

#[async_trait]
impl Dialer for NobodyThere {
    async fn dial(&self, _: &str, _: &ConnectionOptions) -> io::Result<Box<dyn Transport>> {
        Err(io::ErrorKind::ConnectionRefused.into())
    }
}

#[tokio::test(start_paused = true)]
async fn the_topics_of_a_suspect_broker_are_asked_for_each_second_as_well() {
    let source = FakeNameServer::new();
    let options = ConnectionOptions::new();
    let pool = ConnectionPool::with_dialer(options, Arc::new(NoConsumer), Arc::new(NobodyThere));
    let mapping = mapping_over(&source, strict(), pool);
    mapping.start_polling();
    with_topics(&source, &mapping, 1).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(source.take_log().len(), 0, "nothing is wrong");
    let route = mapping.route_info("T0").unwrap();
    let broker = route.brokers().next().unwrap();
    broker.endpoint().connection(soon()).await.unwrap_err();
    assert!(broker.endpoint().connectivity().is_suspect());
    tokio::time::sleep(Duration::from_secs(30)).await;
    let asked = source.take_log().len();
    assert!((25..=31).contains(&asked), "{asked} questions in 30 s");
    tokio::time::sleep(Duration::from_secs(275)).await;
    source.take_log();
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert!(source.take_log().len() <= 4, "the phase is over");
}
