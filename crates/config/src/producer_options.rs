//! The data of the producer layer's options, made from a resolved configuration.

use std::time::Duration;

use crate::options::ByteSize;
use crate::settings::ProducerConfig;

/// How often and how long one message is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryOptions {
    /// The budget of a whole send, waiting for room and every attempt included. Default 3 s.
    pub send_msg_timeout: Duration,
    /// Attempts beyond the first. Default 2.
    pub retry_times: u32,
    /// Whether a message that was stored with a weaker status than asked for (`FLUSH_DISK_TIMEOUT`,
    /// `FLUSH_SLAVE_TIMEOUT`, `SLAVE_NOT_AVAILABLE`) is sent to another broker as well. Default `false`.
    pub retry_another_broker_when_not_store_ok: bool,
}

/// What a message may measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageLimits {
    /// The largest body. Default 4 MiB.
    pub max_message_size: ByteSize,
    /// The part of the 32767 bytes of encoded properties kept free for the broker's own. Default 512 B.
    pub property_margin: ByteSize,
}

/// How many sends may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdmissionOptions {
    /// The most sends under way at once; a send beyond it waits within its budget. Default 10 000, at least 1.
    pub async_send_semaphore: u32,
}

/// How brokers are told that the producer lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeartbeatOptions {
    /// Time between two heartbeats to a broker. Default 30 s.
    pub heartbeat_broker_interval: Duration,
    /// The longest wait for a heartbeat's answer. Default 3 s.
    pub request_timeout: Duration,
}

impl ProducerConfig {
    /// The retry layer's options.
    #[must_use]
    pub fn retry_options(&self) -> RetryOptions {
        RetryOptions {
            send_msg_timeout: self.send_msg_timeout,
            retry_times: self.retry_times,
            retry_another_broker_when_not_store_ok: self.retry_another_broker_when_not_store_ok,
        }
    }

    /// The bounds that messages are checked against.
    #[must_use]
    pub fn message_limits(&self) -> MessageLimits {
        MessageLimits {
            max_message_size: self.max_message_size,
            property_margin: self.property_margin,
        }
    }

    /// The bounds of what is under way.
    #[must_use]
    pub fn admission_options(&self) -> AdmissionOptions {
        AdmissionOptions {
            async_send_semaphore: self.async_send_semaphore,
        }
    }

    /// The heartbeat's options.
    #[must_use]
    pub fn heartbeat_options(&self) -> HeartbeatOptions {
        HeartbeatOptions {
            heartbeat_broker_interval: self.heartbeat_broker_interval,
            request_timeout: self.request_timeout,
        }
    }
}
