//! [`Properties`]: the properties of a message, kept the way they travel.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use super::property::{
    self, MAX_PROPERTIES_LENGTH, NAME_VALUE_SEPARATOR, PROPERTY_SEPARATOR, PropertyError,
};

/// The properties of a new message.
const NEW: &str = "WAIT\u{1}true\u{2}";

/// Properties of a message in wire form: `name U+0001 value U+0002` repeated.
///
/// They are kept as one string because a message is encoded at least once and its properties are
/// rarely looked up; encoding is then a copy. A name occurs at most once. `Debug` prints names
/// only: values may be private.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties {
    // Borrowed while untouched, so that a message without properties allocates nothing for them.
    wire: Cow<'static, str>,
}

impl Properties {
    /// No properties.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            wire: Cow::Borrowed(""),
        }
    }

    /// What a new message has: `WAIT=true`, as in Java.
    pub(crate) const fn of_new_message() -> Self {
        Self {
            wire: Cow::Borrowed(NEW),
        }
    }

    /// Whether they are what a new message has, so that nothing has to be looked for.
    pub(crate) fn is_of_new_message(&self) -> bool {
        self.wire == NEW
    }

    /// Reads a property string as Java's `string2messageProperties` does: pieces without a name or
    /// without a value are skipped, the last of several equal names counts, and the last piece
    /// needs no end. It accepts any text.
    #[must_use]
    pub fn parse(wire: &str) -> Self {
        let mut properties = Self::new();
        // A map keyed by name keeps this linear for hostile input; the order is that of each
        // name's last occurrence.
        let mut last = HashMap::new();
        for (position, (name, _)) in pieces(wire).enumerate() {
            last.insert(name, position);
        }
        let mut text = String::with_capacity(wire.len() + 1);
        for (position, (name, value)) in pieces(wire).enumerate() {
            if last.get(name) == Some(&position) {
                push(&mut text, name, value);
            }
        }
        if !text.is_empty() {
            properties.wire = Cow::Owned(text);
        }
        properties
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        if self.is_of_new_message() && name != property::WAIT {
            return None;
        }
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// Sets `name` to `value`; a value set before is replaced.
    ///
    /// Reserved names are accepted here: refusing them is the business of
    /// [`Message::with_property`](super::Message::with_property), since the producer sets them.
    ///
    /// # Errors
    /// When name or value is blank or holds a separator, or when all properties together would be
    /// longer than 32767 bytes encoded. Then nothing changes.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), PropertyError> {
        property::check(name, value)?;
        let old = self.find(name);
        let removed = old.as_ref().map_or(0, Range::len);
        let length = self.wire.len() - removed + name.len() + value.len() + 2;
        if length > MAX_PROPERTIES_LENGTH {
            return Err(PropertyError::TooLong {
                name: name.to_owned(),
                length,
                limit: MAX_PROPERTIES_LENGTH,
            });
        }
        self.replace(old, length, name, value);
        Ok(())
    }

    /// Sets `name` to `value`, both without separators, whatever that makes of the length; the check at the send edge
    /// tells.
    pub(crate) fn put(&mut self, name: &str, value: &str) {
        let old = self.find(name);
        let length = self.wire.len() + name.len() + value.len() + 2;
        self.replace(old, length, name, value);
    }

    /// Sets whether the broker answers only once the message is stored as safely as it is set up
    /// to. The one character that `false` has more than `true` may make the string too long; the
    /// check at the send edge then tells.
    pub(crate) fn set_wait(&mut self, wait: bool) {
        self.put(property::WAIT, if wait { "true" } else { "false" });
    }

    /// Puts a property at the end instead of what lies at `old`; room for `length` bytes is made.
    fn replace(&mut self, old: Option<Range<usize>>, length: usize, name: &str, value: &str) {
        /// Room for a few more properties than the first one.
        const USUAL_LENGTH: usize = 128;
        let wire = match &mut self.wire {
            Cow::Owned(wire) => wire,
            borrowed @ Cow::Borrowed(_) => {
                let mut owned = String::with_capacity(length.max(USUAL_LENGTH));
                owned.push_str(borrowed);
                *borrowed = Cow::Owned(owned);
                borrowed.to_mut()
            }
        };
        if let Some(range) = old {
            wire.replace_range(range, "");
        }
        push(wire, name, value);
    }

    /// Removes `name`; tells whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        // A name with a separator in it would match a property whose value begins like its rest.
        if name.contains(NAME_VALUE_SEPARATOR) {
            return false;
        }
        let Some(range) = self.find(name) else {
            return false;
        };
        self.wire.to_mut().replace_range(range, "");
        true
    }

    /// Names and values, in wire order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        pieces(&self.wire)
    }

    /// The property string as it travels.
    #[must_use]
    pub fn as_wire(&self) -> &str {
        &self.wire
    }

    /// Length of the property string as it travels, in bytes.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        self.wire.len()
    }

    /// Whether there are no properties.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wire.is_empty()
    }

    /// Where the piece of `name`, which holds no separator, lies, its end mark included.
    fn find(&self, name: &str) -> Option<Range<usize>> {
        let mut start = 0;
        for piece in self.wire.split_inclusive(PROPERTY_SEPARATOR) {
            let end = start + piece.len();
            if piece
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(NAME_VALUE_SEPARATOR))
            {
                return Some(start..end);
            }
            start = end;
        }
        None
    }
}

