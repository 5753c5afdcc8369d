//! Whether an address can be reached, as far as its connection tells.

/// What the connection of an address tells about it, without any request's outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Connectivity {
    /// There is no connection, and no reason to doubt that one could be opened.
    #[default]
    Idle,
    /// A connection is open and its peer answers, or was not asked yet.
    Live,
    /// Requests sent there now would probably wait in vain.
    Suspect(SuspectCause),
}

/// Why an address is suspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SuspectCause {
    /// The last dial failed, or its connection ended before the peer answered anything. Cleared by
    /// a dial that succeeds, in the second case by the first answer.
    DialFailed,
    /// There is no connection, and a dial has had no answer within the silence limit. It goes on.
    DialSlow,
    /// The server said GO_AWAY. Cleared by the first answer on a new connection.
    Leaving,
    /// A request has waited longer than the silence limit and no answer has come since. Cleared by
    /// the first answer.
    Silent,
}

impl Connectivity {
    /// Whether it is [`Suspect`](Self::Suspect).
    #[must_use]
    pub const fn is_suspect(self) -> bool {
        matches!(self, Self::Suspect(_))
    }

    /// A number for an atomic.
    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::Idle => 0,
            Self::Live => 1,
            Self::Suspect(SuspectCause::DialFailed) => 2,
            Self::Suspect(SuspectCause::DialSlow) => 3,
            Self::Suspect(SuspectCause::Leaving) => 4,
            Self::Suspect(SuspectCause::Silent) => 5,
        }
    }

    /// Undoes [`to_byte`](Self::to_byte).
    pub(crate) const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Live,
            2 => Self::Suspect(SuspectCause::DialFailed),
            3 => Self::Suspect(SuspectCause::DialSlow),
            4 => Self::Suspect(SuspectCause::Leaving),
            5 => Self::Suspect(SuspectCause::Silent),
            _ => Self::Idle,
        }
    }
}

impl std::fmt::Display for Connectivity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Idle => f.write_str("idle"),
            Self::Live => f.write_str("live"),
            Self::Suspect(cause) => write!(f, "suspect ({cause})"),
        }
    }
}

impl std::fmt::Display for SuspectCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::DialFailed => "dial failed",
            Self::DialSlow => "dial unanswered",
            Self::Leaving => "leaving",
            Self::Silent => "silent",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_values_belong_together() {
        for byte in 0..6 {
            assert_eq!(Connectivity::from_byte(byte).to_byte(), byte);
        }
    }
}
