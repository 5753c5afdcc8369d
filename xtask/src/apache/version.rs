//! The versions of Apache RocketMQ that the project is judged against.

use std::fmt;
use std::str::FromStr;

use anyhow::{Error, bail};

/// A version of Apache RocketMQ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(
    clippy::exhaustive_enums,
    reason = "tests match on every version on purpose"
)]
pub enum Version {
    /// 4.9.7, the last of the 4.x line.
    V4_9_7,
    /// 5.1.4.
    V5_1_4,
    /// 5.5.0.
    V5_5_0,
}

impl Version {
    /// Every version, oldest first.
    pub const ALL: [Self; 3] = [Self::V4_9_7, Self::V5_1_4, Self::V5_5_0];

    /// The version as Maven writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V4_9_7 => "4.9.7",
            Self::V5_1_4 => "5.1.4",
            Self::V5_5_0 => "5.5.0",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Version {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match Self::ALL.into_iter().find(|v| v.as_str() == text) {
            Some(version) => Ok(version),
            None => bail!("unknown version {text:?}: one of 4.9.7, 5.1.4, 5.5.0"),
        }
    }
}
