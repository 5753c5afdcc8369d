//! The data of the producer's own options: what may be repeated, what is sent in order, and how batches are cut.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::options::{ResponseClass, ResponseCode};
use crate::value::{Choice, Refusal, SettingKind, SettingValue};

/// Which attempts may be repeated within one send.
///
/// Attempts that certainly stored nothing are repeated with either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum DeliveryGuarantee {
    /// Also those whose outcome is unknown: nothing is lost that a retry can save, and a message may be stored twice.
    #[default]
    AtLeastOnce,
    /// Only those that certainly stored nothing: no message is stored twice, and one whose outcome is unknown is not
    /// sent again.
    AtMostOnce,
}

impl Choice for DeliveryGuarantee {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("at_least_once", Self::AtLeastOnce),
        ("at_most_once", Self::AtMostOnce),
    ];
}

/// Which messages are sent one after the other, also when their sends run at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Ordered {
    /// None: order holds for sends that the caller awaits one after the other.
    #[default]
    None,
    /// Those of one topic and sharding key.
    Key,
    /// Those of one queue, as far as a sharding key, a selector or the call chose it.
    Queue,
}

impl Choice for Ordered {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("none", Self::None),
        ("key", Self::Key),
        ("queue", Self::Queue),
    ];
}

/// What happens to ordered messages after one whose outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OrderedOnUnknown {
    /// Those of its key or queue go on.
    Continue,
    /// Those of its key or queue are refused until the program resumes them.
    #[default]
    Stop,
}

impl Choice for OrderedOnUnknown {
    const NAMES: &'static [(&'static str, Self)] =
        &[("stop", Self::Stop), ("continue", Self::Continue)];
}

/// What ends a batch, so that the next message begins another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum BatchSplit {
    /// Its encoded size, `batch_max_bytes`. `batch_size` bounds automatic batches only.
    #[default]
    BySize,
    /// Its number of messages, `batch_size`, or its encoded size, whichever comes first.
    ByCount,
}

impl Choice for BatchSplit {
    const NAMES: &'static [(&'static str, Self)] =
        &[("by_size", Self::BySize), ("by_count", Self::ByCount)];
}

/// What happens to a transaction whose half message got a receipt that promises less than was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum WeakHalf {
    /// It is rolled back, and the caller is told; the local step does not run.
    #[default]
    Rollback,
    /// The local step runs, and is told of the receipt.
    Proceed,
}

impl Choice for WeakHalf {
    const NAMES: &'static [(&'static str, Self)] =
        &[("rollback", Self::Rollback), ("proceed", Self::Proceed)];
}

/// Response codes after which another broker is tried although the code alone would end the send (Java:
/// `retryResponseCodes`).
///
/// ```
/// use rocketmq_producer_config::RetryResponseCodes;
///
/// let codes: RetryResponseCodes = "215, 3".parse()?;
/// assert_eq!(codes.to_string(), "3,215");
/// # Ok::<(), rocketmq_producer_config::InvalidResponseCodes>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct RetryResponseCodes {
    /// Sorted, each once.
    codes: Vec<ResponseCode>,
}

impl RetryResponseCodes {
    /// The most codes that may be given.
    pub const MAX: usize = 64;

    /// The codes, sorted.
    #[must_use]
    pub fn as_slice(&self) -> &[ResponseCode] {
        &self.codes
    }

    /// Whether `code` is one of them.
    #[must_use]
    pub fn contains(&self, code: ResponseCode) -> bool {
        self.codes.contains(&code)
    }
}

impl fmt::Display for RetryResponseCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, code) in self.codes.iter().enumerate() {
            let separator = if index > 0 { "," } else { "" };
            write!(f, "{separator}{}", code.0)?;
        }
        Ok(())
    }
}

/// A text that is no list of response codes to try again after.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidResponseCodes {
    /// A part of it is no response code.
    #[error("{0:?} is not a response code")]
    NotACode(String),
    /// A part of it is the code of a receipt.
    #[error("code {0} is a receipt: the message is stored")]
    Receipt(i32),
    /// There are more than [`RetryResponseCodes::MAX`].
    #[error("more than {} codes", RetryResponseCodes::MAX)]
    TooMany,
}

impl FromStr for RetryResponseCodes {
    type Err = InvalidResponseCodes;

    /// Reads codes separated by commas; a blank text is none.
    fn from_str(text: &str) -> Result<Self, InvalidResponseCodes> {
        let mut codes = Vec::new();
        if text.trim().is_empty() {
            return Ok(Self { codes });
        }
        for part in text.split(',') {
            let part = part.trim();
            let code = part
                .parse::<i32>()
                .ok()
                .filter(|code| *code >= 0)
                .ok_or_else(|| InvalidResponseCodes::NotACode(part.to_owned()))?;
            if ResponseClass::of(ResponseCode(code), None).is_receipt() {
                return Err(InvalidResponseCodes::Receipt(code));
            }
            codes.push(ResponseCode(code));
        }
        codes.sort_unstable_by_key(|code| code.0);
        codes.dedup();
        if codes.len() > Self::MAX {
            return Err(InvalidResponseCodes::TooMany);
        }
        Ok(Self { codes })
    }
}

impl SettingValue for RetryResponseCodes {
    type Limits = ();
    const KIND: SettingKind = SettingKind::Text;
    const REQUIRED: bool = false;

    fn parse(text: &str, _limits: &()) -> Result<Self, Refusal> {
        text.parse::<Self>()
            .map_err(|error| Refusal::invalid(error.to_string()))
    }

    fn render(&self) -> Option<String> {
        (!self.codes.is_empty()).then(|| self.to_string())
    }

    fn unset() -> Option<Self> {
        Some(Self::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_in_any_order_and_print_back() {
        let codes: RetryResponseCodes = " 215,3 , 215".parse().expect("codes");
        assert_eq!(codes.to_string(), "3,215");
        assert_eq!(codes.to_string().parse(), Ok(codes.clone()));
        assert!(codes.contains(ResponseCode(215)) && !codes.contains(ResponseCode(1)));
        assert_eq!("  ".parse(), Ok(RetryResponseCodes::default()));
    }

    #[test]
    fn receipts_and_what_is_no_code_are_refused() {
        for text in [
            "0",
            "10",
            "11",
            "12",
            "-1",
            "x",
            "1,,2",
            "1.5",
            "99999999999",
        ] {
            assert!(text.parse::<RetryResponseCodes>().is_err(), "{text}");
        }
        let many: Vec<_> = (1000..1065).map(|code: i32| code.to_string()).collect();
        assert!(many.join(",").parse::<RetryResponseCodes>().is_err());
    }
}
