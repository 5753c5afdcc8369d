//! Durations as text: `3s`, `500ms`, `1m30s`; what is printed always reads back as the same value.

use std::fmt::Write as _;
use std::time::Duration;

use thiserror::Error;

/// Units from large to small, with their length in nanoseconds; the first name of a length is the one printed.
const UNITS: [(&str, u128); 8] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("min", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DurationError {
    /// Nothing but white space.
    #[error("a duration is missing, such as \"3s\" or \"500ms\"")]
    Blank,
    /// A number alone: seconds and milliseconds are confused too easily to guess.
    #[error("a duration needs a unit: write \"{number}ms\" or \"{number}s\"")]
    NoUnit {
        /// The number as given.
        number: String,
    },
    /// A unit that does not exist here.
    #[error("unknown unit \"{unit}\": the units are d, h, m, s, ms, us, ns")]
    UnknownUnit {
        /// The unit as given.
        unit: String,
    },
    /// Units repeated or from small to large, such as `5s1m`.
    #[error("units go from large to small, each once, such as \"1m30s\"")]
    UnitOrder,
    /// Anything else, fractions and signs included.
    #[error("not a duration: whole numbers with units, such as \"3s\", \"500ms\" or \"1m30s\"")]
    Malformed,
    /// More than a `Duration` holds.
    #[error("the duration is too long")]
    TooLong,
}

/// Reads a duration: whole numbers with the units `d`, `h`, `m` (or `min`), `s`, `ms`, `us`, `ns`, from large to small,
/// each at most once, optionally with spaces between: `3s`, `500ms`, `1m30s`, `1h 5m`.
///
/// # Errors
/// [`DurationError`] says what is wrong; a number without a unit is refused.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(DurationError::Blank);
    }
    let mut total: u128 = 0;
    let mut previous = u128::MAX;
    while !rest.is_empty() {
        let digits_end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (digits, tail) = rest.split_at(digits_end);
        if digits.is_empty() {
            return Err(DurationError::Malformed);
        }
        let tail = tail.trim_start();
        let unit_end = tail
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        if unit.is_empty() {
            return Err(if tail.is_empty() && digits == text.trim() {
                DurationError::NoUnit {
                    number: digits.to_owned(),
                }
            } else {
                DurationError::Malformed
            });
        }
        let Some(&(_, nanos)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(DurationError::UnknownUnit {
                unit: unit.to_owned(),
            });
        };
        if nanos >= previous {
            return Err(DurationError::UnitOrder);
        }
        previous = nanos;
        total = digits
            .parse::<u128>()
            .ok()
            .and_then(|number| number.checked_mul(nanos))
            .and_then(|piece| total.checked_add(piece))
            .ok_or(DurationError::TooLong)?;
        rest = tail.trim_start();
    }
    let seconds = u64::try_from(total / 1_000_000_000).map_err(|_| DurationError::TooLong)?;
    let nanos = u32::try_from(total % 1_000_000_000).map_err(|_| DurationError::TooLong)?;
    Ok(Duration::new(seconds, nanos))
}

/// Writes a duration with the largest units first: `3s`, `1m30s`, `0s`. [`parse_duration`] reads it back exactly.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut rest = duration.as_nanos();
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, nanos) in UNITS {
        let count = rest / nanos;
        if count > 0 {
            // Writing into a String cannot fail.
            let _ = write!(text, "{count}{unit}");
            rest %= nanos;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn usual_forms_are_read() {
        for (text, expected) in [
            ("3s", Duration::from_secs(3)),
            (" 500ms ", Duration::from_millis(500)),
            ("1m30s", Duration::from_secs(90)),
            ("1h 5min", Duration::from_secs(3900)),
            ("10 min", Duration::from_secs(600)),
            ("2d", Duration::from_secs(172_800)),
            ("7us3ns", Duration::from_nanos(7003)),
            ("0s", Duration::ZERO),
            ("1500ms", Duration::from_millis(1500)),
        ] {
            assert_eq!(parse_duration(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn each_wrong_form_says_what_is_wrong() {
        for (text, expected) in [
            ("", "a duration is missing, such as \"3s\" or \"500ms\""),
            (
                "3000",
                "a duration needs a unit: write \"3000ms\" or \"3000s\"",
            ),
            (
                "3sec",
                "unknown unit \"sec\": the units are d, h, m, s, ms, us, ns",
            ),
            (
                "3S",
                "unknown unit \"S\": the units are d, h, m, s, ms, us, ns",
            ),
            (
                "5s1m",
                "units go from large to small, each once, such as \"1m30s\"",
            ),
            (
                "1s1s",
                "units go from large to small, each once, such as \"1m30s\"",
            ),
            (
                "1m1min",
                "units go from large to small, each once, such as \"1m30s\"",
            ),
            (
                "1.5s",
                "not a duration: whole numbers with units, such as \"3s\", \"500ms\" or \"1m30s\"",
            ),
            (
                "-1s",
                "not a duration: whole numbers with units, such as \"3s\", \"500ms\" or \"1m30s\"",
            ),
            (
                "1m30",
                "not a duration: whole numbers with units, such as \"3s\", \"500ms\" or \"1m30s\"",
            ),
            ("99999999999999999999999d", "the duration is too long"),
            (
                "999999999999999999999999999999999999999999999s",
                "the duration is too long",
            ),
        ] {
            let error = parse_duration(text).expect_err(text);
            assert_eq!(error.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn printed_forms_are_the_short_ones() {
        assert_eq!(format_duration(Duration::from_secs(3)), "3s");
        assert_eq!(format_duration(Duration::from_millis(90_500)), "1m30s500ms");
        assert_eq!(format_duration(Duration::from_secs(600)), "10m");
        assert_eq!(format_duration(Duration::ZERO), "0s");
    }

    proptest! {
        #[test]
        fn printed_durations_read_back_equal(seconds in any::<u64>(), nanos in 0u32..1_000_000_000) {
            let duration = Duration::new(seconds, nanos);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = parse_duration(&text);
        }
    }
}
