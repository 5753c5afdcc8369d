//! [`LocalTransactionState`]: what the local part of a transaction ended with.

use std::fmt;

/// What the local part of a transaction ended with (Java: `LocalTransactionState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the protocol has these three")]
pub enum LocalTransactionState {
    /// It is done: consumers are to see the message.
    Commit,
    /// It was undone: nobody is to see the message.
    Rollback,
    /// Not known yet: the broker is to ask again.
    Unknown,
}

impl LocalTransactionState {
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
