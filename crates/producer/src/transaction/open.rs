//! A transaction whose half message is stored and whose end is not told yet.

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use super::desk::{OpenPlace, Transactions};
use super::end::settle;
use super::producer::HalfMessage;
use super::receipt::{Settlement, TransactionReceipt};
use super::stats::count;
use crate::config::routing::remoting::Message;
use crate::config::routing::remoting::protocol::TransactionEnd;
use crate::core::Core;
use crate::deadline;
use crate::receipt::SendReceipt;
use crate::transaction_state::LocalTransactionState;

/// An open transaction: do the local step, then [`commit`](Self::commit) or [`rollback`](Self::rollback).
///
/// Dropped without a word, it is left to the checker. While it lives, a question of a broker for it is answered with
/// unknown, so that no checker decides about a local step that is still under way.
#[must_use = "a transaction that is dropped is left to the checker"]
pub struct OpenTransaction {
    core: Arc<Core>,
    transactions: Arc<Transactions>,
    message: Message,
    half: SendReceipt,
    _place: OpenPlace,
    /// What was decided, once it is.
    decision: Option<TransactionEnd>,
    /// Whether the book was told.
    is_ended: bool,
}

impl fmt::Debug for OpenTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenTransaction")
            .field("message", &self.message)
            .field("half", &self.half)
            .finish_non_exhaustive()
    }
}

impl OpenTransaction {
    pub(super) fn new(
        core: Arc<Core>,
        transactions: Arc<Transactions>,
        message: Message,
        half: SendReceipt,
        place: OpenPlace,
    ) -> Self {
        count(&transactions.counts.begun);
        transactions.book().open(half.message_id().as_str());
        Self {
            core,
            transactions,
            message,
            half,
            _place: place,
            decision: None,
            is_ended: false,
        }
    }

    /// The half message and its receipt.
    #[must_use]
    pub fn half(&self) -> HalfMessage {
        HalfMessage::new(self.message.clone(), self.half.clone())
    }

    /// Ends it with commit: consumers get the message.
    ///
    /// # Cancel safety
    /// As [`end`](Self::end).
    pub async fn commit(self) -> TransactionReceipt {
        self.end(LocalTransactionState::Commit).await
    }

    /// Ends it with rollback: consumers never get the message.
    ///
    /// # Cancel safety
    /// As [`end`](Self::end).
    pub async fn rollback(self) -> TransactionReceipt {
        self.end(LocalTransactionState::Rollback).await
    }

    /// Tells the broker the end, within `send_msg_timeout`, and waits for its word. A broker that cannot be told asks
    /// later, and gets the same answer.
    ///
    /// # Cancel safety
    /// Dropped before its first poll, it is left to the checker. Dropped later, the broker may be told; if it asks, this
    /// process answers as decided.
    pub async fn end(mut self, state: LocalTransactionState) -> TransactionReceipt {
        let end = state.end();
        self.decision = Some(end);
        let counts = &self.transactions.counts;
        count(match end {
            TransactionEnd::Commit => &counts.committed,
            TransactionEnd::Rollback => &counts.rolled_back,
            _ => &counts.unknown,
        });
        let settlement = self.tell(end).await;
        TransactionReceipt {
            half: self.half.clone(),
            state,
            settlement,
        }
    }

    async fn tell(&mut self, end: TransactionEnd) -> Settlement {
        let deadline = deadline::after(Instant::now(), self.core.config.send_msg_timeout);
        let settlement = settle(&self.core, &self.message, &self.half, end, deadline).await;
        self.is_ended = true;
        let is_confirmed = settlement.is_confirmed();
        if !is_confirmed && end != TransactionEnd::Unknown {
            count(&self.transactions.counts.unconfirmed);
        }
        let id = self.half.message_id().as_str();
        self.transactions.book().end(id, end, is_confirmed);
        settlement
    }

    /// Takes back a transaction whose local step does not run.
    pub(super) async fn withdraw(mut self) -> (SendReceipt, Settlement) {
        self.decision = Some(TransactionEnd::Rollback);
        count(&self.transactions.counts.rolled_back);
        let settlement = self.tell(TransactionEnd::Rollback).await;
        (self.half.clone(), settlement)
    }
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        if self.is_ended {
            return;
        }
        let id = self.half.message_id().as_str();
        let mut book = self.transactions.book();
        if let Some(end) = self.decision {
            book.end(id, end, false);
        } else {
            count(&self.transactions.counts.unknown);
            book.forget(id);
        }
    }
}
