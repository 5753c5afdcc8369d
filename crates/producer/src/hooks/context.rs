//! What send hooks see of a message, and what became of it.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;

use crate::config::routing::remoting::Message;
use crate::config::routing::remoting::message::MessageId;
use crate::error::SendError;
use crate::receipt::SendReceipt;

/// A message on its way, as send hooks see it (Java: `SendMessageContext`).
pub struct SendContext {
    group: Arc<str>,
    client_id: Arc<str>,
    message: Message,
    is_oneway: bool,
    is_batched: bool,
    notes: Vec<(TypeId, Box<dyn Any + Send + Sync>)>,
}

impl SendContext {
    pub(crate) fn new(
        group: &Arc<str>,
        client_id: &Arc<str>,
        message: Message,
        is_oneway: bool,
        is_batched: bool,
    ) -> Self {
        Self {
            group: Arc::clone(group),
            client_id: Arc::clone(client_id),
            message,
            is_oneway,
            is_batched,
            notes: Vec::new(),
        }
    }

    /// The producer group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The id that brokers know the producer by.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The message, as the hooks before have made it.
    #[must_use]
    pub const fn message(&self) -> &Message {
        &self.message
    }

    /// Has another message sent in its place. Has no effect after the send.
    pub fn set_message(&mut self, message: Message) {
        self.message = message;
    }

    /// Whether no answer is asked for.
    #[must_use]
    pub const fn is_oneway(&self) -> bool {
        self.is_oneway
    }

    /// Whether it was given to `send_batch` with others.
    #[must_use]
    pub const fn is_batched(&self) -> bool {
        self.is_batched
    }

    /// Keeps a value for the call after the send, one of each type; returns the one before.
    pub fn insert<T: Any + Send + Sync>(&mut self, note: T) -> Option<T> {
        let id = TypeId::of::<T>();
        let place = self.notes.iter().position(|(known, _)| *known == id);
        let old = place.map(|place| self.notes.swap_remove(place));
        self.notes.push((id, Box::new(note)));
        old.and_then(|(_, note)| note.downcast().ok().map(|note| *note))
    }

    /// The value of this type that a hook kept.
    #[must_use]
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        let id = TypeId::of::<T>();
        let (_, note) = self.notes.iter().find(|(known, _)| *known == id)?;
        note.downcast_ref()
    }
}

impl fmt::Debug for SendContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendContext")
            .field("group", &self.group)
            .field("message", &self.message)
            .field("is_oneway", &self.is_oneway)
            .field("is_batched", &self.is_batched)
            .finish_non_exhaustive()
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum SendOutcome<'a> {
    /// A broker stored it, with whatever status.
    Stored(&'a SendReceipt),
    /// One-way: all its bytes were taken by the operating system.
    Written(&'a MessageId),
    /// It got no receipt.
    Failed(&'a SendError),
}
