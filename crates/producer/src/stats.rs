//! What a producer has done, in numbers.

use std::sync::Arc;

use crate::config::routing::remoting::NetworkStats;
use crate::lifecycle::State;

/// A snapshot of a producer's statistics (pyrocketmq: `get_stats`).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProducerStats {
    /// The state; pyrocketmq's `running` is [`State::Running`].
    pub state: State,
    /// The producer group.
    pub producer_group: Arc<str>,
    /// The client id that brokers see.
    pub client_id: Arc<str>,
    /// Messages acknowledged, with whatever status.
    pub total_sent: u64,
    /// Messages that got no receipt: rejected, not sent and unknown.
    pub total_failed: u64,
    /// Messages a broker refused.
    pub rejected: u64,
    /// Messages of which no byte left this process, those refused for the producer's state or the
    /// message's own faults included.
    pub not_sent: u64,
    /// Messages that may be stored although no receipt came.
    pub unknown: u64,
    /// One-way messages written; whether a broker stored them cannot be known.
    pub oneway_written: u64,
    /// Sends under way that their callers dropped; their messages may be stored.
    pub dropped: u64,
    /// Attempts beyond the first of their send.
    pub retries: u64,
    /// Attempts beside another one that took long (setting `hedge_percentile`).
    pub hedges: u64,
    /// Batches that had their outcome, explicit and automatic; a message that went by itself is none.
    pub batches: u64,
    /// Their messages.
    pub batched: u64,
    /// Records of message traces that were stored (setting `trace_message`).
    pub traces_sent: u64,
    /// Records of message traces that were lost: the queue was full, or the trace topic did not take them.
    pub traces_dropped: u64,
    /// Sends under way now.
    pub under_way: usize,
    /// Bytes of their bodies and properties.
    pub bytes_under_way: u64,
    /// Lanes of ordered messages that are in use or stopped.
    pub lanes: usize,
    /// Lanes that were stopped by a message whose outcome is unknown.
    pub stopped_lanes: usize,
    /// Replies that reached their requests. These and all that follows are of the whole client context, if producers
    /// share one.
    pub replies: u64,
    /// Replies that came after their request had ended, or once more.
    pub late_replies: u64,
    /// Replies that name no request of this process.
    pub unknown_replies: u64,
    /// Topics whose route is cached.
    pub cached_topics: usize,
    /// Heartbeats that brokers answered with success.
    pub heartbeats_succeeded: u64,
    /// Heartbeats that failed or were refused.
    pub heartbeats_failed: u64,
    /// Connections to brokers.
    pub brokers: NetworkStats,
    /// Connections to name servers.
    pub name_servers: NetworkStats,
}

impl ProducerStats {
    /// Acknowledged messages of all that ended, 0 to 1; 1 when none has.
    #[must_use]
    pub fn success_rate(&self) -> f64 {
        let ended = self.total_sent + self.total_failed;
        if ended == 0 {
            return 1.0;
        }
        self.total_sent as f64 / ended as f64
    }
}
