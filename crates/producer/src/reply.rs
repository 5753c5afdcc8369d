//! Replies to requests, and those who wait for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use rand::RngExt;
use tokio::sync::{OnceCell, oneshot};
use tracing::debug;

use crate::config::routing::remoting::message::{MessageExt, property::CORRELATION_ID};
use crate::error::SendError;
use crate::receipt::SendReceipt;

/// Topics that are known to be ready for requests, at most; beyond it all are made ready anew.
const MAX_READY: usize = 10_000;

/// The reply to a request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Reply {
    /// The message that the other side sent: body, properties, when and where it was made. It was in no queue, so its
    /// offsets are 0.
    pub message: MessageExt,
    /// Where the request was stored; an error if no receipt came, and the reply alone shows that it was stored.
    pub receipt: Result<SendReceipt, Box<SendError>>,
    /// From the call until the reply was there.
    pub latency: Duration,
}

impl Reply {
    /// The body of the reply.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.message.body
    }
}

/// How replies came, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ReplyCounts {
    pub(crate) received: u64,
    pub(crate) late: u64,
    pub(crate) unknown: u64,
}

/// The requests of one client that wait for replies, by correlation id (Java: `RequestFutureHolder`).
#[derive(Debug)]
pub(crate) struct Replies {
    /// Begins every id, so that late replies are told from those for others.
    prefix: String,
    next: AtomicU64,
    waiting: DashMap<Arc<str>, oneshot::Sender<MessageExt>>,
    /// Topics whose brokers know this client.
    ready: DashMap<Arc<str>, Arc<OnceCell<()>>>,
    received: AtomicU64,
    late: AtomicU64,
    unknown: AtomicU64,
}

impl Default for Replies {
    fn default() -> Self {
        Self {
            prefix: format!("{:016x}-", rand::rng().random::<u64>()),
            next: AtomicU64::new(0),
            waiting: DashMap::new(),
            ready: DashMap::new(),
            received: AtomicU64::new(0),
            late: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
        }
    }
}

impl Replies {
    /// Enters a request under an id of its own.
    pub(crate) fn wait(&self) -> Waiting<'_> {
        let number = self.next.fetch_add(1, Relaxed);
        let id: Arc<str> = Arc::from(format!("{}{number:x}", self.prefix));
        let (sender, reply) = oneshot::channel();
        self.waiting.insert(Arc::clone(&id), sender);
        Waiting {
            replies: self,
            id,
            reply,
        }
    }

    /// Hands a reply to whoever waits for it; one that nobody waits for is counted.
    pub(crate) fn deliver(&self, reply: MessageExt) {
        let id = reply.property(CORRELATION_ID).unwrap_or_default();
        let count = match self.waiting.remove(id) {
            Some((_, waiting)) => match waiting.send(reply) {
                Ok(()) => &self.received,
                Err(_) => &self.late,
            },
            None if id.starts_with(&self.prefix) => {
                debug!(correlation_id = id, "reply came too late, or twice");
                &self.late
            }
            None => {
                debug!(correlation_id = id, "reply to a request of somebody else");
                &self.unknown
            }
        };
        count.fetch_add(1, Relaxed);
    }

    pub(crate) fn counts(&self) -> ReplyCounts {
        ReplyCounts {
            received: self.received.load(Relaxed),
            late: self.late.load(Relaxed),
            unknown: self.unknown.load(Relaxed),
        }
    }

    /// Whether a request was ever made.
    pub(crate) fn are_used(&self) -> bool {
        self.next.load(Relaxed) > 0
    }

    /// Whether the brokers of a topic know this client, or who sees to it.
    pub(crate) fn ready(&self, topic: &Arc<str>) -> Arc<OnceCell<()>> {
        if self.ready.len() >= MAX_READY {
            self.ready.clear();
        }
        Arc::clone(&self.ready.entry(Arc::clone(topic)).or_default())
    }
}

/// A request that waits for its reply; dropping it gives its place in the table back.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    replies: &'a Replies,
    id: Arc<str>,
    reply: oneshot::Receiver<MessageExt>,
}

impl Waiting<'_> {
    /// What names the request.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The reply, if it has come.
    pub(crate) fn take(&mut self) -> Option<MessageExt> {
        self.reply.try_recv().ok()
    }

    /// Waits for the reply; nothing if none can come any more.
    pub(crate) async fn reply(&mut self) -> Option<MessageExt> {
        (&mut self.reply).await.ok()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.replies.waiting.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::routing::remoting::message::Properties;

    fn reply_to(id: &str) -> MessageExt {
        let properties = Properties::parse(&format!("CORRELATION_ID\u{1}{id}\u{2}"));
        MessageExt::new("t", "body", properties)
    }

    #[test]
    fn a_reply_reaches_its_request_only_and_late_ones_are_told_from_strange_ones() {
        let replies = Replies::default();
        let (mut one, mut two) = (replies.wait(), replies.wait());
        assert_ne!(one.id(), two.id());
        replies.deliver(reply_to(two.id()));
        replies.deliver(reply_to(two.id()));
        assert!(one.take().is_none());
        assert!(two.take().is_some());
        let id = one.id().to_owned();
        drop(one);
        replies.deliver(reply_to(&id));
        replies.deliver(reply_to("1de76661-b7d9-4b77-83ac-4fec2742473d"));
        replies.deliver(MessageExt::new("t", "body", Properties::new()));
        let counts = replies.counts();
        assert_eq!((counts.received, counts.late, counts.unknown), (1, 2, 2));
        drop(two);
        assert!(replies.waiting.is_empty());
    }
}
