//! Where a setting's value came from, and the listing that shows it.

use std::fmt::{self, Write};
use std::path::Path;
use std::sync::Arc;

use crate::template::Template;

/// Where a value came from; lower variants lose against higher ones (`Flag` and `Code` are one layer).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigSource {
    /// The default of every template.
    Default,
    /// A template that differs from the default.
    Template(Template),
    /// A line of a TOML file.
    #[non_exhaustive]
    File {
        /// The file, as it was named.
        path: Arc<Path>,
        /// The line of the value, from 1.
        line: usize,
    },
    /// An environment variable, by its name.
    Environment(Arc<str>),
    /// A command line flag, by its name.
    Flag(Arc<str>),
    /// A call of the program.
    Code,
}

impl fmt::Display for ConfigSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Template(template) => write!(f, "template {template}"),
            Self::File { path, line } => write!(f, "file {} line {line}", path.display()),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Code => f.write_str("code"),
        }
    }
}

/// One line of the effective configuration: key, value as text, and where it came from.
///
/// The value of a secret setting is `******`. `Display` gives a line of TOML with the source as its comment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigEntry {
    /// The setting's key, as in a file.
    pub key: &'static str,
    /// The value in the form that a file or variable takes; `None` when unset (a client id to be generated).
    pub value: Option<String>,
    /// Where the value came from.
    pub source: ConfigSource,
}

/// What is shown in place of a secret.
pub(crate) const HIDDEN: &str = "******";

impl ConfigEntry {
    /// Makes the entry, hiding the value of a secret.
    pub(crate) fn new(
        key: &'static str,
        value: Option<String>,
        secret: bool,
        source: ConfigSource,
    ) -> Self {
        let value = if secret {
            value.map(|_| HIDDEN.to_owned())
        } else {
            value
        };
        Self { key, value, source }
    }
}

impl fmt::Display for ConfigEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => {
                write!(f, "{} = ", self.key)?;
                write_toml_string(f, value)?;
                write!(f, "  # {}", self.source)
            }
            None => write!(f, "# {} is not set  # {}", self.key, self.source),
        }
    }
}

/// Writes a basic string of TOML.
fn write_toml_string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            control if control.is_control() => write!(f, "\\u{:04X}", u32::from(control))?,
            other => f.write_char(other)?,
        }
    }
    f.write_char('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows() {
        let entry = ConfigEntry::new(
            "secret_key",
            Some("hunter2".to_owned()),
            true,
            ConfigSource::Code,
        );
        assert_eq!(entry.to_string(), "secret_key = \"******\"  # code");
        assert!(!format!("{entry:?}").contains("hunter2"));
    }
}