fn push(wire: &mut String, name: &str, value: &str) {
    wire.push_str(name);
    wire.push(NAME_VALUE_SEPARATOR);
    wire.push_str(value);
    wire.push(PROPERTY_SEPARATOR);
}

/// Pieces of a property string that have a name and a value.
fn pieces(wire: &str) -> impl Iterator<Item = (&str, &str)> {
    wire.split(PROPERTY_SEPARATOR)
        .filter_map(|piece| piece.split_once(NAME_VALUE_SEPARATOR))
        .filter(|(name, value)| !name.is_empty() && !value.is_empty())
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|(name, _)| name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Properties;
    use crate::message::property::PropertyError;

    #[test]
    fn setting_replaces_and_keeps_the_others() {
        let mut p = Properties::of_new_message();
        p.set("a", "1").unwrap();
        p.set("ab", "2").unwrap();
        p.set("WAIT", "false").unwrap();
        p.set("a", "3").unwrap();
        assert_eq!(p.as_wire(), "ab\u{1}2\u{2}WAIT\u{1}false\u{2}a\u{1}3\u{2}");
        assert_eq!(p.get("a"), Some("3"));
        assert_eq!(p.get("b"), None);
        assert!(p.remove("ab"));
        assert!(!p.remove("ab"));
        assert_eq!(p.wire_len(), "WAIT\u{1}false\u{2}a\u{1}3\u{2}".len());
    }

    #[test]
    fn a_name_with_a_separator_finds_nothing_to_remove() {
        let mut p = Properties::parse("a\u{1}b\u{1}c\u{2}d\u{1}e\u{2}");
        let before = p.clone();
        for name in ["a\u{1}b", "a\u{1}b\u{1}c\u{2}d", ""] {
            assert_eq!(p.get(name), None);
            assert!(!p.remove(name), "{name:?}");
        }
        assert_eq!(p, before);
        assert!(p.remove("a"));
    }

    #[test]
    fn a_property_that_makes_the_string_too_long_is_refused_and_changes_nothing() {
        let mut p = Properties::new();
        p.set("k", &"v".repeat(32_767 - 3)).unwrap();
        assert_eq!(p.wire_len(), 32_767);
        let before = p.clone();
        assert!(matches!(
            p.set("x", "y"),
            Err(PropertyError::TooLong {
                length: 32_771,
                limit: 32_767,
                ..
            })
        ));
        assert_eq!(p, before);
        p.set("k", "short").unwrap();
        p.set("x", "y").unwrap();
    }

    #[test]
    fn debug_shows_names_but_no_values() {
        let mut p = Properties::new();
        p.set("card", "4111111111111111").unwrap();
        assert_eq!(format!("{p:?}"), r#"["card"]"#);
    }
}
