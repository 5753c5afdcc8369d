//! A TOML file as a layer: flat keys, one setting each.

use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::builder::ProducerConfigBuilder;
use crate::error::ConfigProblem;
use crate::settings::find;
use crate::source::ConfigSource;
use crate::value::{Refusal, SettingKind};

impl ProducerConfigBuilder {
    /// Reads settings from a TOML file: `key = value` at the top level, see [`toml`](Self::toml).
    pub fn file(mut self, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        match std::fs::read_to_string(path) {
            Ok(text) => self.toml(path, &text),
            Err(cause) => {
                self.note(ConfigProblem::Unreadable {
                    path: path.into(),
                    cause: Arc::new(cause),
                });
                self
            }
        }
    }

    /// Reads settings from the text of a TOML file; `path` is what errors and [`ConfigSource::File`] name.
    ///
    /// Keys stand at the top level, without tables. Any value may be a string; numbers and sizes in bytes may also be
    /// integers, switches booleans. A time is always a string with its unit. An unknown key is an error.
    pub fn toml(mut self, path: impl AsRef<Path>, text: &str) -> Self {
        let path: Arc<Path> = path.as_ref().into();
        let lines = Lines::of(text);
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            for error in errors {
                self.note(ConfigProblem::Syntax {
                    path: Arc::clone(&path),
                    line: error.span().map_or(1, |span| lines.line_at(span.start)),
                    reason: error.message().to_owned(),
                });
            }
            // What a broken file means is a guess: none of it is taken.
            return self;
        }
        let mut entries: Vec<_> = table.into_inner().into_iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let line = lines.line_at(key.span().start);
            self.entry(
                text,
                key.get_ref(),
                &value,
                ConfigSource::File {
                    path: Arc::clone(&path),
                    line,
                },
            );
        }
        self
    }

    /// Takes one key of the file.
    fn entry(&mut self, file: &str, key: &str, value: &Spanned<DeValue<'_>>, source: ConfigSource) {
        if matches!(value.get_ref(), DeValue::Table(_)) && find(key).is_none() {
            self.note(ConfigProblem::Table {
                key: key.to_owned(),
                origin: source,
            });
            return;
        }
        let read = match value.get_ref() {
            DeValue::String(text) => Ok(text.to_string()),
            other => find(key).map_or(Ok(String::new()), |setting| plain(setting.kind, other)),
        };
        // What the error shows is what the file says.
        let shown = match (&read, value.get_ref()) {
            (_, DeValue::String(text)) => text.to_string(),
            _ => file.get(value.span()).unwrap_or_default().to_owned(),
        };
        self.insert(key, &shown, read, source, false);
    }
}

/// The text of a value that is not a string.
fn plain(kind: SettingKind, value: &DeValue<'_>) -> Result<String, Refusal> {
    match (kind, value) {
        (SettingKind::Count | SettingKind::Size, DeValue::Integer(integer)) => {
            i64::from_str_radix(integer.as_str(), integer.radix())
                .map(|number| number.to_string())
                .map_err(|_| Refusal::invalid("not a number that TOML allows"))
        }
        (SettingKind::Duration, DeValue::Integer(integer)) if integer.radix() == 10 => {
            // The reader of durations explains the missing unit.
            Ok(integer.as_str().to_owned())
        }
        (SettingKind::Ratio, DeValue::Float(float)) => Ok(float.as_str().to_owned()),
        (SettingKind::Ratio, DeValue::Integer(integer)) if integer.radix() == 10 => {
            Ok(integer.as_str().to_owned())
        }
        (SettingKind::Switch, DeValue::Boolean(switch)) => Ok(switch.to_string()),
        _ => {
            let expected = match kind {
                SettingKind::Count => "an integer",
                SettingKind::Ratio => "a number",
                SettingKind::Size => "an integer or a string",
                SettingKind::Switch => "a boolean",
                SettingKind::Duration | SettingKind::Text => "a string",
            };
            Err(Refusal::invalid(format!(
                "{} instead of {expected}",
                described(value)
            )))
        }
    }
}

/// The kind of a TOML value, in words.
fn described(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::Array(_) => "an array",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Float(_) => "a float",
        DeValue::Integer(_) => "an integer",
        DeValue::String(_) => "a string",
        DeValue::Table(_) => "a table",
    }
}

/// Where the lines of a text begin, so that a file full of errors is not searched once for each.
struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    fn of(text: &str) -> Self {
        let after_break = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self {
            starts: after_break.map(|(place, _)| place + 1).collect(),
        }
    }

    /// The number, from 1 on, of the line that holds the byte at `place`.
    fn line_at(&self, place: usize) -> usize {
        self.starts.partition_point(|start| *start <= place) + 1
    }
}
