//! The load of a producer that keeps the order of each sharding key by itself (`ordered=key`).
//!
//! Several sends of a key are under way at once, called one after the other by one task. Some are cancelled at a random
//! moment, and every now and then everything is flushed.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use rocketmq_producer::{Message, Producer, SendError, SendReceipt};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;

use crate::fuzz::random::Random;

pub(super) const LANES: u64 = 8;
/// Sends of a key under way at once.
const MOST: usize = 5;
/// Between the last outcome of some sends and the next ones, in milliseconds.
const PAUSE: (usize, usize) = (40, 200);
/// One send in so many may be cancelled, within so many milliseconds: about as often before its outcome as after.
const FLEETING: usize = 20;
const LIFE: usize = 8;
const BETWEEN_FLUSHES: Duration = Duration::from_secs(2);
/// No flush takes so long: each send ends with its budget.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was sent with one key, in the order of the calls.
pub(super) struct Lane {
    pub(super) key: String,
    pub(super) sent: Vec<Sent>,
}

/// A message and what became of it.
pub(super) struct Sent {
    pub(super) body: Bytes,
    /// Nothing if the send was cancelled.
    pub(super) outcome: Option<Result<SendReceipt, SendError>>,
    pub(super) took: Duration,
}

/// What flushes came to.
#[derive(Default)]
pub(super) struct Flushes {
    pub(super) longest: Duration,
    /// Those that gave up.
    pub(super) incomplete: Vec<String>,
}

/// Sends with one key until it is told to stop.
pub(super) async fn send_in_lane(
    producer: Producer,
    topic: String,
    number: u64,
    mut random: Random,
    stop: CancellationToken,
) -> Result<Lane> {
    let key = format!("lane-{number}");
    let (mut sent, mut count) = (Vec::new(), 0);
    while !stop.is_cancelled() {
        let mut calls = Vec::new();
        for _ in 0..=random.below(MOST) {
            let life = random.one_in(FLEETING).then(|| random.below(LIFE));
            let kind = life.map_or("message", |_| "fleeting message");
            let body = Bytes::from(format!("{kind} {count} of {key}"));
            let message = Message::new(&*topic, body.clone())?.with_sharding_key(&key)?;
            calls.push(Call::new(&producer, message, body, life));
            count += 1;
        }
        poll_fn(|context| poll_in_order(&mut calls, context)).await;
        sent.extend(calls.into_iter().map(Call::end));
        let pause = PAUSE.0 + random.below(PAUSE.1 - PAUSE.0);
        let pause = sleep(Duration::from_millis(u64::try_from(pause)?));
        let _ = stop.run_until_cancelled(pause).await;
    }
    Ok(Lane { key, sent })
}

/// Flushes every now and then.
pub(super) async fn flush(producer: Producer, stop: CancellationToken) -> Flushes {
    let mut flushes = Flushes::default();
    while stop
        .run_until_cancelled(sleep(BETWEEN_FLUSHES))
        .await
        .is_some()
    {
        let report = producer.flush(PATIENCE).await;
        flushes.longest = flushes.longest.max(report.elapsed);
        if !report.is_complete() {
            let text = format!("a flush left something under way: {report:?}");
            flushes.incomplete.push(text);
        }
    }
    flushes
}

type Sending = Pin<Box<dyn Future<Output = Result<SendReceipt, SendError>> + Send>>;

/// One call of `send`.
struct Call {
    body: Bytes,
    begun: Instant,
    ended: Option<Instant>,
    sending: Option<Sending>,
    /// When it is cancelled.
    life: Option<Pin<Box<Sleep>>>,
    outcome: Option<Result<SendReceipt, SendError>>,
}

impl Call {
    fn new(producer: &Producer, message: Message, body: Bytes, life: Option<usize>) -> Self {
        let producer = producer.clone();
        let life = life.and_then(|millis| u64::try_from(millis).ok());
        Self {
            body,
            begun: Instant::now(),
            ended: None,
            sending: Some(Box::pin(async move { producer.send(message).await })),
            life: life.map(|millis| Box::pin(sleep(Duration::from_millis(millis)))),
            outcome: None,
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(sending) = &mut self.sending else {
            return Poll::Ready(());
        };
        if let Poll::Ready(outcome) = sending.as_mut().poll(context) {
            self.outcome = Some(outcome);
        } else {
            let life = self.life.as_mut();
            if life.is_none_or(|life| life.as_mut().poll(context).is_pending()) {
                return Poll::Pending;
            }
        }
        self.sending = None;
        self.ended = Some(Instant::now());
        Poll::Ready(())
    }

    fn end(self) -> Sent {
        let ended = self.ended.unwrap_or(self.begun);
        Sent {
            body: self.body,
            outcome: self.outcome,
            took: ended - self.begun,
        }
    }
}

/// Polls all, the earlier before the later, so that their first polls are calls in this order.
fn poll_in_order(calls: &mut [Call], context: &mut Context<'_>) -> Poll<()> {
    let mut all = Poll::Ready(());
    for call in calls {
        if call.poll(context).is_pending() {
            all = Poll::Pending;
        }
    }
    all
}
