//! [`EndTransactionHook`]: told of the end of every transaction.

use std::any::type_name;

use async_trait::async_trait;

use crate::config::routing::remoting::message::{Properties, property};
use crate::transaction_state::LocalTransactionState;

/// Told of every end of a transaction that is sent to a broker: of the producer's own, and of those that a broker asked
/// about (Java: `EndTransactionHook`).
///
/// A panic is logged and changes nothing, and so does a hook that is not done in time.
#[async_trait]
pub trait EndTransactionHook: Send + Sync + 'static {
    /// What errors and the log call it: the type's name unless it is written.
    fn name(&self) -> &str {
        type_name::<Self>()
    }

    /// The end is about to be sent.
    async fn end_transaction(&self, context: &EndTransactionContext<'_>);
}

/// The end of a transaction (Java: `EndTransactionContext`).
#[derive(Debug, Clone, Copy)]
pub struct EndTransactionContext<'a> {
    pub(crate) group: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) properties: &'a Properties,
    pub(crate) message_id: &'a str,
    pub(crate) transaction_id: Option<&'a str>,
    pub(crate) address: &'a str,
    pub(crate) state: LocalTransactionState,
    pub(crate) is_from_check: bool,
}

impl<'a> EndTransactionContext<'a> {
    /// The producer group.
    #[must_use]
    pub const fn group(&self) -> &'a str {
        self.group
    }

    /// The message's topic.
    #[must_use]
    pub const fn topic(&self) -> &'a str {
        self.topic
    }

    /// The message's properties.
    #[must_use]
    pub const fn properties(&self) -> &'a Properties {
        self.properties
    }

    /// The message's tag.
    #[must_use]
    pub fn tags(&self) -> Option<&'a str> {
        self.properties.get(property::TAGS)
    }

    /// The message's keys, separated by spaces.
    #[must_use]
    pub fn keys(&self) -> Option<&'a str> {
        self.properties.get(property::KEYS)
    }

    /// The id that the producer gave to the message.
    #[must_use]
    pub const fn message_id(&self) -> &'a str {
        self.message_id
    }

    /// The id that the broker gave to the transaction, if it gave one.
    #[must_use]
    pub const fn transaction_id(&self) -> Option<&'a str> {
        self.transaction_id
    }

    /// The broker's address, `host:port`.
    #[must_use]
    pub const fn broker_address(&self) -> &'a str {
        self.address
    }

    /// What the transaction ends with.
    #[must_use]
    pub const fn state(&self) -> LocalTransactionState {
        self.state
    }

    /// Whether a broker had asked.
    #[must_use]
    pub const fn is_from_check(&self) -> bool {
        self.is_from_check
    }
}
