//! `cargo xtask test`: the tests of the whole workspace, counted.

mod tally;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result};
use clap::Args;
use xtask::paths;

use crate::shell;
use tally::Tally;

/// What to run.
#[derive(Debug, Default, Args)]
pub(crate) struct Options {
    /// Only tests whose name contains this.
    filter: Option<String>,
}

/// Whether all is well; the last line is always `N passed, N failed, N skipped`.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let skip_log = paths::target().join(format!("skipped-tests-{}.log", std::process::id()));
    fs::create_dir_all(paths::target())?;
    fs::write(&skip_log, "")?;

    let mut command = shell::cargo(["test", "--workspace", "--no-fail-fast"]);
    command
        .args(&options.filter)
        .env("XTASK_SKIP_LOG", &skip_log)
        .stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot run cargo")?;
    let stdout = child.stdout.take().context("cargo has no output")?;
    let mut tally = Tally::default();
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tally.read_line(&line);
    }
    let status = child.wait()?;
    for line in fs::read_to_string(&skip_log)?.lines() {
        tally.skipped_itself(line);
    }
    let _ = fs::remove_file(&skip_log);
    if !status.success() {
        tally.run_failed();
    }

    let nothing = tally.ran() == 0;
    if nothing {
        println!("\nno test was run: does any have the filter in its name?");
    }
    println!("\n{tally}");
    Ok(tally.failed() == 0 && !nothing)
}
