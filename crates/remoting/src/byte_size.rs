//! [`ByteSize`]: a number of bytes that reads and prints with a unit.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Units that [`ByteSize::from_str`] knows, in lower case, with what each multiplies by.
const UNITS: [(&str, u64); 8] = [
    ("", 1),
    ("b", 1),
    ("kib", KIB),
    ("mib", MIB),
    ("gib", GIB),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
];

/// A number of bytes.
///
/// It is read from text such as `4MiB`, `4 MiB`, `512KiB`, `1kb` or `1024` (bytes); letter case
/// does not matter. `KiB`, `MiB` and `GiB` are powers of 1024; `KB`, `MB` and `GB` are powers of
/// 1000. It prints in the largest power-of-1024 unit that divides it: `4 MiB`, `1000 B`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

impl ByteSize {
    /// A size of `n` bytes.
    #[must_use]
    pub const fn bytes(n: u64) -> Self {
        Self(n)
    }

    /// A size of `n` × 1024 bytes, at most [`u64::MAX`] bytes.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n.saturating_mul(KIB))
    }

    /// A size of `n` × 1024² bytes, at most [`u64::MAX`] bytes.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n.saturating_mul(MIB))
    }

    /// The number of bytes.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The number of bytes, at most [`usize::MAX`].
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, size) in [("GiB", GIB), ("MiB", MIB), ("KiB", KIB)] {
            if self.0 >= size && self.0 % size == 0 {
                return write!(f, "{} {unit}", self.0 / size);
            }
        }
        write!(f, "{} B", self.0)
    }
}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let trimmed = text.trim();
        let digits_end = trimmed
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(trimmed.len());
        let (digits, unit) = trimmed.split_at(digits_end);
        if digits.is_empty() {
            return Err(ByteSizeError::NoNumber(text.to_owned()));
        }
        let unit = unit.trim();
        let Some((_, factor)) = UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        else {
            return Err(ByteSizeError::UnknownUnit {
                text: text.to_owned(),
                unit: unit.to_owned(),
            });
        };
        digits
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(*factor))
            .map(Self)
            .ok_or_else(|| ByteSizeError::TooLarge(text.to_owned()))
    }
}

/// Why a text is no [`ByteSize`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ByteSizeError {
    /// The text does not begin with a whole number.
    #[error("size {0:?} does not begin with a whole number, expected something like 4MiB or 1024")]
    NoNumber(String),
    /// The size does not fit in 64 bits.
    #[error("size {0:?} is more than 2^64 - 1 bytes")]
    TooLarge(String),
    /// The unit is unknown.
    #[error("size {text:?} has the unknown unit {unit:?}, expected B, KiB, MiB, GiB, KB, MB or GB")]
    UnknownUnit {
        /// The whole text.
        text: String,
        /// The part after the number.
        unit: String,
    },
}

#[cfg(test)]
mod tests {
    use super::{ByteSize, ByteSizeError};

    #[test]
    fn reads_every_documented_form() {
        for (text, bytes) in [
            ("4MiB", 4 << 20),
            ("4 MiB", 4 << 20),
            (" 512kib ", 512 << 10),
            ("1024", 1024),
            ("1024 B", 1024),
            ("1KB", 1000),
            ("2 gb", 2_000_000_000),
            ("1GiB", 1 << 30),
            ("0", 0),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize::bytes(bytes)), "{text}");
        }
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        assert!(matches!(
            "".parse::<ByteSize>(),
            Err(ByteSizeError::NoNumber(_))
        ));
        assert!(matches!(
            "-1".parse::<ByteSize>(),
            Err(ByteSizeError::NoNumber(_))
        ));
        assert!(matches!(
            "MiB".parse::<ByteSize>(),
            Err(ByteSizeError::NoNumber(_))
        ));
        assert!(matches!(
            "4M".parse::<ByteSize>(),
            Err(ByteSizeError::UnknownUnit { .. })
        ));
        assert!(matches!(
            "4.5MiB".parse::<ByteSize>(),
            Err(ByteSizeError::UnknownUnit { .. })
        ));
        assert!(matches!(
            "18446744073709551616".parse::<ByteSize>(),
            Err(ByteSizeError::TooLarge(_))
        ));
        assert!(matches!(
            "18446744073709551615KiB".parse::<ByteSize>(),
            Err(ByteSizeError::TooLarge(_))
        ));
    }

    #[test]
    fn prints_the_largest_exact_unit_and_reads_it_back() {
        for (size, text) in [
            (ByteSize::mib(4), "4 MiB"),
            (ByteSize::kib(5), "5 KiB"),
            (ByteSize::bytes(1000), "1000 B"),
            (ByteSize::bytes(0), "0 B"),
            (ByteSize::mib(2048), "2 GiB"),
        ] {
            assert_eq!(size.to_string(), text);
            assert_eq!(text.parse(), Ok(size));
        }
    }
}
