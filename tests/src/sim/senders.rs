//! The tasks that send, and what came of each send.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use rocketmq_producer::{Delivery, Message, Producer, SendError, SendOptions, SendReceipt};
use tokio::time::Instant;

use super::scenario::{Keys, Scenario};
use crate::fuzz::random::Random;
use crate::payload::noise;

/// No send is polled so often at one point in time.
const MOST_POLLS: usize = 1000;

pub(super) const TOPIC: &str = "sim";

/// One call of `send` and its end.
#[derive(Debug)]
pub(super) struct Sent {
    /// Unique in the run.
    pub(super) name: String,
    pub(super) key: Option<String>,
    pub(super) body: Bytes,
    pub(super) timeout: Duration,
    /// Since the beginning of the run.
    pub(super) began: Duration,
    pub(super) elapsed: Duration,
    pub(super) end: End,
}

#[derive(Debug)]
pub(super) enum End {
    Acked(Box<SendReceipt>),
    Failed(Box<SendError>),
    /// The caller dropped it.
    Dropped,
}

/// A line of the run's history. Without message ids and client ports, which differ from process to process.
impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, began, elapsed) = (&self.name, self.began, self.elapsed);
        write!(f, "{began:?} +{elapsed:?} {name}")?;
        match &self.end {
            End::Acked(receipt) => {
                write!(f, " acked {}@{}", receipt.queue(), receipt.queue_offset())?;
                receipt.attempts().try_for_each(|a| attempt(f, a))
            }
            End::Failed(error) => {
                write!(f, " {:?} {}", error.delivery(), error.cause())?;
                error.attempts().iter().try_for_each(|a| attempt(f, a))
            }
            End::Dropped => f.write_str(" dropped"),
        }
    }
}

fn attempt(f: &mut fmt::Formatter<'_>, attempt: &rocketmq_producer::Attempt) -> fmt::Result {
    let (broker, queue) = (attempt.broker(), attempt.queue_id());
    let (began, elapsed) = (attempt.began_after(), attempt.elapsed());
    write!(f, " | {broker}/{queue} at {began:?} +{elapsed:?}")?;
    match attempt.failure() {
        Some(failure) => write!(f, " {failure}"),
        None => Ok(()),
    }
}

impl Sent {
    /// Attempts after which the message may be stored although no receipt told so.
    pub(super) fn doubts(&self) -> usize {
        let doubtful = |attempt: &&rocketmq_producer::Attempt| {
            let failure = attempt.failure();
            failure.is_some_and(|failure| failure.delivery() == Delivery::Unknown)
        };
        match &self.end {
            End::Acked(receipt) => receipt.attempts().filter(doubtful).count(),
            End::Failed(error) => error.attempts().iter().filter(doubtful).count(),
            End::Dropped => 0,
        }
    }
}

/// One sender: all its sends, one after the other.
pub(super) async fn send_all(
    producer: Producer,
    scenario: Scenario,
    seed: u64,
    number: usize,
    start: Instant,
) -> Result<Vec<Sent>> {
    let mut random = Random::of_input("sender", seed, number as u64);
    let keyed = match scenario.keys {
        Keys::None => false,
        Keys::Half => number.is_multiple_of(2),
        Keys::All => true,
    };
    let key = keyed.then(|| format!("key-{number}"));
    let pause = scenario.length / u32::try_from(scenario.each)?;
    let pause = usize::try_from(pause.as_micros())?;
    let mut all = Vec::with_capacity(scenario.each);
    for index in 0..scenario.each {
        // Some follow each other at once.
        if !random.one_in(4) {
            let pause = Duration::from_micros(random.below(pause * 8 / 3) as u64);
            tokio::time::sleep(pause).await;
        }
        let timeout = Duration::from_millis([3000, 3000, 1000, 300][random.below(4)]);
        let size = match random.below(20) {
            0 => 16 * 1024 + random.below(64 * 1024),
            1 => 1024 + random.below(8 * 1024),
            _ => random.below(200),
        };
        let patience = (scenario.cancels > 0 && random.one_in(scenario.cancels)).then(|| {
            let longest = random.choose(&[1_000, 5_000, 2_000_000]).copied();
            Duration::from_micros(random.below(longest.unwrap_or(1)) as u64)
        });
        let name = format!("{number}/{index}");
        let body = [name.as_bytes(), b" ", &noise(seed, size)].concat();
        let mut message = Message::new(TOPIC, body.clone())?;
        if let Some(key) = &key {
            message = message.with_sharding_key(key)?;
        }
        let began = Instant::now();
        let sending = producer.send_with(message, SendOptions::new().timeout(timeout));
        let end = match patience {
            None => End::of(moving(sending).await.with_context(|| name.clone())?),
            Some(patience) => match tokio::time::timeout(patience, moving(sending)).await {
                Ok(outcome) => End::of(outcome.with_context(|| name.clone())?),
                Err(_) => End::Dropped,
            },
        };
        all.push(Sent {
            name,
            key: key.clone(),
            body: body.into(),
            timeout,
            began: began.duration_since(start),
            elapsed: began.elapsed(),
            end,
        });
    }
    Ok(all)
}

/// Fails if a send asks to be polled again and again while no time passes: it would do so without end.
pub(super) async fn moving<T>(sending: impl Future<Output = T>) -> Result<T> {
    let mut sending = pin!(sending);
    let (mut since, mut polls) = (Instant::now(), 0);
    poll_fn(|cx| {
        let now = Instant::now();
        if now != since {
            (since, polls) = (now, 0);
        }
        polls += 1;
        if polls > MOST_POLLS {
            let error = anyhow!("a send spins: {polls} polls while no time passes");
            return Poll::Ready(Err(error));
        }
        sending.as_mut().poll(cx).map(Ok)
    })
    .await
}

impl End {
    pub(super) fn of(outcome: Result<SendReceipt, SendError>) -> Self {
        match outcome {
            Ok(receipt) => Self::Acked(Box::new(receipt)),
            Err(error) => Self::Failed(Box::new(error)),
        }
    }
}
