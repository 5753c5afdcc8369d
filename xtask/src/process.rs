//! A child process that never outlives the process that started it, also when that one crashes.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::wait;

/// A signal that [`Process::signal`] sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// `SIGCONT`: go on after [`Signal::Stop`].
    Continue,
    /// `SIGKILL`: end at once, with no chance to tidy up.
    Kill,
    /// `SIGSTOP`: freeze; sockets stay open, nothing is read.
    Stop,
    /// `SIGTERM`: end in an orderly way.
    Terminate,
}

impl Signal {
    const fn name(self) -> &'static str {
        match self {
            Self::Continue => "CONT",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Terminate => "TERM",
        }
    }
}

/// A running child in a process group of its own, its output in a log file.
#[derive(Debug)]
pub struct Process {
    child: Child,
    // A shell that waits for the end of its standard input, which only this process holds open, and then kills the
    // child. The system closes that pipe however this process ends.
    watchdog: Option<Child>,
}

impl Process {
    /// Starts `command` with no input, both outputs appended to `log`. It is killed when the result is dropped, and when
    /// this process ends in whatever way, unless it is [detached](Self::detach).
    ///
    /// # Errors
    /// When the log file or the process cannot be created.
    pub fn spawn(command: &mut Command, log: &Path) -> Result<Self> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot open {}", log.display()))?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {:?}", command.get_program()))?;
        match watch(child.id()) {
            Ok(watchdog) => Ok(Self {
                child,
                watchdog: Some(watchdog),
            }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error)
            }
        }
    }

    /// The process id, which is also the id of its process group.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if the process has ended.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        // A process that is reaped gives its id back to the system, where another one may get it.
        let status = self.child.try_wait()?;
        if status.is_some() {
            self.dismiss_watchdog();
        }
        Ok(status)
    }

    /// Sends a signal to the whole process group.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Some(status) = self.exited()? {
            bail!("process {} has ended already ({status})", self.pid());
        }
        send(self.pid(), signal)
    }

    /// Kills the process group and waits for the end of the process.
    ///
    /// # Errors
    /// When the process has ended already.
    pub fn kill(mut self) -> Result<()> {
        self.signal(Signal::Kill)?;
        self.dismiss_watchdog();
        self.child.wait()?;
        Ok(())
    }

    /// Asks the process to end and waits for that, for at most `timeout`; then it is killed.
    ///
    /// # Errors
    /// When it had ended already, or had to be killed.
    pub fn terminate(mut self, timeout: Duration) -> Result<ExitStatus> {
        self.signal(Signal::Terminate)?;
        let ended = wait::until(timeout, || self.exited().transpose());
        match ended {
            Some(status) => status,
            None => {
                let pid = self.pid();
                self.kill()?;
                bail!("process {pid} did not end within {timeout:?} and was killed");
            }
        }
    }

    /// Lets the process live on after this one.
    pub fn detach(mut self) {
        // Dropping a `Child` does not end it, and without a watchdog `Drop` does not either.
        self.dismiss_watchdog();
    }

    fn dismiss_watchdog(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            // Killed before its input closes, or it would kill what it watches.
            let _ = watchdog.kill();
            let _ = watchdog.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // No watchdog: detached, or known to have ended.
        if self.watchdog.is_none() {
            return;
        }
        if let Ok(None) = self.child.try_wait() {
            let _ = send(self.pid(), Signal::Kill);
            self.dismiss_watchdog();
            let _ = self.child.wait();
        } else {
            self.dismiss_watchdog();
        }
    }
}

/// Sends a signal to the process group `pid`.
///
/// # Errors
/// When there is no such group.
pub fn send(pid: u32, signal: Signal) -> Result<()> {
    // The shell's own `kill`: the program of that name is missing on small images.
    let status = Command::new("sh")
        .args(["-c", r#"kill -s "$1" -- "-$2" 2>/dev/null"#, "kill"])
        .args([signal.name(), &pid.to_string()])
        .status()
        .context("cannot run sh")?;
    if !status.success() {
        bail!("no process group {pid} to send {} to", signal.name());
    }
    Ok(())
}

fn watch(pid: u32) -> Result<Child> {
    Command::new("sh")
        .args([
            "-c",
            r#"read -r _; kill -s KILL -- "-$1" 2>/dev/null"#,
            "watchdog",
        ])
        .arg(pid.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Out of the terminal's foreground group: Ctrl-C must not end the watchdog before its work.
        .process_group(0)
        .spawn()
        .context("cannot start sh")
}

/// The last `lines` lines of a log file, or why they cannot be shown.
#[must_use]
pub fn tail(log: &Path, lines: usize) -> String {
    match std::fs::read(log) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let all: Vec<&str> = text.lines().collect();
            all[all.len().saturating_sub(lines)..].join("\n")
        }
        Err(error) => format!("(cannot read {}: {error})", log.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Process {
        let log = std::env::temp_dir().join(format!("xtask-sleeper-{}.log", std::process::id()));
        Process::spawn(Command::new("sleep").arg("600"), &log).expect("sleep starts")
    }

    fn lives(pid: u32) -> bool {
        let output = Command::new("sh")
            .args(["-c", &format!("kill -0 {pid} 2>&1")])
            .output()
            .expect("sh runs");
        output.status.success()
    }

    #[test]
    fn a_process_is_killed_when_dropped() {
        let process = sleeper();
        let pid = process.pid();
        assert!(lives(pid));
        drop(process);
        assert!(!lives(pid));
    }

    #[test]
    fn a_process_is_killed_when_its_parent_vanishes() {
        let mut process = sleeper();
        // What the system does at this process's end: it closes the pipe.
        let watchdog = process.watchdog.as_mut().expect("guarded");
        drop(watchdog.stdin.take());
        let ended = wait::until(Duration::from_secs(10), || {
            process.child.try_wait().expect("status")
        });
        assert!(ended.is_some());
    }

    #[test]
    fn a_detached_process_lives_on() {
        let process = sleeper();
        let pid = process.pid();
        process.detach();
        assert!(lives(pid));
        send(pid, Signal::Kill).expect("still there");
    }

    #[test]
    fn a_stopped_process_can_be_killed() {
        let mut process = sleeper();
        process.signal(Signal::Stop).expect("runs");
        process.kill().expect("is killed");
    }
}
