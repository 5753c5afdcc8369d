//! Makes JSON of what fastjson writes for maps with number keys: `{0:"a"}` becomes `{"0":"a"}`.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

/// Puts quotes around each integer that stands as a key outside of strings.
///
/// Everything else is copied as it is, valid or not, byte for byte. The result is at most three
/// times as long as the input, and each byte is looked at no more than twice.
pub(crate) fn quote_bare_keys(input: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(input.len().saturating_add(64));
    let mut rest = input;
    // Whether a key may begin here: after `{` or `,`, white space in between.
    let mut at_key = false;
    while let Some((&byte, tail)) = rest.split_first() {
        match byte {
            b'"' => {
                let (string, after) = rest.split_at(string_length(rest));
                output.extend_from_slice(string);
                rest = after;
                at_key = false;
            }
            b'-' | b'0'..=b'9' if at_key => {
                let (number, after) = rest.split_at(integer_length(rest));
                let is_key = after.trim_ascii_start().first() == Some(&b':');
                if is_key && number != b"-" {
                    output.push(b'"');
                    output.extend_from_slice(number);
                    output.push(b'"');
                } else {
                    output.extend_from_slice(number);
                }
                // The space that was looked over is copied too, so that it is not looked over
                // again.
                let space = after.len().saturating_sub(after.trim_ascii_start().len());
                let (space, after) = after.split_at(space);
                output.extend_from_slice(space);
                rest = after;
                at_key = false;
            }
            _ => {
                output.push(byte);
                rest = tail;
                at_key = match byte {
                    b'{' | b',' => true,
                    _ => at_key && byte.is_ascii_whitespace(),
                };
            }
        }
    }
    output
}

/// Length of the string literal that `text` begins with, quotes included; to the end if it has none.
pub(super) fn string_length(text: &[u8]) -> usize {
    let mut escaped = false;
    text.iter()
        .enumerate()
        .skip(1)
        .find(|(_, byte)| {
            let ends = **byte == b'"' && !escaped;
            escaped = **byte == b'\\' && !escaped;
            ends
        })
        .map_or(text.len(), |(index, _)| index.saturating_add(1))
}

/// Length of the integer that `text` begins with, its sign included; at least 1.
fn integer_length(text: &[u8]) -> usize {
    text.iter()
        .skip(1)
        .position(|byte| !byte.is_ascii_digit())
        .map_or(text.len(), |digits| digits.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::quote_bare_keys;

    fn quoted(text: &str) -> String {
        String::from_utf8(quote_bare_keys(text.as_bytes())).unwrap()
    }

    #[test]
    fn only_keys_outside_strings_are_quoted() {
        for (input, output) in [
            (r#"{0:"a",1:"b"}"#, r#"{"0":"a","1":"b"}"#),
            (r#"{ -12 : 3 , 4 :5}"#, r#"{ "-12" : 3 , "4" :5}"#),
            (r#"[0,1, 2]"#, r#"[0,1, 2]"#),
            (r#"{"a":"{0:1}"}"#, r#"{"a":"{0:1}"}"#),
            (r#"{"a\"{":1,2:3}"#, r#"{"a\"{":1,"2":3}"#),
            (r#"{"a\\":1,2:3}"#, r#"{"a\\":1,"2":3}"#),
            ("{\"集\":{0:\"é\"}}", "{\"集\":{\"0\":\"é\"}}"),
            (r#"{-:1}"#, r#"{-:1}"#),
            (r#"{"open"#, r#"{"open"#),
            ("{12", "{12"),
            ("", ""),
        ] {
            assert_eq!(quoted(input), output);
        }
    }
}
