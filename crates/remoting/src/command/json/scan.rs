//! A fast reader for headers as servers really write them.
//!
//! It accepts a part of JSON only: one object without white space and without escapes, whose
//! numbers are plain integers and whose `extFields` is an object of strings. Whatever is
//! different, valid or not, is left to the full reader. Inside that part it is as strict as JSON, but
//! for one thing: names and values of fields are handed out as bytes, for the caller to check.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use super::text::first_special;
use crate::command::CommandHead;

/// Reads code, flag and opaque, and calls `field` for every extension field in order.
///
/// `None`: the full reader must look; `field` may have been called by then.
pub(in crate::command) fn scan<'a>(
    header: &'a [u8],
    mut field: impl FnMut(&'a [u8], &'a [u8]),
) -> Option<CommandHead> {
    let mut head = CommandHead::default();
    let mut text = Cursor(header);
    let mut has_fields = false;
    text.expect(b'{')?;
    loop {
        let name = text.string()?;
        text.expect(b':')?;
        match name {
            b"code" => head.code = text.integer()?,
            b"flag" => head.flag = text.integer()?,
            b"opaque" => head.opaque = text.integer()?,
            b"version" => {
                text.integer()?;
            }
            b"language" | b"remark" | b"serializeTypeCurrentRPC" => {
                std::str::from_utf8(text.string()?).ok()?;
            }
            // A second object would replace the first one.
            b"extFields" if !has_fields => {
                has_fields = true;
                text.expect(b'{')?;
                loop {
                    let name = text.string()?;
                    text.expect(b':')?;
                    field(name, text.string()?);
                    match text.next()? {
                        b',' => {}
                        b'}' => break,
                        _ => return None,
                    }
                }
            }
            _ => return None,
        }
        match text.next()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    text.0.is_empty().then_some(head)
}

/// What is left to read.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    /// A string without escapes; its bytes are not yet known to be UTF-8.
    #[inline]
    fn string(&mut self) -> Option<&'a [u8]> {
        self.expect(b'"')?;
        let end = first_special(self.0)?;
        let (string, rest) = self.0.split_at_checked(end)?;
        self.0 = rest;
        self.expect(b'"')?;
        Some(string)
    }

    /// An integer without sign or with a minus, in i32, as JSON allows it (no leading zeros).
    fn integer(&mut self) -> Option<i32> {
        let negative = self.0.first() == Some(&b'-');
        if negative {
            self.next();
        }
        let leading_zero = self.0.first() == Some(&b'0');
        let mut value = 0_i64;
        let mut digits = 0_u32;
        while let Some(digit) = self.0.first().filter(|byte| byte.is_ascii_digit()) {
            digits = digits.saturating_add(1);
            value = value
                .saturating_mul(10)
                .saturating_add(i64::from(digit & 0xf));
            self.next();
        }
        // The full reader takes -0 for a fraction; it shall be the same here.
        if digits == 0 || (leading_zero && (digits > 1 || negative)) {
            return None;
        }
        i32::try_from(if negative {
            value.saturating_neg()
        } else {
            value
        })
        .ok()
    }
}
