//! What a program gives to answer for transactions that nobody has ended.

use std::sync::Arc;

use async_trait::async_trait;

use crate::config::routing::remoting::message::MessageExt;
use crate::transaction_state::LocalTransactionState;

/// Says what became of a local step (Java: `TransactionListener.checkLocalTransaction`).
///
/// Brokers ask for transactions that were not ended in time: their process died, the end was lost, or the local step said
/// unknown. A broker asks *any* process of the producer group, so each must be able to answer for all, from what the local
/// step left behind, such as a row in a database.
///
/// Each check runs on a thread of its own, at most `transaction_check_concurrency` at a time, so one that blocks holds up
/// nothing but other checks. One that panics, or takes longer than `transaction_check_timeout`, says
/// [`Unknown`](LocalTransactionState::Unknown).
#[async_trait]
pub trait TransactionChecker: Send + Sync {
    /// What became of the local step of this message. A broker may ask for one message several times, also after it was
    /// settled: always answer the same.
    async fn check(&self, message: &CheckedMessage) -> LocalTransactionState;
}

#[async_trait]
impl<C: TransactionChecker + ?Sized> TransactionChecker for Arc<C> {
    async fn check(&self, message: &CheckedMessage) -> LocalTransactionState {
        (**self).check(message).await
    }
}

/// A half message that a broker asks for.
#[derive(Debug, Clone)]
pub struct CheckedMessage {
    pub(super) message: MessageExt,
    pub(super) message_id: String,
    pub(super) transaction_id: Option<String>,
    pub(super) broker_name: Option<String>,
    pub(super) checks: u32,
}

impl CheckedMessage {
    /// The message: its topic and body as they were sent, and its properties.
    #[must_use]
    pub const fn message(&self) -> &MessageExt {
        &self.message
    }

    /// The id that the half message was sent with (`UNIQ_KEY`).
    #[must_use]
    pub fn message_id(&self) -> &str {
        &self.message_id
    }

    /// The transaction's id: mostly the message's.
    #[must_use]
    pub fn transaction_id(&self) -> Option<&str> {
        self.transaction_id.as_deref()
    }

    /// Name of the broker that asks, if it says.
    #[must_use]
    pub fn broker_name(&self) -> Option<&str> {
        self.broker_name.as_deref()
    }

    /// How often the broker has asked for it, this time included.
    #[must_use]
    pub const fn checks(&self) -> u32 {
        self.checks
    }
}
