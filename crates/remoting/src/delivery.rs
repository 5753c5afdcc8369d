//! What is known about a message whose send did not end in a receipt.

use std::fmt;

/// Whether a message that got no receipt may have been stored.
///
/// The three cases are exhaustive on purpose: callers decide on them, and a fourth would be a
/// change of contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the contract names exactly these three cases"
)]
pub enum Delivery {
    /// Not a byte of the request left this process: the message is certainly not stored.
    NotSent,
    /// A broker answered that it did not store the message.
    Rejected,
    /// Some byte may have left and no decisive answer came: the message may be stored.
    Unknown,
}

impl Delivery {
    /// The name used in logs and ledgers: `not_sent`, `rejected` or `unknown`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
