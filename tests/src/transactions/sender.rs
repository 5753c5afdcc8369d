//! One of the processes that send transactions and may be killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use rocketmq_producer::{
    CheckedMessage, Delivery, LocalTransactionState, Message, Producer, SendReceipt, Settlement,
    TransactionChecker, TransactionError, TransactionReceipt, TransactionalProducer,
};
use tokio::io::AsyncReadExt;
use tokio_util::task::TaskTracker;

use super::journal::Journal;
use super::{GROUP, TOPIC, Task, local, truth};
use crate::fuzz::random::Random;

/// Transactions at the same time.
const AT_ONCE: usize = 16;
/// The longest local step in milliseconds.
const LONGEST_STEP: usize = 40;
/// Two processors run broker, Java and all processes.
const PATIENT: Duration = Duration::from_secs(10);

fn body(seed: u64, number: u64) -> String {
    format!("{seed} {number}")
}

/// Seed and number of a message.
pub(super) fn number_of(body: &[u8]) -> Option<(u64, u64)> {
    let (seed, number) = std::str::from_utf8(body).ok()?.split_once(' ')?;
    Some((seed.parse().ok()?, number.parse().ok()?))
}

/// Knows what became of every local step, as a database would.
struct Truth(Arc<Journal>);

#[async_trait]
impl TransactionChecker for Truth {
    async fn check(&self, message: &CheckedMessage) -> LocalTransactionState {
        let Some((seed, number)) = number_of(&message.message().body) else {
            return LocalTransactionState::Unknown;
        };
        match self.0.note(&format!("check {number}")) {
            Ok(()) => truth(seed, number),
            // What is not noted must not happen.
            Err(_) => LocalTransactionState::Unknown,
        }
    }
}

/// Sends the task's transactions, then answers questions until standard input ends.
///
/// # Errors
/// When the producer does not start or the journal cannot be written.
///
/// # Cancel safety
/// Dropped midway, it is as if the process was killed.
pub async fn send(task: Task) -> Result<()> {
    let journal = Arc::new(Journal::open(&task.journal)?);
    let retries = task.retries;
    let producer = Producer::builder(GROUP)
        .name_servers(&task.name_servers)
        .configure(|settings| {
            let settings = settings.send_msg_timeout(PATIENT);
            if retries {
                settings
            } else {
                settings.retry_times(0)
            }
        })
        .start_transactional(Arc::new(Truth(Arc::clone(&journal))))
        .await?;
    let next = Arc::new(AtomicU64::new(task.from));
    let (tasks, task) = (TaskTracker::new(), Arc::new(task));
    let senders: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (producer, journal) = (producer.clone(), Arc::clone(&journal));
            let (next, task) = (Arc::clone(&next), Arc::clone(&task));
            tasks.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= task.to {
                        return anyhow::Ok(());
                    }
                    one(&producer, &journal, task.seed, number).await?;
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await??;
    }
    journal.note("done")?;
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await?;
    producer.shutdown(PATIENT).await;
    Ok(())
}

async fn one(
    producer: &TransactionalProducer,
    journal: &Arc<Journal>,
    seed: u64,
    number: u64,
) -> Result<()> {
    journal.note(&format!("begin {number}"))?;
    let message = Message::new(TOPIC, body(seed, number))?;
    let (noted, journal) = (Arc::clone(journal), journal);
    let step = Random::of_input("transaction step", seed, number).below(LONGEST_STEP);
    let outcome = producer
        .send_transaction(message, |half| async move {
            let doubtful = doubtful(half.receipt());
            if noted.note(&format!("half {number} {doubtful}")).is_err() {
                return LocalTransactionState::Unknown;
            }
            tokio::time::sleep(Duration::from_millis(step as u64)).await;
            local(seed, number)
        })
        .await;
    journal.note(&match &outcome {
        Ok(receipt) => format!("end {number} {}", settlement(receipt)),
        Err(error) => format!("failed {number} {}", failed(error)),
    })
}

fn settlement(receipt: &TransactionReceipt) -> &'static str {
    match receipt.settlement() {
        Settlement::Confirmed => "confirmed",
        Settlement::LeftToCheck => "left",
        Settlement::Unconfirmed(_) => "unconfirmed",
        _ => "untold",
    }
}

/// Attempts before the one with the receipt that may have stored a half message too.
fn doubtful(receipt: &SendReceipt) -> usize {
    let failures = receipt.attempts().filter_map(|attempt| attempt.failure());
    failures
        .filter(|failure| failure.delivery() == Delivery::Unknown)
        .count()
}

fn failed(error: &TransactionError) -> usize {
    usize::from(error.delivery() == Delivery::Unknown)
}
