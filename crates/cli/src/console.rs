//! What the user sees: lines on the two outputs, and a progress bar where there is a terminal.

use std::io::{self, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A line on standard output. A reader that has gone away is no reason to fail.
pub(crate) fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// A line on standard error.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// A progress bar on standard error; invisible unless that is a terminal.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Of `total` messages, or of nobody knows how many.
    pub(crate) fn new(total: Option<u64>) -> Self {
        // Drawn five times a second: often enough to look alive.
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(5));
        let template = if total.is_some() {
            "{bar:30} {human_pos} of {human_len} messages, {per_sec}, {eta} left"
        } else {
            "{spinner} {human_pos} messages, {per_sec}, {elapsed}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self { bar }
    }

    /// One that is never seen.
    pub(crate) fn hidden() -> Self {
        Self {
            bar: ProgressBar::hidden(),
        }
    }

    pub(crate) fn is_hidden(&self) -> bool {
        self.bar.is_hidden()
    }

    pub(crate) fn advance(&self, messages: u64) {
        self.bar.inc(messages);
    }

    pub(crate) fn set(&self, messages: u64) {
        self.bar.set_position(messages);
    }

    /// A line on standard error that does not tear the bar.
    pub(crate) fn complain(&self, line: &str) {
        self.bar.suspend(|| complain(line));
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
