//! Strings of JSON, escaped as fastjson does.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use bytes::BytesMut;

/// Appends `text` as a string literal.
pub(super) fn put_string(dst: &mut BytesMut, text: &str) {
    dst.extend_from_slice(b"\"");
    put_escaped(dst, text);
    dst.extend_from_slice(b"\"");
}

/// Appends `text` with quotes, backslashes and control characters escaped.
#[inline]
pub(super) fn put_escaped(dst: &mut BytesMut, text: &str) {
    let mut rest = text.as_bytes();
    while let Some(clean) = first_special(rest) {
        let (before, after) = rest.split_at_checked(clean).unwrap_or_default();
        dst.extend_from_slice(before);
        let Some((byte, after)) = after.split_first() else {
            return;
        };
        put_escape(dst, *byte);
        rest = after;
    }
    dst.extend_from_slice(rest);
}

/// Where the first byte is that a string literal cannot hold as it is: quote, backslash or control
/// character. Eight bytes are looked at in one step.
#[inline]
pub(super) fn first_special(bytes: &[u8]) -> Option<usize> {
    /// One in every byte.
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH_BITS: u64 = ONES << 7;
    /// The high bit of each byte below `bound` is set, and of no byte before the first of them.
    const fn below(word: u64, bound: u8) -> u64 {
        word.wrapping_sub(ONES.wrapping_mul(bound as u64)) & !word & HIGH_BITS
    }
    /// The same for each byte equal to `byte`.
    const fn equal(word: u64, byte: u8) -> u64 {
        below(word ^ ONES.wrapping_mul(byte as u64), 1)
    }
    let mut rest = bytes;
    let mut position = 0_usize;
    while let Some((chunk, tail)) = rest.split_first_chunk::<8>() {
        // The first byte becomes the lowest one, where the borrow of the subtraction begins.
        let word = u64::from_le_bytes(*chunk);
        let found = below(word, 0x20) | equal(word, b'"') | equal(word, b'\\');
        if found != 0 {
            let index = usize::try_from(found.trailing_zeros() >> 3).unwrap_or(0);
            return Some(position.saturating_add(index));
        }
        position = position.saturating_add(8);
        rest = tail;
    }
    rest.iter()
        .position(|byte| *byte < 0x20 || *byte == b'"' || *byte == b'\\')
        .map(|index| position.saturating_add(index))
}

fn put_escape(dst: &mut BytesMut, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        _ => {
            let high = b'0' | (byte >> 4);
            let low = match byte & 0xf {
                digit @ 0..=9 => b'0' | digit,
                letter => b'a'.wrapping_sub(10).wrapping_add(letter),
            };
            dst.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            return;
        }
    };
    dst.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::{first_special, put_string};
    use bytes::BytesMut;

    #[test]
    fn every_control_character_reads_back() {
        let text: String = ('\0'..='\u{80}').chain("\u{2028}é😀".chars()).collect();
        let mut dst = BytesMut::new();
        put_string(&mut dst, &text);
        assert_eq!(serde_json::from_slice::<String>(&dst).unwrap(), text);
    }

    #[test]
    fn the_first_special_byte_is_found_wherever_it_lies() {
        for special in [b'"', b'\\', 0, 0x1f] {
            for ordinary in [b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xff] {
                for length in 0..20 {
                    let mut bytes = vec![ordinary; length];
                    assert_eq!(first_special(&bytes), None, "{ordinary} {length}");
                    // A second special byte after the first must not matter.
                    for position in (0..length).rev() {
                        bytes[position] = special;
                        assert_eq!(
                            first_special(&bytes),
                            Some(position),
                            "{ordinary} {special}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn separators_are_escaped_as_java_does() {
        let mut dst = BytesMut::new();
        put_string(&mut dst, "WAIT\u{1}true\u{2}\u{1f}");
        assert_eq!(&dst[..], br#""WAIT\u0001true\u0002\u001f""#);
    }
}
