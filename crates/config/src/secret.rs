//! Values that are never shown and are wiped from memory.

use std::fmt;

use crate::options::{ExposeSecret, SecretString};
use crate::source::HIDDEN;
use crate::value::{Refusal, SettingKind, SettingValue, TextRule};

/// The value of a secret setting. It is never printed, and wiped from memory when dropped.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Keeps `text` secret.
    pub fn new(text: impl Into<SecretString>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

impl SettingValue for Option<Secret> {
    type Limits = TextRule;
    const KIND: SettingKind = SettingKind::Text;
    const REQUIRED: bool = false;

    fn parse(text: &str, rule: &TextRule) -> Result<Self, Refusal> {
        rule(text).map(|()| Some(Secret::new(text)))
    }

    fn render(&self) -> Option<String> {
        self.as_ref().map(|secret| secret.expose().to_owned())
    }

    fn shown(&self) -> Option<String> {
        self.as_ref().map(|_| HIDDEN.to_owned())
    }

    fn unset() -> Option<Self> {
        Some(None)
    }
}
