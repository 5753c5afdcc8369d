//! [`CheckForbiddenHook`]: whether a message may go where it is about to go.

use std::any::type_name;

use async_trait::async_trait;

use crate::config::routing::MessageQueue;
use crate::config::routing::remoting::message::MessageId;
use crate::config::routing::remoting::{HookResult, Message};

/// Asked before every attempt whether it may be made there (Java: `CheckForbiddenHook`).
///
/// It is asked in the task that sends, within the time of the attempt.
#[async_trait]
pub trait CheckForbiddenHook: Send + Sync + 'static {
    /// What errors and the log call it: the type's name unless it is written.
    fn name(&self) -> &str {
        type_name::<Self>()
    }

    /// An error, a panic, or not being done in time ends the send: this attempt is not made, and no other.
    async fn check_forbidden(&self, context: &CheckForbiddenContext<'_>) -> HookResult;
}

/// An attempt that is about to be made (Java: `CheckForbiddenContext`).
#[derive(Debug, Clone, Copy)]
pub struct CheckForbiddenContext<'a> {
    pub(crate) group: &'a str,
    pub(crate) queue: &'a MessageQueue,
    pub(crate) address: &'a str,
    pub(crate) message: Option<&'a Message>,
    pub(crate) message_id: Option<&'a MessageId>,
    pub(crate) messages: usize,
}

impl<'a> CheckForbiddenContext<'a> {
    /// The producer group.
    #[must_use]
    pub const fn group(&self) -> &'a str {
        self.group
    }

    /// The queue, with its topic and its broker's name.
    #[must_use]
    pub const fn queue(&self) -> &'a MessageQueue {
        self.queue
    }

    /// The broker's address, `host:port`.
    #[must_use]
    pub const fn broker_address(&self) -> &'a str {
        self.address
    }

    /// The message; none for messages that share a request.
    #[must_use]
    pub const fn message(&self) -> Option<&'a Message> {
        self.message
    }

    /// The message's id; none for messages that share a request.
    #[must_use]
    pub const fn message_id(&self) -> Option<&'a MessageId> {
        self.message_id
    }

    /// How many messages the request carries.
    #[must_use]
    pub const fn messages(&self) -> usize {
        self.messages
    }
}
