//! Batches in virtual time: retries, deadlines, and how they end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use rocketmq_producer_core::config::ProducerConfigBuilder;
use rocketmq_producer_core::config::routing::remoting::message::property;
use rocketmq_producer_core::config::routing::remoting::{Delivery, Message, RequestCode};
use rocketmq_producer_core::config::routing::{
    AsyncQueueSelector, MessageQueue, QueueSelector, RoutedQueue, SelectorArgument,
};
use rocketmq_producer_core::{ErrorKind, Producer, SendOptions, SendReceipt};
use rocketmq_producer_embedded::{EmbeddedCluster, MemoryNetwork, Reaction};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::support::*;

async fn world(
    change: impl FnOnce(ProducerConfigBuilder) -> ProducerConfigBuilder,
) -> (EmbeddedCluster, Producer) {
    let network = MemoryNetwork::new();
    let cluster = EmbeddedCluster::builder()
        .brokers(2)
        .topic(TOPIC, QUEUES as u16)
        .auto_create_topics(false)
        .in_memory(&network);
    let cluster = cluster.start().await.unwrap();
    let builder = builder(&cluster).dialer(Arc::new(network));
    let producer = builder.configure(change).start().await.unwrap();
    aim_at_a(&producer);
    (cluster, producer)
}

fn numbered(count: usize) -> Vec<Message> {
    let message = |index| Message::new(TOPIC, format!("body {index}")).unwrap();
    (0..count).map(message).collect()
}

fn batches_at(cluster: &EmbeddedCluster, broker: &str) -> u64 {
    let code = RequestCode::SEND_BATCH_MESSAGE;
    cluster.requests(broker, code).unwrap()
}

/// Each message is stored once, under the id and at the place of its receipt.
fn assert_stored(cluster: &EmbeddedCluster, receipts: &[SendReceipt]) {
    let stored: BTreeMap<_, _> = cluster
        .messages(TOPIC)
        .into_iter()
        .map(|it| (it.property(property::UNIQ_KEY).unwrap().to_owned(), it))
        .collect();
    assert_eq!(stored.len(), receipts.len(), "ids");
    assert_eq!(cluster.message_count(TOPIC), receipts.len(), "copies");
    for (index, receipt) in receipts.iter().enumerate() {
        let stored = &stored[receipt.message_id().as_str()];
        let queue = receipt.queue();
        assert_eq!(*stored.body, *format!("body {index}").as_bytes());
        assert_eq!(stored.broker_name, *queue.broker_name());
        assert_eq!(
            (stored.queue_id, stored.queue_offset),
            (queue.queue_id(), receipt.queue_offset())
        );
        assert_eq!(receipt.offset_message_id(), Some(&stored.offset_message_id));
    }
}

