//! From entries to outcomes: a bounded number of sends under way, in order per key if asked for,
//! at a rate if asked for, each outcome in the ledger before it counts.

use std::io;
use std::time::Duration;

use rocketmq_producer::remoting::with_causes;
use rocketmq_producer::{
    ErrorKind, LocalTransactionState, Message, Producer, SendError, SendReceipt, TransactionError,
    TransactionalProducer,
};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::lanes::Lanes;
use super::reply::{Answer, Asked, ask};
use super::tally::Tally;
use crate::clock::EpochClock;
use crate::console::{Progress, say};
use crate::failure::{Failure, explain};
use crate::input::{Entry, Item};
use crate::interrupt::Interrupt;
use crate::latency::Latencies;
use crate::ledger::{Ledger, LedgerLine, Outcome};
use crate::pace::Pace;

/// Outcomes written to the ledger in one go.
const MOST_AT_ONCE: usize = 256;
/// Messages that may wait behind another one of their key, per send under way.
const WAITING_PER_SEND: usize = 4;
/// Before a transaction for which there was no place is tried again.
const PAUSE: Duration = Duration::from_millis(10);
/// Failures shown in full; of the rest only the number.
const SHOWN: u64 = 5;

/// How messages are sent.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The most sends under way.
    pub(crate) concurrency: u32,
    /// The most messages to begin per second.
    pub(crate) rate: Option<f64>,
    /// The most messages in all.
    pub(crate) count: Option<u64>,
    /// Whether messages of one sharding key wait for each other.
    pub(crate) ordered: bool,
}

/// A send that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The message's place in the order of submission, from 0.
    pub(crate) seq: u64,
    /// Its outcome; nothing if it cannot be the request that it was to be, so that nothing was sent.
    pub(crate) result: Option<Result<SendReceipt, SendError>>,
    line: u64,
    id: Value,
    /// The lane to free.
    lane: Option<String>,
    /// For the ledger; empty without one.
    record: Vec<u8>,
    /// What came of a request beside its receipt.
    answer: Option<Answer>,
}

/// A message with its place.
#[derive(Debug)]
struct Job {
    entry: Box<Entry>,
    message: Message,
    seq: u64,
}

/// Sends what it is given.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    producer: Producer,
    /// For messages that say how their transaction ends.
    transactions: Option<TransactionalProducer>,
    concurrency: usize,
    count: u64,
    ordered: bool,
    pace: Pace,
    clock: EpochClock,
    ledger: Option<Ledger>,
    progress: Progress,
    tasks: JoinSet<Finished>,
    lanes: Lanes<Job>,
    next_seq: u64,
    failures: u64,
    /// Why nothing more is read: the ledger can't be written, or a send ended in a panic.
    fatal: Option<Failure>,
}

impl Dispatcher {
    pub(crate) fn new(
        producer: Producer,
        plan: &Plan,
        ledger: Option<Ledger>,
        progress: Progress,
    ) -> Self {
        Self {
            producer,
            transactions: None,
            concurrency: plan.concurrency as usize,
            count: plan.count.unwrap_or(u64::MAX),
            ordered: plan.ordered,
            pace: Pace::new(plan.rate),
            clock: EpochClock::new(),
            ledger,
            progress,
            tasks: JoinSet::new(),
            lanes: Lanes::default(),
            next_seq: 0,
            failures: 0,
            fatal: None,
        }
    }

    /// Lets messages be transactions.
    pub(crate) fn with_transactions(mut self, producer: TransactionalProducer) -> Self {
        self.transactions = Some(producer);
        self
    }

