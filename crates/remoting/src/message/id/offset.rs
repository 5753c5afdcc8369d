//! [`OffsetMessageId`]: the id that a broker gives to a stored message.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;

/// Where a broker stored a message: its address and the offset in its commit log.
///
/// As text it has 32 upper-case hexadecimal digits (IPv4) or 56 (IPv6); both letter cases are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct OffsetMessageId {
    /// Address that the broker stores for itself.
    pub address: SocketAddr,
    /// Offset in the broker's commit log.
    pub offset: i64,
}

impl OffsetMessageId {
    /// The id of the message at `offset` in the commit log of the broker at `address`.
    #[must_use]
    pub const fn new(address: SocketAddr, offset: i64) -> Self {
        Self { address, offset }
    }
}

impl fmt::Display for OffsetMessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address.ip() {
            IpAddr::V4(ip) => write!(f, "{:08X}", ip.to_bits())?,
            IpAddr::V6(ip) => write!(f, "{:032X}", ip.to_bits())?,
        }
        write!(f, "{:08X}{:016X}", self.address.port(), self.offset)
    }
}

impl OffsetMessageId {
    /// The id of an IPv4 broker by the quick way, any other by the long one.
    pub(crate) fn from_digits(digits: &[u8]) -> Option<Self> {
        let Some((ip, rest)) = digits.split_first_chunk::<8>() else {
            return Self::read(digits).ok();
        };
        match rest.split_first_chunk::<8>() {
            Some((port, offset)) if offset.len() == 16 => {
                let (high, low) = offset.split_first_chunk::<8>()?;
                let ip = Ipv4Addr::from_bits(eight_digits(*ip)?);
                let port = u16::try_from(eight_digits(*port)?).ok()?;
                let high = eight_digits(*high)?;
                let low = eight_digits(*low.first_chunk()?)?;
                let offset = (u64::from(high) << 32) | u64::from(low);
                let address = SocketAddr::new(IpAddr::V4(ip), port);
                Some(Self::new(address, i64::from_be_bytes(offset.to_be_bytes())))
            }
            _ => Self::read(digits).ok(),
        }
    }

    fn read(digits: &[u8]) -> Result<Self, OffsetMessageIdError> {
        let ip_digits = match digits.len() {
            32 => 8,
            56 => 32,
            length => return Err(OffsetMessageIdError::Length { length }),
        };
        let (ip, rest) = digits.split_at_checked(ip_digits).unwrap_or_default();
        let (port, offset) = rest.split_at_checked(8).unwrap_or_default();
        let ip = number(ip)?;
        let ip = match u32::try_from(ip) {
            Ok(bits) if ip_digits == 8 => IpAddr::V4(Ipv4Addr::from_bits(bits)),
            _ => IpAddr::V6(Ipv6Addr::from_bits(ip)),
        };
        let port = number(port)?;
        let port = u16::try_from(port).map_err(|_| OffsetMessageIdError::Port)?;
        // 16 digits are 64 bits; Java's long is signed.
        let offset = u64::try_from(number(offset)?).unwrap_or(u64::MAX);
        Ok(Self::new(
            SocketAddr::new(ip, port),
            i64::from_be_bytes(offset.to_be_bytes()),
        ))
    }
}

impl FromStr for OffsetMessageId {
    type Err = OffsetMessageIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.as_bytes();
        Self::from_digits(digits).map_or_else(|| Self::read(digits), Ok)
    }
}

/// The number that eight hexadecimal digits stand for, all of them looked at in one step.
fn eight_digits(digits: [u8; 8]) -> Option<u32> {
    /// One in every byte.
    const ONES: u64 = u64::MAX / 0xff;
    let word = u64::from_be_bytes(digits);
    // Letters have bit 6, digits do not; the low four bits of a letter count from 1.
    let letters = (word >> 6) & ONES;
    let values = (word & (ONES * 0xf)).wrapping_add(letters.wrapping_mul(9));
    if values & (ONES * 0xf0) != 0 {
        return None;
    }
    // One in each byte above 9. Written back as lower case digits the values must give the text.
    let high = (values.wrapping_add(ONES * 6) >> 4) & ONES;
    let text = values
        .wrapping_add(ONES * 0x30)
        .wrapping_add(high.wrapping_mul(39));
    if text != word | (high << 5) {
        return None;
    }
    let pairs = (values | (values >> 4)) & 0x00ff_00ff_00ff_00ff;
    let quads = (pairs | (pairs >> 8)) & 0x0000_ffff_0000_ffff;
    u32::try_from((quads | (quads >> 16)) & 0xffff_ffff).ok()
}

/// The number that at most 32 hexadecimal digits stand for.
fn number(digits: &[u8]) -> Result<u128, OffsetMessageIdError> {
    digits.iter().try_fold(0_u128, |value, digit| {
        let digit = char::from(*digit)
            .to_digit(16)
            .ok_or(OffsetMessageIdError::Digit)?;
        Ok((value << 4) | u128::from(digit))
    })
}

/// Why a text is no [`OffsetMessageId`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OffsetMessageIdError {
    /// A character is no hexadecimal digit.
    #[error("an offset message id consists of hexadecimal digits only")]
    Digit,
    /// The length is neither 32 nor 56.
    #[error("an offset message id has 32 or 56 digits, this one {length}")]
    Length {
        /// Length of the text in bytes.
        length: usize,
    },
    /// The port is above 65535.
    #[error("the port in an offset message id is above 65535")]
    Port,
}

#[cfg(test)]
mod tests {
    use super::{OffsetMessageId, OffsetMessageIdError};

    #[test]
    fn the_quick_way_reads_what_the_long_one_reads_and_nothing_else() {
        for text in [
            "7F00000100002A9F0000000000002329",
            "7f0000ffabcdef0198765432fedcba90",
        ] {
            for place in 0..text.len() {
                for byte in 0..=u8::MAX {
                    let mut digits = text.as_bytes().to_vec();
                    digits[place] = byte;
                    let read = OffsetMessageId::read(&digits).ok();
                    assert_eq!(OffsetMessageId::from_digits(&digits), read, "{digits:?}");
                }
            }
        }
        for digits in [
            "",
            "7F0000",
            "00000000000000000000000000000001000000000000000000000007",
        ] {
            let read = digits.parse().ok();
            assert_eq!(OffsetMessageId::from_digits(digits.as_bytes()), read);
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let parse = |text: &str| text.parse::<OffsetMessageId>().unwrap_err();
        assert_eq!(parse(""), OffsetMessageIdError::Length { length: 0 });
        assert_eq!(
            parse(&"0".repeat(33)),
            OffsetMessageIdError::Length { length: 33 }
        );
        assert_eq!(
            parse("ZZ9A002600002A9F0000000000002329"),
            OffsetMessageIdError::Digit
        );
        assert_eq!(
            parse("+F00000100002A9F0000000000002329"),
            OffsetMessageIdError::Digit
        );
        assert_eq!(
            parse("7F00000100012A9F0000000000002329"),
            OffsetMessageIdError::Port
        );
    }
}
