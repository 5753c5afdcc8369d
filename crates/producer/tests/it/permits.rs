//! Places cannot leak: sends are dropped at every point where they wait, in virtual time, and afterwards nothing is held.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rocketmq_producer_core::config::routing::MessageQueue;
use rocketmq_producer_core::config::routing::remoting::Message;
use rocketmq_producer_core::config::{ByteSize, Ordered, ProducerConfigBuilder};
use rocketmq_producer_core::{Producer, SendError, SendOptions, SendReceipt};
use rocketmq_producer_embedded::{Condition, EmbeddedCluster, Fault, MemoryNetwork, Reaction};

use crate::support::*;

type Sending = Pin<Box<dyn Future<Output = Result<SendReceipt, SendError>> + Send>>;

/// A cluster of two brokers in virtual time whose answers take a while, and a producer for it.
async fn world(
    change: impl FnOnce(ProducerConfigBuilder) -> ProducerConfigBuilder,
) -> (EmbeddedCluster, Producer) {
    let network = MemoryNetwork::new();
    let cluster = EmbeddedCluster::builder()
        .brokers(2)
        .topic(TOPIC, QUEUES as u16)
        .in_memory(&network)
        .start()
        .await
        .unwrap();
    for broker in [A, B] {
        let slow = Fault::new(Condition::sends(), Reaction::Delay(millis(30)));
        cluster.faults(broker).unwrap().arm(slow);
    }
    let producer = builder(&cluster)
        .dialer(Arc::new(network))
        .configure(|settings| change(settings.compress_type(None)))
        .start()
        .await
        .unwrap();
    (cluster, producer)
}

/// One of the kinds of send that take different ways.
fn sending(producer: &Producer, random: &mut StdRng) -> Sending {
    let (producer, kind) = (producer.clone(), random.random_range(0..5));
    let body = vec![7; random.random_range(1..40_000)];
    let key = random.random_range(0..3).to_string();
    let timeout = SendOptions::new().timeout(millis(random.random_range(0..400)));
    Box::pin(async move {
        let message = Message::new(TOPIC, body).unwrap();
        match kind {
            0 => producer.send_with(message, timeout).await,
            1 => {
                let keyed = message.with_sharding_key(&key).unwrap();
                producer.send_with(keyed, timeout).await
            }
            2 => {
                let queue = MessageQueue::new(TOPIC, A, 1);
                producer.send_with(message, timeout.to_queue(queue)).await
            }
            3 => producer.try_send_with(message, timeout).await,
            _ => {
                let written = producer.send_oneway_with(message, timeout).await;
                written.map(drop)?;
                producer
                    .send_with(self::message(), SendOptions::new())
                    .await
            }
        }
    })
}

fn assert_nothing_is_held(producer: &Producer) {
    let stats = producer.stats();
    assert_eq!((stats.under_way, stats.bytes_under_way), (0, 0));
    // Of lanes, those are kept that a message in doubt has stopped.
    assert_eq!(stats.lanes, stats.stopped_lanes);
    for broker in producer.broker_health() {
        assert_eq!(
            (broker.in_flight, broker.in_flight_bytes),
            (0, 0),
            "{broker:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_drops_a_send_wherever_it_waits_gets_all_places_back() {
    for (seed, ordered) in (0..30).zip(
        [Ordered::None, Ordered::Key, Ordered::Queue]
            .into_iter()
            .cycle(),
    ) {
        let (_cluster, producer) = world(|settings| {
            settings
                .async_send_semaphore(6)
                .max_in_flight_bytes(ByteSize::kib(128))
                .ordered(ordered)
                .oneway_rate(200)
        })
        .await;
        let mut random = StdRng::seed_from_u64(seed);
        let mut under_way: Vec<(Sending, u32)> = Vec::new();
        for _ in 0..400 {
            if random.random_bool(0.5) && under_way.len() < 40 {
                // So many polls until it is dropped: every point where a send waits is met by some.
                under_way.push((sending(&producer, &mut random), random.random_range(0..40)));
            }
            under_way.retain_mut(|(sending, polls_left)| {
                if *polls_left == 0 {
                    return false;
                }
                *polls_left -= 1;
                let mut context = Context::from_waker(Waker::noop());
                sending.as_mut().poll(&mut context).is_pending()
            });
            let stats = producer.stats();
            assert!(
                stats.under_way <= 6 && stats.bytes_under_way <= 128 << 10,
                "{stats:?}"
            );
            tokio::time::sleep(millis(random.random_range(0..4))).await;
        }
        drop(under_way);
        assert_nothing_is_held(&producer);
        for _ in 0..20 {
            producer.send(message()).await.unwrap();
        }
        let report = producer.shutdown(Duration::from_secs(5)).await;
        assert!(report.is_drained(), "{report:?}");
        assert_nothing_is_held(&producer);
    }
}

/// Polls a send once, by which it takes its place in line.
async fn line_up(sending: &mut Sending) {
    std::future::poll_fn(|context| {
        assert!(sending.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_gate_a_broker_or_a_lane_is_served_in_order_of_arrival() {
    // For a place among all, for room at its broker, for its turn by key and by queue.
    for (limit, ordered) in [
        (1, Ordered::None),
        (2, Ordered::None),
        (100, Ordered::Key),
        (100, Ordered::Queue),
    ] {
        for seed in 0..10 {
            let (cluster, producer) =
                world(|settings| settings.async_send_semaphore(limit).ordered(ordered)).await;
            let queue = MessageQueue::new(TOPIC, A, 0);
            let mut random = StdRng::seed_from_u64(seed);
            let mut waiting: Vec<Sending> = Vec::new();
            let (mut expected, mut given_up) = (Vec::new(), Vec::new());
            for number in 0..30 {
                let producer = producer.clone();
                let mut message = Message::new(TOPIC, number.to_string()).unwrap();
                let mut options = SendOptions::new().timeout(Duration::from_secs(60));
                if ordered == Ordered::Key {
                    message = message.with_sharding_key("key").unwrap();
                } else {
                    options = options.to_queue(queue.clone());
                }
                let mut sending: Sending =
                    Box::pin(async move { producer.send_with(message, options).await });
                line_up(&mut sending).await;
                // The first one is inside.
                if number > 0 && random.random_bool(0.4) {
                    // Dropped at once, or when all have lined up.
                    if random.random_bool(0.5) {
                        given_up.push(sending);
                    }
                } else {
                    expected.push(number.to_string());
                    waiting.push(sending);
                }
            }
            drop(given_up);
            for sent in futures_util::future::join_all(waiting).await {
                sent.unwrap();
            }
            let stored = cluster.messages(TOPIC);
            let stored: Vec<_> = stored
                .iter()
                .map(|it| String::from_utf8(it.body.to_vec()).unwrap())
                .collect();
            assert_eq!(stored, expected, "{limit} {ordered:?} {seed}");
            assert_nothing_is_held(&producer);
        }
    }
}
