//! An error with its causes in one line: every error displays its own layer only.

use std::error::Error;
use std::fmt::Write as _;

/// The error and its causes in one line, for logs and reports.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a text cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
