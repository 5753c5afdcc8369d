//! The loads of one round.

use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use rocketmq_producer::{Message, MessageId, Producer, SendError, SendReceipt};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::lanes::{Flushes, LANES, Lane, flush, send_in_lane};
use crate::faults::{Load, LoadSpec};
use crate::fuzz::random::Random;
use crate::oracle::Oracle;

/// Unkeyed messages per second, whatever becomes of them.
const RATE: u32 = 300;
const IN_FLIGHT: usize = 256;
/// Each key's next message comes once the last has its outcome, and not sooner than after this.
const KEYS: u32 = 16;
const KEY_PAUSE: Duration = Duration::from_millis(150);
const ONEWAY_PAUSE: Duration = Duration::from_millis(20);

/// Who sends in a soak.
pub(super) struct Producers {
    /// With default settings.
    pub(super) plain: Producer,
    /// Keeps the order of each key, also after an unknown outcome.
    pub(super) ordered: Producer,
}

/// Loads under way.
pub(super) struct Loads {
    unkeyed: Load,
    spec: LoadSpec,
    keyed: Vec<JoinHandle<Result<Keyed>>>,
    oneway: JoinHandle<Result<Oneway>>,
    lanes: Vec<JoinHandle<Result<Lane>>>,
    flushes: JoinHandle<Flushes>,
    /// How often a cancelled message may be stored.
    copies: usize,
    stop: CancellationToken,
}

/// Everything that was sent in a round and what became of it.
pub(super) struct Outcomes {
    pub(super) oracle: Oracle,
    /// Receipts.
    pub(super) acked: usize,
    /// Not sent, rejected, unknown.
    pub(super) failed: [usize; 3],
    pub(super) oneway: usize,
    /// Sends that were dropped before their outcome.
    pub(super) cancelled: usize,
    /// Sends by how long they took.
    pub(super) longest: Duration,
    /// Why some failed, by their text, the first of each kind.
    pub(super) reasons: Vec<String>,
    /// What is wrong before anything is read back.
    pub(super) breaches: Vec<String>,
}

struct Keyed {
    key: String,
    sent: Vec<(Result<SendReceipt, SendError>, Bytes, Duration)>,
}

type Oneway = Vec<(Result<MessageId, SendError>, Duration)>;

impl Loads {
    /// Starts those of a round; `random` tells the random numbers of each lane.
    pub(super) fn start(
        producers: &Producers,
        topic: &str,
        random: impl Fn(u64) -> Random,
    ) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let Producers { plain, ordered } = producers;
        let spec = LoadSpec::new(topic.to_owned(), RATE, IN_FLIGHT);
        let keyed = (0..KEYS).map(|key| {
            let (producer, topic) = (plain.clone(), topic.to_owned());
            tasks.spawn(send_in_order(producer, topic, key, stop.clone()))
        });
        let lanes = (0..LANES).map(|lane| {
            let (producer, topic) = (ordered.clone(), topic.to_owned());
            let sends = send_in_lane(producer, topic, lane, random(lane), stop.clone());
            tasks.spawn(sends)
        });
        let oneway = send_oneway(plain.clone(), topic.to_owned(), stop.clone());
        let retries = usize::try_from(ordered.config().retry_times).unwrap_or(usize::MAX);
        Self {
            keyed: keyed.collect(),
            lanes: lanes.collect(),
            flushes: tasks.spawn(flush(ordered.clone(), stop.clone())),
            oneway: tasks.spawn(oneway),
            unkeyed: Load::start(plain.clone(), spec.clone()),
            spec,
            copies: retries.saturating_add(1),
            stop,
        }
    }

    /// Waits for every outcome.
    pub(super) async fn finish(self) -> Result<Outcomes> {
        self.stop.cancel();
        let mut outcomes = Outcomes::new();
        for one in self.unkeyed.finish().await? {
            let took = one.ended.saturating_sub(one.begun);
            let body = self.spec.body(one.index);
            outcomes.note(&one.outcome, &body, None, took);
        }
        for keyed in self.keyed {
            let Keyed { key, sent } = keyed.await??;
            for (outcome, body, took) in sent {
                outcomes.note(&outcome, &body, Some(&key), took);
            }
        }
        for lane in self.lanes {
            let Lane { key, sent } = lane.await??;
            for one in sent {
                if let Some(outcome) = one.outcome {
                    outcomes.note(&outcome, &one.body, Some(&key), one.took);
                } else {
                    outcomes.cancelled += 1;
                    outcomes.oracle.cancelled(&one.body, self.copies);
                }
            }
        }
        let flushes = self.flushes.await?;
        outcomes.longest = outcomes.longest.max(flushes.longest);
        outcomes.breaches.extend(flushes.incomplete);
        for (outcome, took) in self.oneway.await?? {
            outcomes.oneway += 1;
            outcomes.longest = outcomes.longest.max(took);
            match outcome {
                Ok(id) => outcomes.oracle.possibly(&id),
                Err(error) => outcomes.failed(&error),
            }
        }
        Ok(outcomes)
    }
}

impl Outcomes {
    fn new() -> Self {
        Self {
            oracle: Oracle::new(),
            acked: 0,
            failed: [0; 3],
            oneway: 0,
            cancelled: 0,
            longest: Duration::ZERO,
            reasons: Vec::new(),
            breaches: Vec::new(),
        }
    }

    pub(super) fn receipts(&self) -> usize {
        self.oracle.receipts()
    }

    fn note(
        &mut self,
        outcome: &Result<SendReceipt, SendError>,
        body: &Bytes,
        key: Option<&str>,
        took: Duration,
    ) {
        self.longest = self.longest.max(took);
        match outcome {
            Ok(receipt) => {
                self.acked += 1;
                match key {
                    Some(key) => self.oracle.acked_in_order(receipt, body, key),
                    None => self.oracle.acked(receipt, body),
                }
            }
            Err(error) => self.failed(error),
        }
    }

    fn failed(&mut self, error: &SendError) {
        use rocketmq_producer::Delivery;

        self.oracle.failed(error);
        let place = match error.delivery() {
            Delivery::NotSent => 0,
            Delivery::Rejected => 1,
            _ => 2,
        };
        self.failed[place] += 1;
        let reason = format!("{:?}: {}", error.delivery(), error.kind());
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }
}

async fn send_in_order(
    producer: Producer,
    topic: String,
    key: u32,
    stop: CancellationToken,
) -> Result<Keyed> {
    let key = format!("key-{key}");
    let mut sent = Vec::new();
    while !stop.is_cancelled() {
        let begun = Instant::now();
        let body = Bytes::from(format!("{key}, message {}", sent.len()));
        let message = Message::new(&*topic, body.clone())?.with_sharding_key(&key)?;
        let outcome = producer.send(message).await;
        sent.push((outcome, body, begun.elapsed()));
        let _ = stop
            .run_until_cancelled(sleep_until(begun + KEY_PAUSE))
            .await;
    }
    Ok(Keyed { key, sent })
}

async fn send_oneway(producer: Producer, topic: String, stop: CancellationToken) -> Result<Oneway> {
    let mut sent = Oneway::new();
    while !stop.is_cancelled() {
        let begun = Instant::now();
        let message = Message::new(&*topic, format!("one-way {}", sent.len()))?;
        let outcome = producer.send_oneway(message).await;
        sent.push((outcome, begun.elapsed()));
        let _ = stop
            .run_until_cancelled(sleep_until(begun + ONEWAY_PAUSE))
            .await;
    }
    Ok(sent)
}