fn assert_retried(receipts: &[SendReceipt]) {
    for receipt in receipts {
        let attempts: Vec<_> = receipt.attempts().collect();
        assert_eq!(attempts.len(), 2);
        assert_eq!((attempts[0].broker(), attempts[1].broker()), (A, B));
        let refused = attempts[0].failure().unwrap();
        assert_eq!(refused.delivery(), Delivery::Rejected);
        assert!(attempts[1].failure().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_one_broker_refuses_is_stored_whole_by_another_under_the_same_ids() {
    let (cluster, producer) = world(|settings| settings).await;
    let refusal = next_send(answer(2, "[REJECTREQUEST]busy"));
    cluster.faults(A).unwrap().arm(refusal);
    let receipts = producer.send_batch(numbered(20)).await.unwrap();
    assert_eq!((batches_at(&cluster, A), batches_at(&cluster, B)), (1, 1));
    assert_stored(&cluster, &receipts);
    assert_retried(&receipts);
    assert_eq!(
        (producer.stats().retries, producer.stats().total_sent),
        (1, 20)
    );
}

#[tokio::test(start_paused = true)]
async fn an_automatic_batch_is_tried_again_as_it_is() {
    let (cluster, producer) = world(|settings| {
        let settings = settings.auto_batch(true).batch_size(5);
        settings.batch_linger(millis(50))
    })
    .await;
    let refusal = next_send(answer(2, "[REJECTREQUEST]busy"));
    cluster.faults(A).unwrap().arm(refusal);
    let mut sends = Vec::new();
    for message in numbered(5) {
        sends.push(send(&producer, message, SendOptions::new()));
    }
    let mut receipts = Vec::new();
    for send in sends {
        receipts.push(send.await.unwrap().0.unwrap());
    }
    assert_stored(&cluster, &receipts);
    assert_retried(&receipts);
    assert_eq!(producer.stats().batches, 1);
}

/// A send, and how long it took.
type Sending = JoinHandle<(
    Result<SendReceipt, rocketmq_producer_core::SendError>,
    std::time::Duration,
)>;

fn send(producer: &Producer, message: Message, options: SendOptions) -> Sending {
    let producer = producer.clone();
    tokio::spawn(async move {
        let began = Instant::now();
        let outcome = producer.send_with(message, options).await;
        (outcome, began.elapsed())
    })
}

/// Chooses one queue after the other.
#[derive(Debug, Default)]
struct Next(AtomicUsize);

impl QueueSelector for Next {
    fn name(&self) -> &'static str {
        "next"
    }

    fn select(&self, _: &[RoutedQueue], _: &Message, _: &SelectorArgument) -> Option<usize> {
        Some(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

#[tokio::test(start_paused = true)]
async fn a_selector_is_asked_once_for_each_message_of_a_batch_also_where_one_goes_alone() {
    let (cluster, producer) = world(|settings| settings).await;
    let next = Arc::new(Next::default());
    let there = SendOptions::new().selector(Arc::<Next>::clone(&next), SelectorArgument::None);
    let receipts = producer.send_batch_with(numbered(3), there).await.unwrap();
    assert_eq!(next.0.load(Ordering::Relaxed), 3);
    // The queues of the first broker come first in the ring.
    for (chosen, receipt) in receipts.iter().enumerate() {
        let queue = receipt.queue();
        assert_eq!(
            (&**queue.broker_name(), queue.queue_id()),
            (A, chosen as i32)
        );
    }
    assert_stored(&cluster, &receipts);
}

/// Chooses the first queue once it is told to.
#[derive(Debug, Default)]
struct Slow(Notify);

#[async_trait]
impl AsyncQueueSelector for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    async fn select_async(
        &self,
        ring: &[RoutedQueue],
        _: &Message,
        _: &SelectorArgument,
    ) -> Option<usize> {
        self.0.notified().await;
        ring.iter().position(|queue| {
            let queue = queue.queue();
            (&**queue.broker_name(), queue.queue_id()) == (A, 0)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_came_late_to_its_batch_keeps_its_own_deadline() {
    let (cluster, producer) = world(|settings| settings.auto_batch(true)).await;
    let silent = cluster
        .faults(A)
        .unwrap()
        .arm(every_send(Reaction::Discard));
    let slow = Arc::new(Slow::default());
    let options = SendOptions::new().timeout(millis(2000));
    let queue = MessageQueue::new(TOPIC, A, 0);
    let selecting = options
        .clone()
        .async_selector(Arc::<Slow>::clone(&slow), SelectorArgument::None);
    let old = send(&producer, message(), selecting);
    sleep(millis(1000)).await;
    // It holds up the queue, so that the next ones gather.
    let first = send(
        &producer,
        message(),
        options.clone().to_queue(queue.clone()),
    );
    soon(silent.wait_fired(1)).await;
    sleep(millis(200)).await;
    let young = send(&producer, message(), options.to_queue(queue));
    sleep(millis(200)).await;
    slow.0.notify_one();
    for sending in [old, first, young] {
        let (outcome, took) = soon(sending).await.unwrap();
        outcome.unwrap_err();
        assert!(took <= millis(2001), "{took:?}");
    }
    assert_eq!(producer.stats().under_way, 0);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_without_patience_ends_lingering_and_waiting_batches() {
    let (cluster, producer) = world(|settings| settings.auto_batch(true)).await;
    let silent = cluster
        .faults(A)
        .unwrap()
        .arm(every_send(Reaction::Discard));
    let queue = MessageQueue::new(TOPIC, A, 0);
    let options = || SendOptions::new().to_queue(queue.clone());
    let mut sends = vec![send(&producer, message(), options())];
    soon(silent.wait_fired(1)).await;
    // More than one batch of them waits behind the first message.
    for message in numbered(40) {
        sends.push(send(&producer, message, options()));
    }
    until(|| producer.stats().under_way == 41).await;
    let report = soon(producer.shutdown(millis(100))).await;
    assert_eq!(report.unresolved, 0, "{report:?}");
    for (place, send) in sends.into_iter().enumerate() {
        let error = soon(send).await.unwrap().0.unwrap_err();
        let expected = match place {
            0 => Delivery::Unknown,
            _ => Delivery::NotSent,
        };
        assert_eq!(error.delivery(), expected, "{place}: {error:?}");
    }
    assert!(cluster.messages(TOPIC).is_empty());
    assert_eq!(producer.stats().under_way, 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_without_patience_refuses_a_member_and_leaves_the_others() {
    let (cluster, producer) = world(|settings| {
        let settings = settings.auto_batch(true).batch_linger(millis(50));
        settings.async_send_semaphore(5)
    })
    .await;
    let mut sends = Vec::new();
    for message in numbered(5) {
        sends.push(send(&producer, message, SendOptions::new()));
    }
    until(|| producer.stats().under_way == 5).await;
    let error = producer.try_send(message()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::QueueFull, Delivery::NotSent)
    );
    let mut receipts = Vec::new();
    for send in sends {
        receipts.push(send.await.unwrap().0.unwrap());
    }
    assert_stored(&cluster, &receipts);
}