    /// Sends every item until they end, an interrupt comes, or the ledger can't be written; what is
    /// under way then is waited for, until a second interrupt. `each` sees every send that ended.
    pub(crate) async fn run(
        &mut self,
        mut items: mpsc::Receiver<Item>,
        mut interrupt: Interrupt,
        mut each: impl FnMut(&Finished),
    ) -> Result<Tally, Failure> {
        let mut tally = Tally::new(Latencies::new()?);
        let began = Instant::now();
        let mut reading = true;
        let mut interrupted = false;
        loop {
            if reading && (self.next_seq >= self.count || self.fatal.is_some()) {
                reading = false;
            }
            if !reading && self.tasks.is_empty() {
                break;
            }
            let room = self.has_room();
            let due = self.pace.due();
            tokio::select! {
                biased;
                () = interrupt.recv() => {
                    if interrupted {
                        tally.abandoned(self.tasks.len());
                        break;
                    }
                    interrupted = true;
                    self.progress.complain("interrupted: waiting for what is under way, interrupt again to give it up");
                    self.leave_out_the_rest(&mut items, &mut tally);
                    reading = false;
                }
                Some(first) = self.tasks.join_next() => self.settle(first, &mut tally, &mut each),
                item = next(&mut items, due), if reading && room => match item {
                    Some(item) => self.take(item, &mut tally),
                    None => reading = false,
                },
            }
        }
        tally.ended(began.elapsed());
        self.progress.finish();
        if self.failures > SHOWN {
            let more = self.failures - SHOWN;
            self.progress
                .complain(&format!("{more} more failures are not shown"));
        }
        match self.fatal.take() {
            Some(failure) => Err(failure),
            None => Ok(tally),
        }
    }

    fn has_room(&self) -> bool {
        self.tasks.len() < self.concurrency
            && self.lanes.waiting() < self.concurrency * WAITING_PER_SEND
    }

    fn take(&mut self, item: Item, tally: &mut Tally) {
        match item {
            Item::Message(entry) => {
                self.pace.begin(Instant::now());
                let seq = self.next_seq;
                self.next_seq += 1;
                self.submit(entry, seq, tally);
            }
            Item::Refused { line, error } => {
                tally.refused();
                self.progress
                    .complain(&format!("line {line}: {}", with_causes(&error)));
            }
            Item::Broken(error) => {
                tally.input_broken();
                self.progress
                    .complain(&format!("error: input cannot be read: {error}"));
            }
        }
    }

    /// Begins the send, unless it breaks a rule or has to wait for another one of its key.
    fn submit(&mut self, entry: Box<Entry>, seq: u64, tally: &mut Tally) {
        let message = match &entry.message {
            Ok(message) => message.clone(),
            Err(error) => {
                let reason = with_causes(error);
                self.progress
                    .complain(&format!("line {}: {reason}", entry.line));
                self.record_not_sent(&entry, seq, reason);
                tally.not_acked(Outcome::NotSent, true);
                return;
            }
        };
        let lane = entry.shard.clone().filter(|_| self.ordered);
        let job = Job {
            entry,
            message,
            seq,
        };
        let job = match &lane {
            Some(key) => self.lanes.enter(key, job),
            None => Some(job),
        };
        if let Some(job) = job {
            self.begin(job, lane);
        }
    }

    fn begin(&mut self, job: Job, lane: Option<String>) {
        let producer = self.producer.clone();
        let transactions = self.transactions.clone();
        let clock = self.clock;
        let has_ledger = self.ledger.is_some();
        self.tasks.spawn(async move {
            let Job {
                entry,
                message,
                seq,
            } = job;
            let t0 = Instant::now();
            let sent = |result| Asked {
                sent: Some(result),
                answer: None,
            };
            let Asked {
                sent: result,
                answer,
            } = match (entry.transaction, transactions, entry.request) {
                (Some(state), Some(producer), _) => {
                    sent(transaction(&producer, message, state).await)
                }
                (_, _, Some(timeout)) => ask(&producer, message, timeout).await,
                _ => sent(producer.send(message).await),
            };
            let times = (clock.millis(t0), clock.millis(Instant::now()));
            let record = match (&result, has_ledger) {
                (_, false) => Vec::new(),
                (Some(result), true) => LedgerLine::sent(&entry, seq, times, result)
                    .answered(answer.as_ref())
                    .to_bytes(),
                (None, true) => {
                    let reason = answer.as_ref().and_then(Answer::error).unwrap_or_default();
                    LedgerLine::not_sent(&entry, seq, times.1, reason.to_owned()).to_bytes()
                }
            };
            Finished {
                seq,
                result,
                line: entry.line,
                id: entry.id,
                lane,
                record,
                answer,
            }
        });
    }

