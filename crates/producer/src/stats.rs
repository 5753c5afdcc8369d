//! What a producer has done, in numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::config::routing::remoting::{Delivery, NetworkStats};
use crate::error::SendError;
use crate::lifecycle::State;
use crate::receipt::SendReceipt;

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
    /// Messages of which no byte left this process.
    pub not_sent: u64,
    /// Messages that may be stored although no receipt came.
    pub unknown: u64,
    /// One-way messages written; whether a broker stored them cannot be known.
    pub oneway_written: u64,
    /// Attempts beyond the first of their send.
    pub retries: u64,
    /// Sends under way now.
    pub under_way: usize,
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

/// Counters of a producer.
#[derive(Debug, Default)]
pub(crate) struct SendCounters {
    acked: AtomicU64,
    rejected: AtomicU64,
    not_sent: AtomicU64,
    unknown: AtomicU64,
    oneway_written: AtomicU64,
    retries: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcomes {
    pub(crate) acked: u64,
    pub(crate) rejected: u64,
    pub(crate) not_sent: u64,
    pub(crate) unknown: u64,
    pub(crate) oneway_written: u64,
}

impl SendCounters {
    pub(crate) fn record(&self, outcome: &Result<SendReceipt, SendError>) {
        match outcome {
            Ok(receipt) => {
                self.acked.fetch_add(1, Relaxed);
                let retries = receipt.earlier_attempts.len();
                if retries > 0 {
                    self.retries.fetch_add(retries as u64, Relaxed);
                }
            }
            Err(error) => self.record_failure(error),
        }
    }

    pub(crate) fn count_oneway(&self) {
        self.oneway_written.fetch_add(1, Relaxed);
    }

    pub(crate) fn record_failure(&self, error: &SendError) {
        let counter = match error.delivery() {
            Delivery::NotSent => &self.not_sent,
            Delivery::Rejected => &self.rejected,
            Delivery::Unknown => &self.unknown,
        };
        counter.fetch_add(1, Relaxed);
        let retries = error.attempts().len().saturating_sub(1);
        self.retries.fetch_add(retries as u64, Relaxed);
    }

    pub(crate) fn retries(&self) -> u64 {
        self.retries.load(Relaxed)
    }

    pub(crate) fn outcomes(&self) -> Outcomes {
        Outcomes {
            acked: self.acked.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            not_sent: self.not_sent.load(Relaxed),
            unknown: self.unknown.load(Relaxed),
            oneway_written: self.oneway_written.load(Relaxed),
        }
    }
}
