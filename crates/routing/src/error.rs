//! Why a message has nowhere to go.

use std::sync::Arc;

use thiserror::Error;

use crate::{
    name_server::{NameServerAttempt, NameServerError, describe},
    queue::MessageQueue,
    route::{ExcludedQueues, ExclusionReason, RouteInfo},
};

/// Why a route or a queue could not be had. Nothing was sent.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum RoutingError {
    /// The operator suspended every broker that could take the message.
    #[error("every broker for topic {topic} is suspended: {}", brokers.join(", "))]
    BrokersSuspended {
        /// The topic.
        topic: Arc<str>,
        /// The suspended brokers.
        brokers: Arc<[Arc<str>]>,
    },
    /// Routing has been shut down.
    #[error("routing is shut down")]
    Closed,
    /// The caller's deadline passed while the route was being fetched.
    #[error("no route of topic {topic} before the deadline{}", so_far(attempts))]
    DeadlineExceeded {
        /// The topic.
        topic: Arc<str>,
        /// Which name servers were asked, and what they had done by then. Empty if none
        /// had been.
        attempts: Arc<[NameServerAttempt]>,
    },
    /// No name server gave a usable answer.
    #[error("route of topic {topic} not available")]
    NameServer {
        /// The topic.
        topic: Arc<str>,
        /// What the name servers did.
        #[source]
        cause: NameServerError,
    },
    /// The topic has queues, but their brokers have no master.
    #[error("no master for topic {topic}: {}", list(excluded))]
    NoMaster {
        /// The topic.
        topic: Arc<str>,
        /// What the route says.
        excluded: Arc<[ExcludedQueues]>,
    },
    /// The topic exists, but no queue may be written to.
    #[error("no writable queue of topic {topic}: {}", list(excluded))]
    NothingWritable {
        /// The topic.
        topic: Arc<str>,
        /// What the route says.
        excluded: Arc<[ExcludedQueues]>,
    },
    /// The queue that was given, or that the key belongs to, takes no messages.
    #[error("queue {queue} not available: {reason}")]
    QueueNotAvailable {
        /// The queue.
        queue: Box<MessageQueue>,
        /// Why.
        reason: QueueProblem,
    },
    /// The topic was removed from the cache; it has to be looked up again.
    #[error("route of topic {topic} was removed from the cache")]
    RouteRemoved {
        /// The topic.
        topic: Arc<str>,
    },
    /// The selector gave a number that is no place among the queues.
    #[error("selector {selector} chose queue {index} of {queues} for topic {topic}")]
    SelectorOutOfRange {
        /// The selector's name.
        selector: &'static str,
        /// The topic.
        topic: Arc<str>,
        /// What it chose.
        index: usize,
        /// How many queues there are.
        queues: usize,
    },
    /// The selector chose no queue.
    #[error("selector {selector} chose no queue of topic {topic}")]
    SelectorRefused {
        /// The selector's name.
        selector: &'static str,
        /// The topic.
        topic: Arc<str>,
    },
    /// No name server knows the topic, and none is to be made.
    #[error("no such topic {topic}, says name server {address}")]
    TopicNotFound {
        /// The topic.
        topic: Arc<str>,
        /// The name server that said so first.
        address: Arc<str>,
    },
}

impl RoutingError {
    /// The topic has a route without a queue to send to; this is why.
    pub(crate) fn nowhere(route: &RouteInfo) -> Self {
        let topic = Arc::clone(route.topic());
        let excluded = Arc::clone(route.excluded());
        let lacks_master = excluded.iter().any(|entry| {
            matches!(
                entry.reason,
                ExclusionReason::NoMaster | ExclusionReason::BrokerUnknown
            )
        });
        if lacks_master {
            Self::NoMaster { topic, excluded }
        } else {
            Self::NothingWritable { topic, excluded }
        }
    }

    /// Whether a newer route may answer otherwise, as for a queue that was added a
    /// moment ago. See [`TopicBrokerMapping::newer_route`](crate::TopicBrokerMapping::newer_route).
    #[must_use]
    pub fn may_be_outdated(&self) -> bool {
        matches!(
            self,
            Self::NoMaster { .. }
                | Self::NothingWritable { .. }
                | Self::QueueNotAvailable {
                    reason: QueueProblem::Excluded(_) | QueueProblem::Unknown,
                    ..
                }
        )
    }
}

/// Why one queue takes no messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum QueueProblem {
    /// The operator suspended its broker.
    #[error("broker suspended")]
    BrokerSuspended,
    /// The route says why.
    #[error("{0}")]
    Excluded(ExclusionReason),
    /// The topic has no such queue.
    #[error("no such queue in the route")]
    Unknown,
}

/// Entries that a message names; the error itself holds all.
const MAX_SHOWN: usize = 8;

fn list(excluded: &[ExcludedQueues]) -> String {
    if excluded.is_empty() {
        return "the route has no queue".to_owned();
    }
    let shown = excluded.iter().take(MAX_SHOWN).map(ToString::to_string);
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if excluded.len() > MAX_SHOWN {
        text.push_str(&format!(" and {} more", excluded.len() - MAX_SHOWN));
    }
    text
}

fn so_far(attempts: &[NameServerAttempt]) -> String {
    if attempts.is_empty() {
        return String::new();
    }
    format!(": {}", describe(attempts))
}

#[cfg(test)]
mod tests {
    use super::RoutingError;

    #[test]
    fn an_error_fits_into_one_cache_line() {
        assert!(size_of::<RoutingError>() <= 64);
    }
}
