//! A load that goes on by the clock, whatever becomes of its messages.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use rocketmq_producer::{Message, Producer, SendError, SendReceipt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::payload::noise;

/// How often the generator looks at the clock.
const TICK: Duration = Duration::from_millis(2);

/// What to send.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LoadSpec {
    /// The topic.
    pub topic: String,
    /// Messages per second. What could not be begun in time is caught up with.
    pub rate: u32,
    /// The most sends under way; of each key, if there are keys, so that a key whose broker is bad holds up no other.
    pub in_flight: usize,
    /// Length of each body in bytes: 256.
    pub body_len: usize,
    /// Sharding keys that take turns; without one by default.
    pub keys: Option<u32>,
}

impl LoadSpec {
    /// Messages of 256 bytes without a sharding key.
    #[must_use]
    pub const fn new(topic: String, rate: u32, in_flight: usize) -> Self {
        Self {
            topic,
            rate,
            in_flight,
            body_len: 256,
            keys: None,
        }
    }

    /// Sets [`keys`](Self::keys), each with so many sends under way at most.
    #[must_use]
    pub const fn keys(mut self, keys: u32, in_flight: usize) -> Self {
        self.keys = Some(keys);
        self.in_flight = in_flight;
        self
    }

    /// The body of a message.
    #[must_use]
    pub fn body(&self, index: u64) -> Bytes {
        noise(index, self.body_len)
    }

    fn message(&self, index: u64) -> Result<Message> {
        let message = Message::new(&*self.topic, self.body(index))?;
        Ok(match self.key(index) {
            Some(key) => message.with_sharding_key(&format!("key-{key}"))?,
            None => message,
        })
    }

    fn key(&self, index: u64) -> Option<u32> {
        let keys = u64::from(self.keys?.max(1));
        u32::try_from(index % keys).ok()
    }
}

/// A message and what became of it. Times count from the beginning of the load.
#[derive(Debug)]
#[non_exhaustive]
pub struct Sent {
    /// Which message of the load.
    pub index: u64,
    /// Its sharding key.
    pub key: Option<u32>,
    /// When `send` was called.
    pub begun: Duration,
    /// When it returned.
    pub ended: Duration,
    /// What it returned.
    pub outcome: Result<SendReceipt, SendError>,
}

/// A load under way.
#[derive(Debug)]
pub struct Load {
    stop: CancellationToken,
    sent: Arc<Mutex<Vec<Sent>>>,
    sends: TaskTracker,
    generator: JoinHandle<Result<u64>>,
}

impl Load {
    /// Begins to send.
    #[must_use]
    pub fn start(producer: Producer, spec: LoadSpec) -> Self {
        Self::start_at(Instant::now(), producer, spec)
    }

    /// Begins to send, with times that count from `began`, so that several loads have one clock.
    #[must_use]
    pub fn start_at(began: Instant, producer: Producer, spec: LoadSpec) -> Self {
        let stop = CancellationToken::new();
        let (sent, sends) = (Arc::default(), TaskTracker::new());
        let generator = Generator {
            producer,
            spec: Arc::new(spec),
            began,
            sent: Arc::clone(&sent),
            sends: sends.clone(),
        };
        // A tracker of its own: `sends` is full of what the generator begins.
        let generator = TaskTracker::new().spawn(generator.run(stop.clone()));
        Self {
            stop,
            sent,
            sends,
            generator,
        }
    }

    /// Begins no further send.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Begins no further send, waits for those under way and tells what became of all, in the order of their ends.
    ///
    /// # Errors
    /// When a message could not even be made.
    ///
    /// # Cancel safety
    /// Dropped midway, the outcomes are lost.
    pub async fn finish(self) -> Result<Vec<Sent>> {
        self.stop.cancel();
        let begun = self.generator.await??;
        self.sends.close();
        self.sends.wait().await;
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = std::mem::take(&mut *sent);
        let ended = u64::try_from(sent.len())?;
        (ended == begun)
            .then_some(sent)
            .with_context(|| format!("{begun} sends begun, {ended} resolved: a send panicked"))
    }
}

struct Generator {
    producer: Producer,
    spec: Arc<LoadSpec>,
    began: Instant,
    sent: Arc<Mutex<Vec<Sent>>>,
    sends: TaskTracker,
}

/// Messages that take places from one bound: all of them, or those of one key.
struct Line {
    next: u64,
    places: Arc<Semaphore>,
}

impl Generator {
    /// How many sends it has begun.
    async fn run(self, stop: CancellationToken) -> Result<u64> {
        let count = u64::from(self.spec.keys.unwrap_or(1).max(1));
        let lines = (0..count).map(|next| Line {
            next,
            places: Arc::new(Semaphore::new(self.spec.in_flight)),
        });
        let mut lines: Vec<Line> = lines.collect();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut begun = 0;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(begun),
                _ = ticks.tick() => {}
            }
            let due = self.began.elapsed().as_secs_f64() * f64::from(self.spec.rate);
            for line in &mut lines {
                while (line.next as f64) < due
                    && let Ok(place) = Arc::clone(&line.places).try_acquire_owned()
                {
                    self.begin(line.next, place)?;
                    line.next += count;
                    begun += 1;
                }
            }
        }
    }

    fn begin(&self, index: u64, place: OwnedSemaphorePermit) -> Result<()> {
        let (producer, sent) = (self.producer.clone(), Arc::clone(&self.sent));
        let message = self.spec.message(index)?;
        let (key, began) = (self.spec.key(index), self.began);
        self.sends.spawn(async move {
            let begun = began.elapsed();
            let outcome = producer.send(message).await;
            let ended = began.elapsed();
            drop(place);
            let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
            sent.push(Sent {
                index,
                key,
                begun,
                ended,
                outcome,
            });
        });
        Ok(())
    }
}
