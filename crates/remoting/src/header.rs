//! Typed request headers, written field by field straight into a connection's buffer.

use std::borrow::Cow;

use crate::code::RequestCode;

/// A request whose header knows how to write its own fields.
///
/// Implementations write every field in one fixed order and no empty values: the binary form turns
/// an empty value into null on the Java side.
pub trait RequestHeader {
    /// The request code on the wire.
    fn code(&self) -> RequestCode;

    /// Writes the extension fields (Java: `extFields`).
    fn write_fields<S: FieldSink>(&self, sink: &mut S);
}

/// Receives the extension fields of a request, one call each.
pub trait FieldSink {
    /// A text field.
    fn text(&mut self, name: &'static str, value: &str);

    /// A text field whose value is the concatenation of `parts`.
    fn text_parts(&mut self, name: &'static str, parts: &[&str]);

    /// An integer field, in decimal.
    fn integer(&mut self, name: &'static str, value: i64);

    /// A boolean field, `true` or `false`.
    fn boolean(&mut self, name: &'static str, value: bool) {
        self.text(name, if value { "true" } else { "false" });
    }

    /// A text field whose name is no constant of the protocol, as hooks add them.
    fn added(&mut self, name: &str, value: &str);

    /// Fields that are encoded already, in the binary form. Returns whether it takes them; if not,
    /// nothing was written.
    fn encoded(&mut self, binary: &[u8]) -> bool {
        let _ = binary;
        false
    }
}

/// A request without fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a code and nothing else")]
pub struct NoFields(pub RequestCode);

impl RequestHeader for NoFields {
    fn code(&self) -> RequestCode {
        self.0
    }

    fn write_fields<S: FieldSink>(&self, _: &mut S) {}
}

/// Fields with their values, in the order in which they were written.
pub(crate) struct Collected<'a>(pub(crate) Vec<(Cow<'a, str>, String)>);

impl FieldSink for Collected<'_> {
    fn text(&mut self, name: &'static str, value: &str) {
        self.0.push((Cow::Borrowed(name), value.to_owned()));
    }

    fn text_parts(&mut self, name: &'static str, parts: &[&str]) {
        self.0.push((Cow::Borrowed(name), parts.concat()));
    }

    fn integer(&mut self, name: &'static str, value: i64) {
        self.text(name, itoa::Buffer::new().format(value));
    }

    fn added(&mut self, name: &str, value: &str) {
        self.0.push((Cow::Owned(name.to_owned()), value.to_owned()));
    }
}
