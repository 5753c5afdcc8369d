//! One Java process that answers many commands.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use super::program;
use crate::process::tail;

/// Takes one command at a time; the process ends when this is dropped, since its input ends.
#[derive(Debug)]
pub(super) struct Session {
    child: Mutex<Running>,
    /// What it writes to standard error.
    log: PathBuf,
}

#[derive(Debug)]
struct Running {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Session {
    pub(super) fn start(lib: &Path, classes: &Path, java: &[String]) -> Result<Self> {
        let (mut command, log) = program::command(lib, classes, java)?;
        let mut process = command
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run java")?;
        let (input, output) = (process.stdin.take(), process.stdout.take());
        Ok(Self {
            child: Mutex::new(Running {
                process,
                input,
                output: BufReader::new(output.context("an output")?),
            }),
            log,
        })
    }

    /// The lines that the command prints.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let mut line = serde_json::to_vec(arguments)?;
        line.push(b'\n');
        let input = child.input.as_mut().context("an input")?;
        input.write_all(&line)?;
        input.flush()?;
        let mut lines = Vec::new();
        loop {
            let start = lines.len();
            child.output.read_until(b'\n', &mut lines)?;
            match lines.get(start) {
                Some(b'{') => {}
                Some(b'.') => {
                    lines.truncate(start);
                    return Ok(lines);
                }
                Some(_) => {
                    let reason = String::from_utf8_lossy(&lines[start..]).into_owned();
                    bail!("{}", reason.trim_start_matches('!').trim());
                }
                None => bail!("the Java program has ended:\n{}", tail(&self.log, 30)),
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(child.input.take());
        let _ = child.process.wait();
        if !std::thread::panicking() {
            let _ = std::fs::remove_file(&self.log);
        }
    }
}
