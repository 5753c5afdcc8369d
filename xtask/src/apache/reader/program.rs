//! Compiling and running `java/Reader.java`.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

use crate::apache::Version;
use crate::apache::jars::once;
use crate::paths;

const SOURCE: &str = include_str!("../../../java/Reader.java");

/// One finished run.
pub(super) struct Run {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub(super) log: PathBuf,
}

/// The folder with the classes, compiled anew only when the source or the version is another.
pub(super) fn compiled(version: Version, lib: &Path) -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    SOURCE.hash(&mut hasher);
    let classes = paths::apache()
        .join(version.as_str())
        .join(format!("reader-{:016x}", hasher.finish()));
    once(&classes, |partial| {
        let source = partial.join("Reader.java");
        fs::write(&source, SOURCE)?;
        let output = Command::new("javac")
            .args(["-nowarn", "-encoding", "UTF-8", "-proc:none", "-cp"])
            .arg(format!("{}/*", lib.display()))
            .arg("-d")
            .arg(partial)
            .arg(&source)
            .output()
            .context("cannot run javac")?;
        if !output.status.success() {
            bail!(
                "Reader.java does not compile against {version}:\n{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    })?;
    Ok(classes)
}

/// Runs the program to its end.
pub(super) fn run(lib: &Path, classes: &Path, java: &[String], arguments: &[&str]) -> Result<Run> {
    let (mut command, log) = command(lib, classes, java)?;
    let output = command
        .args(arguments)
        .output()
        .context("cannot run java")?;
    Ok(Run {
        status: output.status,
        stdout: output.stdout,
        log,
    })
}

/// The program before its arguments, and where its standard error goes.
pub(super) fn command(lib: &Path, classes: &Path, java: &[String]) -> Result<(Command, PathBuf)> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let home = paths::apache().join("reader");
    fs::create_dir_all(&home)?;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let log = home.join(format!("{}-{count}.log", std::process::id()));
    let mut command = Command::new("java");
    command
        // Short runs: a light collector and the quick compiler only.
        .args([
            "-Xms128m",
            "-Xmx2g",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
        ])
        // Its log files belong here, not into the user's home.
        .arg(format!("-Duser.home={}", home.display()))
        .arg("-Drocketmq.client.logLevel=WARN")
        .args(java)
        .arg("-cp")
        .arg(format!("{}:{}/*", classes.display(), lib.display()))
        .arg("Reader")
        .stderr(File::create(&log)?);
    Ok((command, log))
}
