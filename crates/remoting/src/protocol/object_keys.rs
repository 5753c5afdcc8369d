//! Makes JSON of what fastjson writes for maps whose keys are objects: `{{"a":1}:2}` becomes `{"{\"a\":1}":2}`.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use super::bare_keys::string_length;

/// Makes a string of each object that stands as a key.
///
/// Everything else is copied as it is, valid or not, byte for byte. Objects within such a key are part of the string and
/// are not looked at. The result is at most six times as long as the input, and each byte is looked at no more than
/// twice.
pub(crate) fn quote_object_keys(input: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(input.len().saturating_add(256));
    let mut rest = input;
    // Of each `{` and `[` that is open: whether it is an object.
    let mut open: Vec<bool> = Vec::new();
    // Whether a key may begin here: in an object after `{` or `,`, white space in between.
    let mut at_key = false;
    while let Some((&byte, tail)) = rest.split_first() {
        match byte {
            b'"' => {
                let (string, after) = rest.split_at(string_length(rest));
                output.extend_from_slice(string);
                rest = after;
                at_key = false;
                continue;
            }
            b'{' if at_key => {
                let (object, after) = rest.split_at(object_length(rest));
                write_string(object, &mut output);
                rest = after;
                at_key = false;
                continue;
            }
            b'{' => {
                open.push(true);
                at_key = true;
            }
            b'[' => {
                open.push(false);
                at_key = false;
            }
            b'}' | b']' => {
                open.pop();
                at_key = false;
            }
            b',' => at_key = open.last() == Some(&true),
            _ => at_key = at_key && byte.is_ascii_whitespace(),
        }
        output.push(byte);
        rest = tail;
    }
    output
}

/// Length of the object that `text` begins with, braces included; to the end if it has none.
fn object_length(text: &[u8]) -> usize {
    let mut rest = text;
    let mut depth = 0_usize;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = match byte {
            b'"' => rest.split_at(string_length(rest)).1,
            _ => tail,
        };
        match byte {
            b'{' => depth = depth.saturating_add(1),
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    text.len().saturating_sub(rest.len())
}

/// Appends `text` as a string of JSON.
fn write_string(text: &[u8], output: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    output.push(b'"');
    for &byte in text {
        match byte {
            b'"' | b'\\' => output.extend_from_slice(&[b'\\', byte]),
            0..=0x1f => {
                output.extend_from_slice(b"\\u00");
                let digit = |value: u8| HEX.get(usize::from(value & 0xf)).copied();
                output.extend([digit(byte >> 4), digit(byte)].into_iter().flatten());
            }
            _ => output.push(byte),
        }
    }
    output.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::quote_object_keys;

    fn quoted(text: &str) -> String {
        String::from_utf8(quote_object_keys(text.as_bytes())).unwrap()
    }

    #[test]
    fn only_objects_that_are_keys_become_strings() {
        for (input, output) in [
            (r#"{{"a":1}:2}"#, r#"{"{\"a\":1}":2}"#),
            (
                r#"{"t":{{"a":"}"}:{"b":{}}, {"a":"\""}:3}}"#,
                r#"{"t":{"{\"a\":\"}\"}":{"b":{}}, "{\"a\":\"\\\"\"}":3}}"#,
            ),
            (r#"[{"a":1},{"b":{"c":2}}]"#, r#"[{"a":1},{"b":{"c":2}}]"#),
            (r#"{"a":[{"b":1},{"c":2}]}"#, r#"{"a":[{"b":1},{"c":2}]}"#),
            (r#"{"a":"{{1}:2}"}"#, r#"{"a":"{{1}:2}"}"#),
            ("{{\n}:1}", r#"{"{\u000a}":1}"#),
            ("{{", r#"{"{""#),
            ("}{", "}{"),
            ("", ""),
        ] {
            assert_eq!(quoted(input), output);
        }
    }

    #[test]
    fn deep_nesting_is_looked_at_in_one_go() {
        // Quadratic work would take minutes.
        let deep = "{".repeat(1 << 20);
        assert!(quoted(&deep).len() <= 6 * deep.len());
        let mixed = "{,[".repeat(1 << 19);
        assert!(quoted(&mixed).len() <= 6 * mixed.len());
    }
}
