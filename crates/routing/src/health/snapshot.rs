//! A health record as it was at one moment.

use std::{fmt, sync::Arc, time::Duration};

use rocketmq_producer_remoting::Connectivity;
use tokio::time::Instant;

use super::BrokerState;

/// Why a broker is in its condition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HealthCause {
    /// What its connection told.
    Connectivity(Connectivity),
    /// So many failures in a row.
    Failures(u32),
    /// Nothing has changed since the record was made.
    Initial,
    /// An operator's call.
    Operator,
    /// So many successes in a row.
    Successes(u32),
}

impl fmt::Display for HealthCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connectivity(connectivity) => write!(f, "connection {connectivity}"),
            Self::Failures(run) => write!(f, "{run} failures in a row"),
            Self::Initial => f.write_str("nothing reported against it"),
            Self::Operator => f.write_str("set by the operator"),
            Self::Successes(run) => write!(f, "{run} successes in a row"),
        }
    }
}

/// The health record of a broker at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BrokerHealthInfo {
    /// The broker's name.
    pub broker_name: Arc<str>,
    /// The address the record is about.
    pub address: Arc<str>,
    /// The state.
    pub state: BrokerState,
    /// Since when it is in that state.
    pub since: Instant,
    /// What put it there.
    pub cause: HealthCause,
    /// What its connection tells. One that is suspect is avoided whatever the state.
    pub connectivity: Connectivity,
    /// Since when the connection tells that.
    pub connectivity_since: Instant,
    /// Text of the last failure that was counted.
    pub last_error: Option<Arc<str>>,
    /// Whether routing uses it without being forced to.
    pub is_available: bool,
    /// Share of successes among the last outcomes; 1 while nothing is known.
    pub success_rate: f64,
    /// Mean latency of the successes among the last outcomes.
    pub avg_latency: Option<Duration>,
    /// The latency that half of the successes among the last outcomes stayed within.
    pub latency_p50: Option<Duration>,
    /// The latency that 99 in 100 of the successes among the last outcomes stayed
    /// within; the longest while there are fewer.
    pub latency_p99: Option<Duration>,
    /// Latency with the weight on the latest; it falls while the broker is unused.
    pub smoothed_latency: Option<Duration>,
    /// Sends under way at the broker.
    pub in_flight: usize,
    /// Bytes of messages under way at the broker.
    pub in_flight_bytes: u64,
    /// How many outcomes success rate, average and percentiles are taken over.
    pub window_len: usize,
    /// Successes since the record was made.
    pub success_count: u64,
    /// Failures since the record was made.
    pub failure_count: u64,
    /// Reports left out because their incident was counted already.
    pub coalesced_count: u64,
    /// Failures in a row.
    pub consecutive_failures: u32,
    /// Successes in a row.
    pub consecutive_successes: u32,
    /// Messages that were routed to it.
    pub routed_count: u64,
    /// When a message may next try out an avoided broker. None may while the connection
    /// is suspect: the connection is tried out then.
    pub next_probe: Option<Instant>,
}

impl BrokerHealthInfo {
    /// Successes and failures together.
    #[must_use]
    pub fn total_requests(&self) -> u64 {
        self.success_count.saturating_add(self.failure_count)
    }
}