    /// Takes in `first` and whatever else has ended.
    fn settle(
        &mut self,
        first: Result<Finished, JoinError>,
        tally: &mut Tally,
        each: &mut impl FnMut(&Finished),
    ) {
        let mut ended = Vec::new();
        let mut next = Some(first);
        while let Some(outcome) = next {
            match outcome {
                Ok(finished) => ended.push(finished),
                Err(error) => {
                    tally.not_acked(Outcome::Unknown, false);
                    self.fatal = Some(Failure::failed("a send ended in a panic", error));
                }
            }
            next = if ended.len() < MOST_AT_ONCE {
                self.tasks.try_join_next()
            } else {
                None
            };
        }
        if self.ledger.is_some() {
            let records: Vec<&[u8]> = ended.iter().map(|finished| &*finished.record).collect();
            self.record(&records.concat());
        }
        self.progress.advance(ended.len() as u64);
        for finished in ended {
            each(&finished);
            if let Some(answer) = &finished.answer {
                match answer.error() {
                    None => say(&answer.to_line(finished.line, &finished.id)),
                    Some(reason) => self.complain(finished.line, reason),
                }
            }
            match &finished.result {
                Some(Ok(receipt)) => {
                    tally.acked(receipt);
                    if finished.answer.as_ref().and_then(Answer::error).is_some() {
                        tally.unanswered();
                    }
                }
                None => tally.not_acked(Outcome::NotSent, true),
                Some(Err(error)) => {
                    let is_invalid = error.kind() == ErrorKind::MessageValidation;
                    tally.not_acked(error.delivery().into(), is_invalid);
                    self.complain(finished.line, &explain(error));
                }
            }
            if let Some(key) = finished.lane
                && let Some(job) = self.lanes.leave(&key)
            {
                self.begin(job, Some(key));
            }
        }
    }

    /// What was read but not begun when an interrupt came is in the ledger as not sent.
    fn leave_out_the_rest(&mut self, items: &mut mpsc::Receiver<Item>, tally: &mut Tally) {
        let waiting = self.lanes.drain().into_iter();
        let mut rest: Vec<_> = waiting.map(|job| (job.entry, job.seq)).collect();
        items.close();
        while let Ok(item) = items.try_recv() {
            match item {
                Item::Message(entry) if self.next_seq < self.count => {
                    let seq = self.next_seq;
                    self.next_seq += 1;
                    rest.push((entry, seq));
                }
                Item::Message(_) => {}
                other => self.take(other, tally),
            }
        }
        for (entry, seq) in rest {
            self.record_not_sent(&entry, seq, "interrupted before it was sent".to_owned());
            tally.not_acked(Outcome::NotSent, false);
        }
    }

    fn record_not_sent(&mut self, entry: &Entry, seq: u64, reason: String) {
        if self.ledger.is_some() {
            let now = self.clock.millis(Instant::now());
            let line = LedgerLine::not_sent(entry, seq, now, reason);
            self.record(&line.to_bytes());
        }
    }

    fn record(&mut self, lines: &[u8]) {
        let Some(ledger) = &mut self.ledger else {
            return;
        };
        if let Err(error) = ledger.append(lines) {
            // Nothing more is read or begun; what is under way ends, unrecorded.
            self.lanes.drain();
            self.ledger = None;
            self.fatal = Some(ledger_failure(error));
        }
    }

    /// Says why a send failed, in full for the first few.
    fn complain(&mut self, line: u64, reason: &str) {
        self.failures += 1;
        if self.failures <= SHOWN {
            self.progress.complain(&format!("line {line}: {reason}"));
        }
    }
}

/// A transaction whose local step says `state`; its outcome is that of the half message.
async fn transaction(
    producer: &TransactionalProducer,
    message: Message,
    state: LocalTransactionState,
) -> Result<SendReceipt, SendError> {
    loop {
        let step = producer.send_transaction(message.clone(), |_| async move { state });
        match step.await {
            Ok(receipt) => return Ok(receipt.half().clone()),
            Err(TransactionError::Half(error)) => return Err(error),
            Err(
                TransactionError::WeakHalf { half, .. }
                | TransactionError::LocalPanicked { half, .. },
            ) => return Ok(*half),
            // As many are open as allowed.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

fn ledger_failure(error: io::Error) -> Failure {
    Failure::failed(
        "the ledger cannot be written, so nothing more was sent",
        error,
    )
}

/// The next item, not before `due`. Safe to drop: nothing is taken until it resolves.
async fn next(items: &mut mpsc::Receiver<Item>, due: Option<Instant>) -> Option<Item> {
    if let Some(due) = due {
        sleep_until(due).await;
    }
    items.recv().await
}
