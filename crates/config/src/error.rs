//! What can be wrong with a configuration: every problem names key, value, origin and what is allowed.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use crate::setting::Setting;
use crate::source::ConfigSource;
use crate::value::Refusal;

/// A configuration that cannot be used, with every problem found in it.
///
/// `Display` gives all of them, separated by `; ` when there are several; [`ConfigError::problems`] gives them one by one.
#[derive(Debug, Clone)]
pub struct ConfigError {
    problems: Arc<[ConfigProblem]>,
}

impl ConfigError {
    /// Wraps what was found; `Ok` when that is nothing.
    pub(crate) fn check(problems: Vec<ConfigProblem>) -> Result<(), Self> {
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Self {
                problems: problems.into(),
            })
        }
    }

    /// The problems: at least one; file first, then environment, then code, then what is missing.
    #[must_use]
    pub fn problems(&self) -> &[ConfigProblem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.problems.len() > 1 {
            write!(f, "{} problems in the configuration: ", self.problems.len())?;
        }
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.problems.iter().find_map(std::error::Error::source)
    }
}

impl From<ConfigProblem> for ConfigError {
    fn from(problem: ConfigProblem) -> Self {
        Self {
            problems: Arc::new([problem]),
        }
    }
}

/// One thing wrong with a configuration.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum ConfigProblem {
    /// A value that the setting does not take.
    #[error("{key} = {value:?} ({origin}): {reason}; allowed: {allowed}")]
    #[non_exhaustive]
    InvalidValue {
        /// The setting.
        key: &'static str,
        /// The value as given; `******` for a secret.
        value: String,
        /// Where it was given.
        origin: ConfigSource,
        /// What is wrong with it.
        reason: String,
        /// What the setting takes.
        allowed: &'static str,
    },
    /// A setting that means nothing without another one.
    #[error(
        "{given} ({origin}) is given without {key}: give that too (in code, as {variable} in the environment, or in a \
         file)"
    )]
    #[non_exhaustive]
    Incomplete {
        /// The setting that is missing.
        key: &'static str,
        /// The variable that sets it.
        variable: String,
        /// The setting that needs it.
        given: &'static str,
        /// Where that one was given.
        origin: ConfigSource,
    },
    /// A required setting without a value.
    #[error(
        "{key} must be given (in code, as {variable} in the environment, or in a file); allowed: {allowed}"
    )]
    #[non_exhaustive]
    Missing {
        /// The setting.
        key: &'static str,
        /// The variable that sets it.
        variable: String,
        /// What the setting takes.
        allowed: &'static str,
    },
    /// A file that is not TOML.
    #[error("file {} line {line} is not TOML: {reason}", .path.display())]
    #[non_exhaustive]
    Syntax {
        /// The file.
        path: Arc<Path>,
        /// The line, from 1.
        line: usize,
        /// What the reader met.
        reason: String,
    },
    /// A table in a file.
    #[error("[{}] ({origin}): settings stand at the top level of a file, without tables", .key.escape_debug())]
    #[non_exhaustive]
    Table {
        /// The table's name.
        key: String,
        /// Where it begins.
        origin: ConfigSource,
    },
    /// A key that no setting has.
    #[error("unknown setting {} ({origin}){}", .key.escape_debug(), hint(*.nearest))]
    #[non_exhaustive]
    UnknownKey {
        /// The key as given.
        key: String,
        /// Where it was given.
        origin: ConfigSource,
        /// The nearest key that exists.
        nearest: Option<&'static str>,
    },
    /// A variable with our prefix that no setting has.
    #[error("unknown environment variable {}{}", .variable.escape_debug(), hint(.nearest.as_deref()))]
    #[non_exhaustive]
    UnknownVariable {
        /// The variable.
        variable: String,
        /// The nearest variable that exists.
        nearest: Option<String>,
    },
    /// A file that could not be read.
    #[error("cannot read the configuration file {}", .path.display())]
    #[non_exhaustive]
    Unreadable {
        /// The file.
        path: Arc<Path>,
        /// Why not.
        #[source]
        cause: Arc<io::Error>,
    },
}

impl ConfigProblem {
    /// The rank of the layer it was found in, from weak to strong; what is missing comes last.
    pub(crate) fn layer(&self) -> u8 {
        match self {
            Self::InvalidValue { origin, .. }
            | Self::Table { origin, .. }
            | Self::UnknownKey { origin, .. } => match origin {
                ConfigSource::File { .. } => 0,
                ConfigSource::Environment(_) => 1,
                _ => 2,
            },
            Self::Syntax { .. } | Self::Unreadable { .. } => 0,
            Self::UnknownVariable { .. } => 1,
            Self::Incomplete { .. } | Self::Missing { .. } => 3,
        }
    }

    /// The problem of a value that `setting` refuses.
    pub(crate) fn refused(
        setting: &Setting,
        text: &str,
        origin: ConfigSource,
        refusal: Refusal,
    ) -> Self {
        let Refusal::Invalid(reason) = refusal;
        Self::InvalidValue {
            key: setting.key,
            value: setting.shown(text),
            origin,
            reason,
            allowed: setting.allowed,
        }
    }
}

/// The suggestion's words, or none.
fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!(", did you mean {nearest}?"))
}
