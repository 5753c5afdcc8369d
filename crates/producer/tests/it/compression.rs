//! Bodies that travel compressed.

use rocketmq_producer_core::config::routing::remoting::message::CompressionType;
use rocketmq_producer_core::config::routing::remoting::{Delivery, Message, MessageError};
use rocketmq_producer_core::config::{ByteSize, MAX_BODY};
use rocketmq_producer_core::{ErrorKind, SendFailure, SendOptions};
use rocketmq_producer_embedded::{EmbeddedCluster, Reaction, StoredMessage};

use crate::support::*;

const ZLIB: i32 = 0x301;

fn text(len: usize) -> Vec<u8> {
    b"one two three "
        .iter()
        .copied()
        .cycle()
        .take(len)
        .collect()
}

/// Bytes that do not get smaller.
fn noise(len: usize) -> Vec<u8> {
    use rand::{Rng, SeedableRng};

    let mut bytes = vec![0; len];
    rand::rngs::StdRng::seed_from_u64(7).fill_bytes(&mut bytes);
    bytes
}

fn with_body(body: Vec<u8>) -> Message {
    Message::new(TOPIC, body).unwrap()
}

fn last(cluster: &EmbeddedCluster) -> StoredMessage {
    cluster.messages(TOPIC).pop().unwrap()
}

/// The body as a consumer sees it.
fn plain(stored: &StoredMessage) -> Vec<u8> {
    match CompressionType::of_sys_flag(stored.sys_flag).unwrap() {
        None => stored.body.to_vec(),
        Some(kind) => kind.decompress(&stored.body, MAX_BODY).unwrap(),
    }
}

#[tokio::test]
async fn bodies_from_the_threshold_on_travel_compressed_and_others_as_they_are() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    for (len, sys_flag) in [(4095, 0), (4096, ZLIB), (40_000, ZLIB), (2 << 20, ZLIB)] {
        for oneway in [false, true] {
            let before = cluster.message_count(TOPIC);
            if oneway {
                producer.send_oneway(with_body(text(len))).await.unwrap();
                cluster_is(&cluster, |it| it.message_count(TOPIC) > before).await;
            } else {
                producer.send(with_body(text(len))).await.unwrap();
            }
            let messages = cluster.messages(TOPIC);
            let stored = messages.iter().find(|it| plain(it).len() == len).unwrap();
            assert_eq!(stored.sys_flag, sys_flag, "{len}");
            assert_eq!(plain(stored), text(len));
            assert_eq!(stored.body.len() < len / 10, sys_flag != 0);
        }
    }
}

#[tokio::test]
async fn a_body_that_does_not_get_smaller_travels_as_it_is() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    for len in [5000, 50_000] {
        producer.send(with_body(noise(len))).await.unwrap();
        let stored = cluster.messages(TOPIC);
        let stored = stored.iter().find(|it| it.body.len() == len).unwrap();
        assert_eq!((stored.sys_flag, &*stored.body), (0, &*noise(len)));
    }
}

#[tokio::test]
async fn without_a_type_nothing_is_compressed() {
    let cluster = cluster(1).await;
    let producer = producer_with(&cluster, |settings| settings.compress_type(None)).await;
    producer.send(with_body(text(100_000))).await.unwrap();
    let stored = last(&cluster);
    assert_eq!((stored.sys_flag, stored.body.len()), (0, 100_000));
}

#[tokio::test]
async fn a_second_attempt_carries_the_same_compressed_body() {
    let cluster = cluster(2).await;
    let producer = producer(&cluster).await;
    let faults = cluster.faults(A).unwrap();
    faults.arm(next_send(answer(2, "[PCBUSY_CLEAN_QUEUE]")));
    let receipt = producer.send(with_body(text(10_000))).await.unwrap();
    assert_eq!(receipt.attempts().count(), 2);
    let stored = last(&cluster);
    assert_eq!((stored.sys_flag, plain(&stored)), (ZLIB, text(10_000)));
}

#[tokio::test]
async fn the_limit_is_for_the_body_as_it_is_sent_and_the_original_has_one_of_its_own() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let five = 5 << 20;
    producer.send(with_body(text(five))).await.unwrap();
    assert_eq!(plain(&last(&cluster)).len(), five);
    let error = producer.send(with_body(noise(five))).await.unwrap_err();
    let huge = MAX_BODY.as_usize() + 1;
    let larger = producer.send(with_body(text(huge))).await.unwrap_err();
    for (error, bytes, most) in [(error, five, ByteSize::mib(4)), (larger, huge, MAX_BODY)] {
        assert_eq!(error.kind(), ErrorKind::MessageValidation);
        assert_eq!(error.delivery(), Delivery::NotSent);
        assert!(!error.is_retryable() && error.attempts().is_empty());
        let SendFailure::Message(MessageError::BodyTooLarge { size, limit }) = error.cause() else {
            panic!("{error:?}")
        };
        assert_eq!((*size, *limit), (bytes, most));
    }
    assert_eq!(cluster.message_count(TOPIC), 1);
    assert_eq!(producer.stats().bytes_under_way, 0);
}

#[tokio::test]
async fn what_is_under_way_counts_by_its_original_bytes() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let stalled = cluster.faults(A).unwrap().arm(next_send(Reaction::Stall));
    let sending = tokio::spawn({
        let producer = producer.clone();
        async move { producer.send(with_body(text(100_000))).await }
    });
    soon(stalled.wait_fired(1)).await;
    assert!(producer.stats().bytes_under_way >= 100_000);
    stalled.lift();
    sending.await.unwrap().unwrap();
    assert_eq!(producer.stats().bytes_under_way, 0);
}

/// With every thread for blocking work taken, only large bodies wait.
#[test]
fn large_bodies_are_compressed_elsewhere_within_the_deadline_of_their_send() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        let cluster = cluster(1).await;
        let producer = producer(&cluster).await;
        let (free, taken) = std::sync::mpsc::sync_channel::<()>(0);
        let blocker = tokio::task::spawn_blocking(move || taken.recv());
        producer.send(with_body(text(20_000))).await.unwrap();
        let large = || with_body(text(1 << 20));
        let options = SendOptions::new().timeout(millis(50));
        let error = producer.send_with(large(), options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(error.delivery(), Delivery::NotSent);
        assert!(error.elapsed() < millis(5000), "{error:?}");
        // One that is dropped gives back its place among the sends and the work.
        assert!(
            tokio::time::timeout(millis(10), producer.send(large()))
                .await
                .is_err()
        );
        assert_eq!(producer.stats().under_way, 0);
        let (receipt, ()) = tokio::join!(producer.send(large()), async {
            tokio::task::yield_now().await;
            drop(free);
        });
        receipt.unwrap();
        assert!(blocker.await.unwrap().is_err());
        assert_eq!(cluster.message_count(TOPIC), 2);
    });
}
