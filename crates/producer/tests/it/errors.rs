//! Errors can be read, told apart and passed around; futures are small.

use std::error::Error;

use rocketmq_producer_core::config::routing::remoting::{Delivery, Message};
use rocketmq_producer_core::{
    BuildError, ErrorKind, Producer, SendError, SendFailure, SendOptions, SendReceipt, StartError,
};

use crate::support::*;

#[test]
fn a_send_error_is_one_pointer_and_the_others_are_small() {
    assert_eq!(size_of::<SendError>(), size_of::<usize>());
    assert!(size_of::<BuildError>() <= 64, "{}", size_of::<BuildError>());
    assert!(size_of::<StartError>() <= 128);
    assert!(size_of::<SendReceipt>() <= 512);
}

#[test]
fn everything_public_can_be_shared_between_threads() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<SendError>();
    shared::<SendFailure>();
    shared::<SendReceipt>();
    shared::<SendOptions>();
    shared::<Producer>();
    shared::<StartError>();
}

#[test]
fn futures_are_small_and_can_be_spawned() {
    fn spawnable<F: Future + Send>(future: &F) -> usize {
        size_of_val(future)
    }
    let producer = Producer::builder("g").name_servers("127.0.0.1:1");
    let producer = producer.build().unwrap();
    let sizes = [
        ("send", spawnable(&producer.send(message()))),
        (
            "send_with",
            spawnable(&producer.send_with(message(), SendOptions::new())),
        ),
        ("send_oneway", spawnable(&producer.send_oneway(message()))),
        ("start", spawnable(&producer.start())),
        ("shutdown", spawnable(&producer.shutdown(millis(1)))),
    ];
    for (name, size) in sizes {
        assert!(size < 1536, "{name} of {sizes:?}");
    }
}

/// Deep call chains of users must not run into the compiler's limits.
#[test]
fn a_send_can_be_nested_deep() {
    async fn one(producer: &Producer) -> Result<SendReceipt, SendError> {
        producer.send(message()).await
    }
    async fn two(producer: &Producer) -> Result<SendReceipt, SendError> {
        one(producer).await
    }
    async fn three(producer: &Producer) -> Result<SendReceipt, SendError> {
        tokio::select! { sent = two(producer) => sent, sent = one(producer) => sent }
    }
    fn is_send<F: Future + Send>(_: &F) {}
    let producer = Producer::builder("g").name_servers("127.0.0.1:1");
    let producer = producer.build().unwrap();
    is_send(&async { tokio::join!(three(&producer), three(&producer)) });
}

#[tokio::test]
async fn an_error_reads_well_and_never_shows_the_body() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster).await;
    for broker in [A, B] {
        let faults = cluster.faults(broker).unwrap();
        faults.arm(refuse(2, "[REJECTREQUEST]system busy"));
    }
    let secret = Message::new(TOPIC, "top secret body").unwrap();
    let error = producer.send(secret.clone()).await.unwrap_err();
    let shown = error.to_string();
    assert!(
        shown.starts_with("send to topic orders failed: broker refused the message (3 attempts in"),
        "{shown}"
    );
    assert!(shown.ends_with("message rejected)"), "{shown}");
    assert!(!shown.contains("system busy"), "that is the cause's to say");
    assert!(
        chain(&error).ends_with("broker answered SYSTEM_BUSY (2): [REJECTREQUEST]system busy"),
        "{}",
        chain(&error)
    );
    for text in [
        format!("{error:?}"),
        chain(&error),
        format!("{producer:?}"),
        format!("{secret:?}"),
        format!("{:?}", producer.stats()),
    ] {
        assert!(!text.contains("secret"), "{text}");
    }
    assert!(error.source().is_some());
    assert_eq!(error.topic(), TOPIC);
    assert!(!error.advice().is_empty());
    assert_eq!(error.kind(), ErrorKind::MessageSend);
}

#[tokio::test]
async fn attempts_that_failed_for_different_reasons_exhaust_the_retries() {
    let cluster = cluster(2).await;
    let producer = producer_with(&cluster, |settings| settings.retry_times(1)).await;
    cluster.faults(A).unwrap().arm(refuse(2, "busy"));
    cluster.stop_broker_unnoticed(B).await.unwrap();
    until(|| producer.stats().brokers.closed_connections == 1).await;
    let error = producer.send(message()).await.unwrap_err();
    // A dial that fails is no attempt, since nothing was asked of the broker.
    assert_eq!(tried(&error), [A, B, A]);
    assert_eq!(error.kind(), ErrorKind::RetryExhausted);
    assert_eq!(error.code(), 5003);
    assert_eq!(error.delivery(), Delivery::Rejected);
    let kinds: Vec<_> = error
        .attempts()
        .iter()
        .map(|attempt| attempt.failure().unwrap().kind())
        .collect();
    let (refused, away) = (ErrorKind::MessageSend, ErrorKind::BrokerNotAvailable);
    assert_eq!(kinds, [refused, away, refused]);
}
