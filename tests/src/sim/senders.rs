//! The tasks that send, and what came of each send.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use bytes::Bytes;
use rocketmq_producer::config::OrderedOnUnknown;
use rocketmq_producer::{Delivery, Lane, Message, Producer, SendError, SendOptions, SendReceipt};
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

/// One sender: all its sends, one after the other, or some at once where lanes keep them in order.
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
    while all.len() < scenario.each {
        let count = match (scenario.ordered, scenario.batches) {
            (None, None) => 1,
            _ => 1 + random.below(8),
        };
        // Some follow each other at once.
        if !random.one_in(4) {
            let pause = Duration::from_micros(random.below(pause * count * 8 / 3) as u64);
            tokio::time::sleep(pause).await;
        }
        let first = all.len();
        let sends = (first..scenario.each.min(first + count)).map(|index| {
            let draft = Draft::draw(&mut random, &scenario, seed, format!("{number}/{index}"));
            Box::pin(draft.send(&producer, key.as_deref(), start))
        });
        let sent = together(sends.collect()).await?;
        if scenario.ordered == Some(OrderedOnUnknown::Stop) {
            stopped_after_doubt(&sent)?;
        }
        if let Some(key) = &key {
            producer.resume_lane(&Lane::of_key(TOPIC, key));
        }
        all.extend(sent);
    }
    Ok(all)
}

/// What is to be sent.
struct Draft {
    name: String,
    body: Bytes,
    timeout: Duration,
    /// The caller drops the send after this time.
    patience: Option<Duration>,
}

impl Draft {
    fn draw(random: &mut Random, scenario: &Scenario, seed: u64, name: String) -> Self {
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
        let body = [name.as_bytes(), b" ", &noise(seed, size)].concat().into();
        Self {
            name,
            body,
            timeout,
            patience,
        }
    }

    async fn send(self, producer: &Producer, key: Option<&str>, start: Instant) -> Result<Sent> {
        let Self {
            name,
            body,
            timeout,
            patience,
        } = self;
        let mut message = Message::new(TOPIC, body.clone())?;
        if let Some(key) = key {
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
        Ok(Sent {
            name,
            key: key.map(str::to_owned),
            body,
            timeout,
            began: began.duration_since(start),
            elapsed: began.elapsed(),
            end,
        })
    }
}

/// Begins all sends in their order and waits for all of them; their ends come in the same order.
async fn together<F: Future<Output = Result<Sent>> + Unpin>(
    mut sends: Vec<F>,
) -> Result<Vec<Sent>> {
    let mut ends: Vec<Option<Sent>> = sends.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (send, end) in sends.iter_mut().zip(&mut ends) {
            if end.is_none()
                && let Poll::Ready(sent) = Pin::new(send).poll(cx)
            {
                *end = Some(sent?);
            }
        }
        if ends.iter().any(Option::is_none) {
            return Poll::Pending;
        }
        Poll::Ready(Ok(ends.drain(..).flatten().collect()))
    })
    .await
}

/// Fails if one of a lane's messages left the process after one whose outcome is unknown.
fn stopped_after_doubt(sent: &[Sent]) -> Result<()> {
    let in_doubt = |sent: &Sent| matches!(&sent.end, End::Failed(error) if error.delivery() == Delivery::Unknown);
    let mut doubt = None;
    for sent in sent {
        if let Some(doubt) = doubt {
            let kept_back = matches!(&sent.end, End::Failed(error) if error.attempts().is_empty());
            ensure!(
                kept_back,
                "sent although its lane was stopped by {doubt}: {sent}"
            );
        } else if in_doubt(sent) {
            doubt = Some(sent);
        }
    }
    Ok(())
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
