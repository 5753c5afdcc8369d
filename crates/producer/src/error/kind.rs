//! What kind of failure decided an outcome.

use std::fmt;

/// The kind of a [`SendError`](super::SendError): the decisive attempt's cause, told apart without
/// reading text. [`code`](Self::code) gives the number of the matching pyrocketmq error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The broker could not be reached, or the connection to it was lost (pyrocketmq:
    /// `BrokerNotAvailableError`).
    BrokerNotAvailable,
    /// A blocking call was made where it cannot work (`ProducerStateError`).
    Blocking,
    /// The body could not be compressed (`CompressionError`).
    Compression,
    /// A hook did not let the message pass (`MessageSendError`).
    Hook,
    /// The outcome of an earlier message of the same key or queue is unknown, and order is asked for
    /// (`QueueNotAvailableError`).
    LaneStopped,
    /// A broker refused to store the message (`MessageSendError`).
    MessageSend,
    /// The message breaks a rule; nothing was sent (`MessageValidationError`).
    MessageValidation,
    /// No name server gave a usable answer (`NameServerError`).
    NameServer,
    /// The producer is not started, is shutting down, or is shut down (`ProducerStateError`).
    NotRunning,
    /// As many sends as allowed are under way, in all, at the message's broker or of its key, and none ended before the
    /// deadline (`TimeoutError`).
    QueueFull,
    /// The topic has no queue that can be written to, or not the one asked for
    /// (`QueueNotAvailableError`).
    QueueNotAvailable,
    /// Attempts failed with different causes (`RetryExhaustedError`).
    RetryExhausted,
    /// The name servers know no such topic (`RouteNotFoundError`).
    RouteNotFound,
    /// A route came that cannot be read (`RouteUpdateError`).
    RouteUpdate,
    /// An answer cannot be read, or the request does not fit a frame (`SerializationError`).
    Serialization,
    /// The producer was shut down before the send had its outcome (`ProducerShutdownError`).
    Shutdown,
    /// No answer came before the deadline (`TimeoutError`).
    Timeout,
}

impl ErrorKind {
    /// The number of the matching pyrocketmq error.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::Shutdown => 1002,
            Self::Blocking | Self::NotRunning => 1003,
            Self::Hook | Self::MessageSend => 2001,
            Self::MessageValidation => 2002,
            Self::RouteNotFound => 3001,
            Self::BrokerNotAvailable => 3002,
            Self::LaneStopped | Self::QueueNotAvailable => 3003,
            Self::RouteUpdate => 3004,
            Self::NameServer => 4001,
            Self::QueueFull | Self::Timeout => 5002,
            Self::RetryExhausted => 5003,
            Self::Compression => 6001,
            Self::Serialization => 6002,
        }
    }

    const fn describe(self) -> &'static str {
        match self {
            Self::Blocking => "blocking call where it cannot work",
            Self::BrokerNotAvailable => "broker not available",
            Self::Compression => "body cannot be compressed",
            Self::Hook => "a hook stands in the way",
            Self::LaneStopped => "an earlier message of its key or queue is in doubt",
            Self::MessageSend => "broker refused the message",
            Self::MessageValidation => "invalid message",
            Self::NameServer => "no name server gave an answer",
            Self::NotRunning => "producer is not running",
            Self::QueueFull => "too many sends under way",
            Self::QueueNotAvailable => "no queue available",
            Self::RetryExhausted => "all attempts failed, for different reasons",
            Self::RouteNotFound => "no such topic",
            Self::RouteUpdate => "unreadable route",
            Self::Serialization => "unreadable answer or oversized request",
            Self::Shutdown => "producer was shut down meanwhile",
            Self::Timeout => "no answer before the deadline",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.describe())
    }
}
