//! [`LocalTransactionState`]: what the local part of a transaction ended with.

use std::fmt;

use crate::config::routing::remoting::protocol::TransactionEnd;

/// What the local part of a transaction ended with (Java: `LocalTransactionState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the protocol has these three")]
pub enum LocalTransactionState {
    /// It is done: consumers are to see the message.
    Commit,
    /// It was undone: nobody is to see the message.
    Rollback,
    /// Not known yet: the broker is to ask again. It does so `transactionCheckMax` times (15 by default), and then gives
    /// the message up.
    Unknown,
}

impl LocalTransactionState {
    /// How it travels.
    pub(crate) const fn end(self) -> TransactionEnd {
        match self {
            Self::Commit => TransactionEnd::Commit,
            Self::Rollback => TransactionEnd::Rollback,
            Self::Unknown => TransactionEnd::Unknown,
        }
    }

    /// What travels as `end`.
    pub(crate) const fn of(end: TransactionEnd) -> Self {
        match end {
            TransactionEnd::Commit => Self::Commit,
            TransactionEnd::Rollback => Self::Rollback,
            _ => Self::Unknown,
        }
    }

    /// Java's name of the state, as it stands in traces.
    #[must_use]
    pub const fn java_name(self) -> &'static str {
        match self {
            Self::Commit => "COMMIT_MESSAGE",
            Self::Rollback => "ROLLBACK_MESSAGE",
            Self::Unknown => "UNKNOW",
        }
    }
}

impl fmt::Display for LocalTransactionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Commit => "commit",
            Self::Rollback => "rollback",
            Self::Unknown => "unknown",
        })
    }
}
