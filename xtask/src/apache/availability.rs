//! Whether Apache's brokers can run on this machine, and what a test does where they cannot.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// Whether everything that a real broker needs is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Availability {
    /// Something is missing; the reason names it.
    Missing(String),
    /// Java (with its compiler) and Maven are there.
    Ready,
}

impl Availability {
    /// Looks once per process.
    #[must_use]
    pub fn check() -> Self {
        static FOUND: OnceLock<Availability> = OnceLock::new();
        FOUND.get_or_init(look).clone()
    }
}

fn look() -> Availability {
    for program in ["java", "javac", "mvn"] {
        if !on_path(program) {
            return Availability::Missing(format!(
                "no `{program}` on the PATH (a JDK of at least 11 and Maven are needed)"
            ));
        }
    }
    // macOS has a `java` on the PATH that only says where to get one.
    let works = Command::new("java")
        .arg("-version")
        .output()
        .is_ok_and(|output| output.status.success());
    if works {
        Availability::Ready
    } else {
        Availability::Missing("`java -version` fails".to_owned())
    }
}

fn on_path(program: &str) -> bool {
    let is_file = |dir: &Path| dir.join(program).is_file();
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|d| is_file(&d)))
}

/// To be called first by every test that needs a real broker: `None` means that the test must return.
///
/// Where something is missing the skip is made visible: one line on standard error, and one in the file named by
/// `XTASK_SKIP_LOG`, from which `cargo xtask test` counts the skipped tests.
///
/// # Panics
/// Instead of skipping, when `REQUIRE_APACHE=1`.
#[must_use]
pub fn require(test: &str) -> Option<()> {
    let reason = match Availability::check() {
        Availability::Ready => return Some(()),
        Availability::Missing(reason) => reason,
    };
    #[expect(
        clippy::panic,
        reason = "this is an assertion of a test, made in its name"
    )]
    if std::env::var("REQUIRE_APACHE").is_ok_and(|value| value == "1") {
        panic!("{test} needs a real broker and REQUIRE_APACHE=1 forbids to skip it: {reason}");
    }
    let line = format!("{test}: {reason}\n");
    eprint!("SKIPPED {line}");
    if let Some(log) = std::env::var_os("XTASK_SKIP_LOG") {
        // One write in append mode: lines of parallel tests stay whole.
        let written = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&log)
            .and_then(|mut file| file.write_all(line.as_bytes()));
        if let Err(error) = written {
            eprintln!("cannot note the skip in {}: {error}", log.display());
        }
    }
    None
}
