//! The producer of transactions.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use super::blocking::BlockingTransactionalProducer;
use super::checker::TransactionChecker;
use super::desk::{Limits, Transactions};
use super::error::TransactionError;
use super::open::OpenTransaction;
use super::receipt::TransactionReceipt;
use super::stats::TransactionStats;
use crate::config::WeakHalf;
use crate::config::routing::remoting::message::MessageId;
use crate::config::routing::remoting::{Delivery, Message};
use crate::error::{SendError, SendFailure, StartError};
use crate::options::SendOptions;
use crate::preheat::PreheatReport;
use crate::producer::Producer;
use crate::receipt::{SendReceipt, SendStatus};
use crate::report::ShutdownReport;
use crate::transaction_state::LocalTransactionState;

/// A producer of messages that consumers see only if a local step was done (Java: `TransactionMQProducer`).
///
/// Made by [`ProducerBuilder::build_transactional`](crate::ProducerBuilder::build_transactional). Clones are handles to
/// the same producer. [`producer`](Self::producer) sends what is no transaction.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use rocketmq_producer_core::*;
/// # use rocketmq_producer_core::config::routing::remoting::Message;
/// # async fn example(checker: Arc<dyn TransactionChecker>) -> Result<(), Box<dyn std::error::Error>> {
/// # async fn charge(order: &str) -> bool { true }
/// let producer = Producer::builder("order-service").start_transactional(checker).await?;
/// let message = Message::new("orders", "order 17 paid")?;
/// let receipt = producer
///     .send_transaction(message, |_half| async {
///         if charge("17").await {
///             LocalTransactionState::Commit
///         } else {
///             LocalTransactionState::Rollback
///         }
///     })
///     .await?;
/// println!("{:?}, {:?}", receipt.state(), receipt.settlement());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TransactionalProducer {
    producer: Producer,
    transactions: Arc<Transactions>,
}

impl fmt::Debug for TransactionalProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionalProducer")
            .field("producer", &self.producer)
            .field("transactions", &self.transactions)
            .finish()
    }
}

/// A half message that a broker has stored, and that no consumer sees yet.
#[derive(Debug, Clone)]
pub struct HalfMessage {
    message: Message,
    receipt: SendReceipt,
}

impl HalfMessage {
    pub(super) const fn new(message: Message, receipt: SendReceipt) -> Self {
        Self { message, receipt }
    }

    /// The message.
    #[must_use]
    pub const fn message(&self) -> &Message {
        &self.message
    }

    /// The id that consumers will see, and the checker: keep it with what the local step does.
    #[must_use]
    pub const fn message_id(&self) -> &MessageId {
        self.receipt.message_id()
    }

    /// The broker's receipt.
    #[must_use]
    pub const fn receipt(&self) -> &SendReceipt {
        &self.receipt
    }
}

impl TransactionalProducer {
    pub(crate) fn new(producer: Producer, checker: Arc<dyn TransactionChecker>) -> Self {
        let core = &producer.core;
        let transactions = Arc::new(Transactions::new(
            Arc::clone(&core.group),
            checker,
            Limits::of(&core.config),
            core.hooks.clone(),
            core.tasks.clone(),
            core.cancel.clone(),
        ));
        // Just built, so there is none yet.
        let _ = core.transactions.set(Arc::clone(&transactions));
        Self {
            producer,
            transactions,
        }
    }

    /// The producer itself, for messages without a transaction.
    #[must_use]
    pub const fn producer(&self) -> &Producer {
        &self.producer
    }

    /// Starts the producer, as [`Producer::start`]. In the background it makes itself known to every broker that has half
    /// messages, so that it is asked for those of earlier processes of the group too.
    ///
    /// # Errors
    /// As [`Producer::start`].
    ///
    /// # Cancel safety
    /// As [`Producer::start`].
    pub async fn start(&self) -> Result<PreheatReport, StartError> {
        self.producer.start().await
    }

    /// Shuts down, as [`Producer::shutdown`]; open transactions are waited for too, within the same time.
    ///
    /// # Cancel safety
    /// As [`Producer::shutdown`].
    pub async fn shutdown(&self, patience: Duration) -> ShutdownReport {
        self.producer.shutdown(patience).await
    }

    /// What transactions have come to.
    #[must_use]
    pub fn stats(&self) -> TransactionStats {
        self.transactions.stats()
    }

