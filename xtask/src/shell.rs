//! Running other programs from the workspace's folder.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use xtask::paths;

/// Cargo, to be run in the workspace's folder.
pub(crate) fn cargo<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(arguments: I) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(paths::workspace());
    command
}

/// Runs to the end with the terminal's own outputs; anything but success is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    eprintln!("$ {shown}");
    let status = command
        .status()
        .with_context(|| format!("cannot run {shown}"))?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(())
}

/// Runs to the end and gives what it printed; anything but success is an error that shows its complaints.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command
        .output()
        .with_context(|| format!("cannot run {shown}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{shown}: {}\n{complaint}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{shown}: output is not UTF-8"))
}

/// Builds the `rocketmq-producer` command with optimisations and gives its path.
pub(crate) fn producer_cli() -> Result<PathBuf> {
    // Not quiet: the first build takes minutes, in which somebody new would see nothing.
    run(&mut cargo([
        "build",
        "--release",
        "-p",
        "rocketmq-producer-cli",
    ]))?;
    Ok(paths::target().join("release/rocketmq-producer"))
}

fn show(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let name = program.rsplit('/').next().unwrap_or(&program).to_owned();
    command.get_args().fold(name, |line, argument| {
        format!("{line} {}", argument.to_string_lossy())
    })
}
