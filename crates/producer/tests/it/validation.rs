//! Messages that break a rule are refused before anything is sent.

use rocketmq_producer_core::config::ByteSize;
use rocketmq_producer_core::config::routing::remoting::{Delivery, Message, MessageError};
use rocketmq_producer_core::{ErrorKind, SendFailure};

use crate::support::*;

#[tokio::test]
async fn a_message_that_breaks_a_rule_is_refused_and_nothing_is_sent() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| {
        settings.max_message_size(ByteSize::kib(1))
    })
    .await;
    let long = "x".repeat(32_767 - 512);
    let over = [
        Message::new(TOPIC, vec![0; 1025]).unwrap(),
        message().with_property("p", &long).unwrap(),
    ];
    for message in over {
        for error in [
            producer.send(message.clone()).await.unwrap_err(),
            producer.send_oneway(message.clone()).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::MessageValidation);
            assert_eq!(error.code(), 2002);
            assert_eq!(error.delivery(), Delivery::NotSent);
            assert!(!error.is_retryable());
            assert!(matches!(error.cause(), SendFailure::Message(_)));
            assert!(error.attempts().is_empty());
            assert_eq!(error.message_id(), None);
        }
    }
    assert_eq!(sends(&cluster, A), 0);
    assert_eq!(producer.stats().not_sent, 4);
}

#[tokio::test]
async fn a_message_just_within_the_limits_is_stored_whole() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| {
        settings.max_message_size(ByteSize::kib(1))
    })
    .await;
    let room = 32_767 - 512 - message().properties().wire_len() - "p\u{1}\u{2}".len();
    let value = "x".repeat(room);
    let message = Message::new(TOPIC, vec![7; 1024]).unwrap();
    let message = message.with_property("p", &value).unwrap();
    producer.send(message).await.unwrap();
    let stored = cluster.messages(TOPIC);
    assert_eq!(stored[0].body.len(), 1024);
    assert_eq!(stored[0].property("p"), Some(&*value));
}

#[test]
fn most_rules_are_checked_when_the_message_is_made() {
    for topic in ["", " ", "a b", "SCHEDULE_TOPIC_XXXX", &"x".repeat(128)] {
        assert!(Message::new(topic, "body").is_err(), "{topic:?}");
    }
    assert!(matches!(
        Message::new(TOPIC, ""),
        Err(MessageError::EmptyBody { .. })
    ));
    for (name, value) in [
        ("", "v"),
        ("KEYS", "v"),
        ("a\u{1}", "v"),
        ("a", "\u{2}"),
        ("UNIQ_KEY", "v"),
    ] {
        assert!(message().with_property(name, value).is_err(), "{name:?}");
    }
}
