//! Counters of connections, summed over a pool.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What connections have done since their pool was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkStats {
    /// Dials that have ended, well or not.
    pub dials: u64,
    /// Dials that failed.
    pub failed_dials: u64,
    /// Connections that ended, for whatever reason.
    pub closed_connections: u64,
    /// Bytes taken by the operating system.
    pub bytes_written: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Write calls; frames per call tell how well writes coalesce.
    pub writes: u64,
    /// Frames read.
    pub frames_read: u64,
    /// Requests that reached their deadline.
    pub timeouts: u64,
    /// Answers that no request waited for: late, duplicate, or with an unknown number.
    pub unmatched_responses: u64,
    /// Requests that servers sent.
    pub server_requests: u64,
    /// Times a server said GO_AWAY.
    pub go_aways: u64,
    /// Times a peer left requests without any answer for longer than the silence limit.
    pub silences: u64,
    /// Silent connections that gave way to a new one.
    pub replaced_connections: u64,
}

macro_rules! counters {
    ($($name:ident),+) => {
        /// The counters behind [`NetworkStats`].
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: AtomicU64,)+
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> NetworkStats {
                NetworkStats { $($name: self.$name.load(Relaxed),)+ }
            }
        }
    };
}

counters!(
    dials,
    failed_dials,
    closed_connections,
    bytes_written,
    bytes_read,
    writes,
    frames_read,
    timeouts,
    unmatched_responses,
    server_requests,
    go_aways,
    silences,
    replaced_connections
);

/// Adds to a counter.
pub(crate) fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Relaxed);
}
