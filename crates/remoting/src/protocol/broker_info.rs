//! [`BrokerInfo`]: what a broker says about itself.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::lenient;
use super::route::{RouteParseError, parse_tolerant};

/// The answer to `GET_BROKER_RUNTIME_INFO`, a request without fields. Java: `KVTable`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct BrokerInfo {
    /// All that it says, by name.
    #[serde(deserialize_with = "lenient::or_default")]
    pub table: BTreeMap<String, Option<String>>,
}

impl BrokerInfo {
    /// Reads the body of an answer, in either form of JSON.
    ///
    /// # Errors
    /// When the bytes are no such body.
    pub fn parse(body: &[u8]) -> Result<Self, RouteParseError> {
        parse_tolerant(body)
    }

    /// What it says under a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.table.get(name)?.as_deref()
    }

    /// The broker's version, such as `V5_5_0`.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.get("brokerVersionDesc")
    }

    /// The broker's clock when it answered, in milliseconds since 1970, up to a second late.
    ///
    /// It does not tell its time as such, only when it was started and how long ago that is in whole seconds. Java:
    /// `StoreStatsService.getRuntimeInfo`.
    #[must_use]
    pub fn clock(&self) -> Option<i64> {
        let booted: i64 = self.get("bootTimestamp")?.parse().ok()?;
        let runtime = seconds(self.get("runtime")?)?;
        booted.checked_add(runtime.checked_mul(1000)?)
    }
}

/// The seconds of `[ 1 days, 2 hours, 3 minutes, 4 seconds ]`; thousands may be grouped, by whatever sign.
fn seconds(text: &str) -> Option<i64> {
    let text = text.trim().strip_prefix('[')?.strip_suffix(']')?.trim();
    let mut total: i64 = 0;
    for part in text.split(", ") {
        let (number, unit) = part.trim().rsplit_once(' ')?;
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        let factor: i64 = match unit {
            "days" => 86_400,
            "hours" => 3600,
            "minutes" => 60,
            "seconds" => 1,
            _ => return None,
        };
        total = total.checked_add(digits.parse::<i64>().ok()?.checked_mul(factor)?)?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::{BrokerInfo, seconds};

    #[test]
    fn version_and_clock_are_read() {
        let body = br#"{"table":{"bootTimestamp":"1000000","runtime":"[ 1 days, 0 hours, 2 minutes, 48 seconds ]","brokerVersionDesc":"V5_5_0","putMessageDistributeTime":null}}"#;
        let info = BrokerInfo::parse(body).unwrap();
        assert_eq!(info.version(), Some("V5_5_0"));
        assert_eq!(info.clock(), Some(1_000_000 + (86_400 + 120 + 48) * 1000));
        assert_eq!(info.get("putMessageDistributeTime"), None);
    }

    #[test]
    fn a_runtime_in_another_form_is_no_clock() {
        assert_eq!(
            seconds("[ 1,234 days, 0 hours, 0 minutes, 1 seconds ]"),
            Some(106_617_601)
        );
        for wrong in [
            "",
            "[]",
            "3 seconds",
            "[ x seconds ]",
            "[ 1 weeks ]",
            "[ 99999999999999999 days ]",
        ] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
