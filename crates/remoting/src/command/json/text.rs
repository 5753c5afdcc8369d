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
    while let Some(clean) = rest.iter().position(|byte| needs_escape(*byte)) {
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

const fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
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
    use super::put_string;
    use bytes::BytesMut;

    #[test]
    fn every_control_character_reads_back() {
        let text: String = ('\0'..='\u{80}').chain("\u{2028}é😀".chars()).collect();
        let mut dst = BytesMut::new();
        put_string(&mut dst, &text);
        assert_eq!(serde_json::from_slice::<String>(&dst).unwrap(), text);
    }

    #[test]
    fn separators_are_escaped_as_java_does() {
        let mut dst = BytesMut::new();
        put_string(&mut dst, "WAIT\u{1}true\u{2}\u{1f}");
        assert_eq!(&dst[..], br#""WAIT\u0001true\u0002\u001f""#);
    }
}
