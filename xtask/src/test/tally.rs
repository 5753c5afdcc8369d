//! Adds up what Rust's test runner prints.

use std::fmt;

/// Counts over all test programs of one run.
#[derive(Debug, Default)]
pub(super) struct Tally {
    passed: usize,
    failed: usize,
    ignored: usize,
    failures: Vec<String>,
    ignores: Vec<String>,
    // Tests that return early for want of something; their runner counts them as passed.
    skips: Vec<String>,
}

impl Tally {
    /// Takes in one line of the runner's output.
    pub(super) fn read_line(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            self.passed += count(result, "passed");
            self.failed += count(result, "failed");
            self.ignored += count(result, "ignored");
        } else if let Some((name, outcome)) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.rsplit_once(" ... "))
        {
            if outcome == "FAILED" {
                self.failures.push(name.to_owned());
            } else if let Some(reason) = outcome.strip_prefix("ignored") {
                let reason = reason.trim_start_matches([',', ' ']);
                let reason = if reason.is_empty() { "ignored" } else { reason };
                self.ignores.push(format!("{name}: {reason}"));
            }
        }
    }

    /// Takes in one line of the skip log: `name: reason`.
    pub(super) fn skipped_itself(&mut self, line: &str) {
        if !self.skips.iter().any(|known| known == line) {
            self.skips.push(line.to_owned());
        }
    }

    /// The run failed as a whole: when no test is to blame, something was not compiled or a test program crashed.
    pub(super) fn run_failed(&mut self) {
        if self.failed == 0 {
            self.failed = 1;
            self.failures
                .push("a test program was not built or ended early, see above".to_owned());
        }
    }

    /// Skipped ones left out.
    pub(super) fn ran(&self) -> usize {
        self.passed() + self.failed
    }

    fn passed(&self) -> usize {
        self.passed.saturating_sub(self.skips.len())
    }

    pub(super) const fn failed(&self) -> usize {
        self.failed
    }

    fn skipped(&self) -> usize {
        self.ignored + self.skips.len()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (passed, failed, skipped) = (self.passed(), self.failed, self.skipped());
        writeln!(f, "{} tests ran", self.ran())?;
        for name in &self.failures {
            writeln!(f, "  failed: {name}")?;
        }
        for skip in self.ignores.iter().chain(&self.skips) {
            writeln!(f, "  skipped: {skip}")?;
        }
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// The number before `what` in `ok. 5 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out`.
fn count(result: &str, what: &str) -> usize {
    result
        .split([';', '.'])
        .find_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_programs_are_added_up_and_skips_are_not_passes() {
        let mut tally = Tally::default();
        for line in [
            "test a::works ... ok",
            "test a::breaks ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 2 filtered out; finished in 0.01s",
            "test b ... ignored, needs a year",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.20s",
        ] {
            tally.read_line(line);
        }
        tally.skipped_itself("c: no `mvn`");
        tally.skipped_itself("c: no `mvn`");
        let shown = tally.to_string();
        assert!(shown.starts_with("4 tests ran\n"), "{shown}");
        assert!(shown.contains("failed: a::breaks"), "{shown}");
        assert!(shown.contains("skipped: b: needs a year"), "{shown}");
        assert!(shown.contains("skipped: c: no `mvn`"), "{shown}");
        assert_eq!(shown.lines().last(), Some("3 passed, 1 failed, 2 skipped"));
    }

    #[test]
    fn a_run_that_fails_without_a_failed_test_counts_as_failed() {
        let mut tally = Tally::default();
        tally.run_failed();
        assert_eq!(tally.failed(), 1);
    }
}
