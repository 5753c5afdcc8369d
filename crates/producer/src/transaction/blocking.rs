//! Transactions for threads that do not await.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::error::TransactionError;
use super::producer::{HalfMessage, TransactionalProducer};
use super::receipt::TransactionReceipt;
use super::stats::TransactionStats;
use crate::blocking::{BlockingProducer, SLACK, wait_for};
use crate::config::routing::remoting::Message;
use crate::error::{BlockingFailure, SendError, SendFailure};
use crate::report::ShutdownReport;
use crate::transaction_state::LocalTransactionState;

/// A [`TransactionalProducer`] whose calls block the calling thread. The same rules hold as for [`BlockingProducer`].
#[derive(Clone)]
pub struct BlockingTransactionalProducer {
    blocking: BlockingProducer,
    producer: TransactionalProducer,
}

impl fmt::Debug for BlockingTransactionalProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.producer.fmt(f)
    }
}

impl BlockingTransactionalProducer {
    pub(crate) const fn of(blocking: BlockingProducer, producer: TransactionalProducer) -> Self {
        Self { blocking, producer }
    }

    /// Sends the half message, does the local step on this thread, and tells the broker its end.
    ///
    /// # Errors
    /// As [`TransactionalProducer::send_transaction`]; further [`TransactionError::Blocking`] if the call would wait for
    /// its own thread, or if the producer's runtime did not run it. After the local step that leaves the transaction to the
    /// broker's question, which is answered as decided.
    pub fn send_transaction(
        &self,
        message: Message,
        local: impl FnOnce(&HalfMessage) -> LocalTransactionState,
    ) -> Result<TransactionReceipt, TransactionError> {
        let producer = self.producer.clone();
        let topic = std::sync::Arc::clone(message.topic_shared());
        let Some(home) = self.producer.producer().core.home() else {
            let cause = SendFailure::State(self.producer.producer().state());
            let error = SendError::new(topic, None, Duration::ZERO, Vec::new(), cause);
            return Err(TransactionError::Half(error));
        };
        let budget = self.producer.producer().config().send_msg_timeout;
        // A weak half message is rolled back within a budget of its own.
        let limit = budget.saturating_mul(2).saturating_add(SLACK);
        let open = wait_for(&home, limit, async move { producer.begin(message).await })
            .map_err(TransactionError::Blocking)??;
        let half = open.half();
        let said = catch_unwind(AssertUnwindSafe(|| local(&half)));
        let state = *said.as_ref().unwrap_or(&LocalTransactionState::Unknown);
        let ended = wait_for(&home, limit, open.end(state)).map_err(TransactionError::Blocking)?;
        match said {
            Ok(_) => Ok(ended),
            Err(panic) => Err(TransactionError::LocalPanicked {
                half: Box::new(ended.half),
                message: super::producer::text_of(&*panic),
            }),
        }
    }

    /// Shuts the producer down, as [`TransactionalProducer::shutdown`].
    ///
    /// # Errors
    /// As [`BlockingProducer::shutdown`].
    pub fn shutdown(&self, patience: Duration) -> Result<ShutdownReport, BlockingFailure> {
        self.blocking.shutdown(patience)
    }

    /// What transactions have come to.
    #[must_use]
    pub fn stats(&self) -> TransactionStats {
        self.producer.stats()
    }

    /// The blocking producer, for messages without a transaction.
    #[must_use]
    pub const fn producer(&self) -> &BlockingProducer {
        &self.blocking
    }
}
