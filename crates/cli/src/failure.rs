//! Why the command gave up, written for a reader who knows nothing of its inside.

use std::error::Error;
use std::fmt::{self, Write as _};

use rocketmq_producer::config::ConfigError;
use rocketmq_producer::remoting::with_causes;
use rocketmq_producer::{Attempt, SendError, StartError};

use crate::exit::Exit;

/// Why the command gave up.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    text: String,
}

impl Failure {
    /// Something could not be done.
    pub(crate) fn failed(what: impl fmt::Display, cause: impl Error) -> Self {
        Self {
            exit: Exit::Failed,
            text: format!("error: {what}{}", causes(&cause)),
        }
    }

    /// Something could not be done, and this is what to do about it.
    pub(crate) fn advised(error: &dyn Error, advice: &str) -> Self {
        Self {
            exit: Exit::Failed,
            text: format!("error: {}\n  advice: {advice}", chain(error)),
        }
    }

    /// Nothing arrived, and this is why the first message did not.
    pub(crate) fn unsent(what: impl fmt::Display, error: &SendError) -> Self {
        Self {
            exit: Exit::Failed,
            text: format!("error: {what}\n{}", explain(error)),
        }
    }

    /// The caller asked for something that cannot be.
    pub(crate) fn bad_input(what: impl fmt::Display, cause: impl Error) -> Self {
        Self {
            exit: Exit::BadInput,
            text: format!("error: {what}{}", causes(&cause)),
        }
    }

    /// The status the command ends with.
    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let mut text = String::new();
        for problem in error.problems() {
            let separator = if text.is_empty() { "" } else { "\n" };
            let _ = write!(text, "{separator}error: {}", chain(problem));
        }
        Self {
            exit: Exit::BadInput,
            text,
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        const CONFIGURATION: i32 = 5001;
        let exit = if error.code() == CONFIGURATION {
            Exit::BadInput
        } else {
            Exit::Failed
        };
        Self {
            exit,
            text: format!("error: {}", chain(&error)),
        }
    }
}

/// A message that got no receipt: what happened, each attempt, each cause, and what to do.
pub(crate) fn explain(error: &SendError) -> String {
    let decided = error.attempts().last().and_then(Attempt::failure);
    // The last attempt mostly tells what ended the send, and is told below.
    let mut text = match decided {
        Some(failure) if with_causes(failure) == with_causes(error.cause()) => error.to_string(),
        _ => chain(error),
    };
    for (number, attempt) in (1..).zip(error.attempts()) {
        let _ = write!(
            text,
            "\n  attempt {number}: {} at {}, queue {}, {:.1?}",
            attempt.broker(),
            attempt.address(),
            attempt.queue_id(),
            attempt.elapsed(),
        );
        if let Some(failure) = attempt.failure() {
            let _ = write!(text, ": {}", with_causes(failure));
        }
    }
    let _ = write!(text, "\n  advice: {}", error.advice());
    text
}

/// An error with its causes, a line each.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, "\n  because: {error}");
        cause = error.source();
    }
    text
}

fn causes(error: &dyn Error) -> String {
    format!("\n  because: {}", chain(error))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn causes_stand_below_what_they_caused() {
        let cause = io::Error::other("disk on fire");
        let failure = Failure::bad_input("file x cannot be read", cause);
        assert_eq!(
            failure.to_string(),
            "error: file x cannot be read\n  because: disk on fire"
        );
        assert_eq!(failure.exit(), Exit::BadInput);
    }
}
