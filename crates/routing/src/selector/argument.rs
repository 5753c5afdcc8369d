//! The argument of a selector's call.

use std::{any::Any, fmt, sync::Arc};

use super::java_hash_code;

/// What the caller of a send hands to the selector (Java: the `Object arg` of
/// `send(msg, selector, arg)`).
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum SelectorArgument {
    /// A truth value.
    Boolean(bool),
    /// Anything else, for selectors of one's own.
    Custom(Arc<dyn Any + Send + Sync>),
    /// A 32-bit number (Java: `Integer`).
    Int(i32),
    /// A 64-bit number (Java: `Long`).
    Long(i64),
    /// No argument.
    #[default]
    None,
    /// A text (Java: `String`).
    Text(Arc<str>),
}

impl SelectorArgument {
    /// Java's `hashCode` of the value; nothing for [`Self::None`] and
    /// [`Self::Custom`].
    #[must_use]
    pub fn java_hash_code(&self) -> Option<i32> {
        match self {
            Self::Boolean(true) => Some(1231),
            Self::Boolean(false) => Some(1237),
            Self::Int(value) => Some(*value),
            Self::Long(value) => Some(long_hash(*value)),
            Self::Text(text) => Some(java_hash_code(text)),
            Self::Custom(_) | Self::None => None,
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The custom value, if it is one of that type.
    #[must_use]
    pub fn downcast_ref<T: Any>(&self) -> Option<&T> {
        match self {
            Self::Custom(value) => value.downcast_ref(),
            _ => None,
        }
    }
}

/// `(int) (value ^ (value >>> 32))`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "Java's Long.hashCode keeps the low 32 bits"
)]
fn long_hash(value: i64) -> i32 {
    (value ^ (value >> 32)) as i32
}

impl fmt::Debug for SelectorArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(f, "Boolean({value})"),
            Self::Custom(_) => f.write_str("Custom(..)"),
            Self::Int(value) => write!(f, "Int({value})"),
            Self::Long(value) => write!(f, "Long({value})"),
            Self::None => f.write_str("None"),
            Self::Text(text) => write!(f, "Text({text:?})"),
        }
    }
}

impl From<bool> for SelectorArgument {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<i32> for SelectorArgument {
    fn from(value: i32) -> Self {
        Self::Int(value)
    }
}

impl From<i64> for SelectorArgument {
    fn from(value: i64) -> Self {
        Self::Long(value)
    }
}

impl From<&str> for SelectorArgument {
    fn from(text: &str) -> Self {
        Self::Text(Arc::from(text))
    }
}

impl From<String> for SelectorArgument {
    fn from(text: String) -> Self {
        Self::Text(Arc::from(text))
    }
}
