//! The command line tool, built once and run as a user runs it.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// What the command did.
#[derive(Debug)]
#[non_exhaustive]
pub struct Ended {
    /// Its exit status, if it was not ended by a signal.
    pub status: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it printed beside that.
    pub stderr: String,
}

impl Ended {
    /// The only JSON value that it printed.
    ///
    /// # Errors
    /// When it printed something else.
    pub fn json(&self) -> Result<Value> {
        let value = serde_json::from_str(&self.stdout);
        value.with_context(|| format!("no JSON: {self:#?}"))
    }
}

/// Runs the command with settings as a file has them, and `input`; no variable of this process counts.
///
/// # Errors
/// When it cannot be built or started.
pub fn run(args: &[&str], settings: &str, input: &str) -> Result<Ended> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("rocketmq-producer-{}-{count}.toml", std::process::id());
    let file = std::env::temp_dir().join(name);
    std::fs::write(&file, settings)?;
    let mut child = Command::new(path()?)
        .args(args)
        .arg("--config")
        .arg(&file)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // Short enough for the pipe; whoever does not read it does not mind.
    let _ = child
        .stdin
        .take()
        .map(|mut to| to.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    std::fs::remove_file(&file)?;
    Ok(Ended {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8(output.stderr)?,
    })
}

/// What `doctor` says of `topic`, with settings as a file has them: its exit status, and its report.
///
/// # Errors
/// When the command cannot be run, or prints no report.
pub fn doctor(name_servers: &str, topic: &str, settings: &str) -> Result<(Option<i32>, Value)> {
    let args = [
        "doctor",
        "--json",
        "--timeout",
        "20s",
        "--topic",
        topic,
        "--namesrv",
        name_servers,
    ];
    let ended = run(&args, settings, "")?;
    Ok((ended.status, ended.json()?))
}

/// The program, built once: by the first who asks, the others wait.
///
/// # Errors
/// When it does not build.
pub fn path() -> Result<PathBuf> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = PROGRAM.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.clone().map_err(anyhow::Error::msg)
}

fn build() -> Result<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "-q", "-p", "rocketmq-producer-cli"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    ensure!(cargo.status()?.success(), "the command does not build");
    let here = std::env::current_exe()?;
    let folder = here.parent().context("a target folder")?;
    // Tests lie one folder deeper than programs.
    let folder = match folder.parent() {
        Some(above) if folder.ends_with("deps") => above,
        _ => folder,
    };
    Ok(folder.join(format!("rocketmq-producer{}", std::env::consts::EXE_SUFFIX)))
}