    /// Sends the half message, does the local step, and tells the broker its end (Java: `sendMessageInTransaction`).
    ///
    /// The half message has the budget of a send, `send_msg_timeout`, and so has telling the end; the local step may take
    /// as long as it likes. While it runs, a broker that asks this process for it hears unknown.
    ///
    /// # Errors
    /// [`TransactionError`] if it did not come to a decision: the half message got no receipt or too weak a one, so the
    /// local step did not run, or the local step panicked. Once there is a decision the result is a receipt, which says
    /// how far the broker knows: [`TransactionReceipt::settlement`].
    ///
    /// # Cancel safety
    /// Dropped while the half message is under way, it may be stored; dropped in the local step, that step ends where it
    /// is. Both leave the transaction to the checker.
    pub async fn send_transaction<F, L>(
        &self,
        message: Message,
        local: F,
    ) -> Result<TransactionReceipt, TransactionError>
    where
        F: FnOnce(HalfMessage) -> L,
        L: Future<Output = LocalTransactionState>,
    {
        self.send_transaction_with(message, SendOptions::new(), local)
            .await
    }

    /// As [`send_transaction`](Self::send_transaction), with options for the half message: timeout, queue, or selector.
    ///
    /// # Errors
    /// As [`send_transaction`](Self::send_transaction).
    ///
    /// # Cancel safety
    /// As [`send_transaction`](Self::send_transaction).
    pub async fn send_transaction_with<F, L>(
        &self,
        message: Message,
        options: SendOptions,
        local: F,
    ) -> Result<TransactionReceipt, TransactionError>
    where
        F: FnOnce(HalfMessage) -> L,
        L: Future<Output = LocalTransactionState>,
    {
        let open = self.begin_with(message, options).await?;
        let half = open.half();
        // Called inside, so that a panic before its first await is caught too.
        let step = AssertUnwindSafe(async move { local(half).await }).catch_unwind();
        match step.await {
            Ok(state) => Ok(open.end(state).await),
            Err(panic) => {
                let ended = open.end(LocalTransactionState::Unknown).await;
                Err(TransactionError::LocalPanicked {
                    half: Box::new(ended.half),
                    message: text_of(&*panic),
                })
            }
        }
    }

    /// Sends the half message only, for local steps that do not fit a closure.
    ///
    /// # Errors
    /// As [`send_transaction`](Self::send_transaction).
    ///
    /// # Cancel safety
    /// Dropped midway, the half message may be stored, and is left to the checker.
    pub async fn begin(&self, message: Message) -> Result<OpenTransaction, TransactionError> {
        self.begin_with(message, SendOptions::new()).await
    }

    /// As [`begin`](Self::begin), with options of its own.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    ///
    /// # Cancel safety
    /// As [`begin`](Self::begin).
    pub async fn begin_with(
        &self,
        message: Message,
        options: SendOptions,
    ) -> Result<OpenTransaction, TransactionError> {
        let core = &self.producer.core;
        let place = self.transactions.try_open();
        let place = place.map_err(|limit| TransactionError::TooManyOpen { limit })?;
        let topic = Arc::clone(message.topic_shared());
        let half = message.into_half(&core.group).map_err(|error| {
            let cause = SendFailure::Message(error);
            let error = SendError::new(topic, None, Duration::ZERO, Vec::new(), cause);
            TransactionError::Half(error)
        })?;
        let options = options.half();
        let receipt = match Box::pin(core.send(&half, &options, false)).await {
            Ok(receipt) => receipt,
            Err(error) => {
                if let (Delivery::Unknown, Some(id)) = (error.delivery(), error.message_id()) {
                    self.transactions.book().never_ran(id.as_str());
                }
                return Err(TransactionError::Half(error));
            }
        };
        let status = receipt.status();
        let transactions = Arc::clone(&self.transactions);
        let open = OpenTransaction::new(Arc::clone(core), transactions, half, receipt, place);
        if status != SendStatus::SendOk && core.config.transaction_weak_half == WeakHalf::Rollback {
            let (half, settlement) = open.withdraw().await;
            return Err(TransactionError::WeakHalf {
                status,
                half: Box::new(half),
                settlement: Box::new(settlement),
            });
        }
        Ok(open)
    }

    /// The same producer for threads that do not await.
    #[must_use]
    pub fn blocking(&self) -> BlockingTransactionalProducer {
        BlockingTransactionalProducer::of(self.producer.blocking(), self.clone())
    }
}

/// What a panic said.
pub(super) fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no text").to_owned()
}
