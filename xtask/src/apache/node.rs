//! One server of a cluster: a name server or a broker, with what tests do to it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Access, probe};
use crate::process::{Process, Signal, tail};
use crate::wait;

/// `GET_BROKER_CLUSTER_INFO`, answered by a name server with the addresses of all brokers.
const CLUSTER_INFO: i32 = 106;
/// `GET_BROKER_RUNTIME_INFO`, answered by a broker.
const RUNTIME_INFO: i32 = 28;

/// A start took 34 s at most where it was measured, on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// An orderly end took over 24 s on a busy machine.
const END_WITHIN: Duration = Duration::from_secs(60);
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// A name server or broker: a Java process on a fixed address, that can be stopped, frozen, killed and started again.
///
/// Every call blocks until its effect is there.
#[derive(Debug)]
pub struct Node {
    name: String,
    address: String,
    launch: Launch,
    process: Mutex<Option<Process>>,
}

/// How a server is started.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) java: Vec<String>,
    pub(super) home: PathBuf,
    /// The name servers that must list a broker before it is ready; none for a name server.
    pub(super) registers_with: Vec<String>,
    pub(super) access: Access,
    /// The end of the line by which it says that it has started.
    pub(super) says: &'static str,
}

impl Node {
    pub(super) fn new(name: String, address: String, launch: Launch) -> Self {
        Self {
            name,
            address,
            launch,
            process: Mutex::new(None),
        }
    }

    /// The broker's name; `namesrv-0` and so on for a name server.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The Java process's id, while there is one.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process().as_ref().map(Process::pid)
    }

    /// `ROCKETMQ_HOME`: configuration, store and logs.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.launch.home
    }

    /// Starts the process and waits until it is ready: a name server answers; a broker answers and every name server
    /// lists its address.
    ///
    /// # Errors
    /// When it runs already, ends by itself or is not ready in time; the error shows the end of its output.
    pub fn start(&self) -> Result<()> {
        self.spawn()?;
        self.wait_ready()
    }

    /// Asks the process to end in an orderly way and waits for that; a broker unregisters. May take half a minute.
    ///
    /// # Errors
    /// When it did not run, or had to be killed.
    pub fn stop(&self) -> Result<()> {
        self.taken()?.terminate(END_WITHIN).map(drop)
    }

    /// `kill -9`: the process is gone when this returns.
    ///
    /// # Errors
    /// When it did not run.
    pub fn kill(&self) -> Result<()> {
        self.taken()?.kill()
    }

    /// Freezes the process (`SIGSTOP`): connections stay open, nothing is answered.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::Stop)
    }

    /// Lets the process go on after [`pause`](Self::pause).
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::Continue)
    }

    /// Kills the process if it runs, and starts it again on the same address and store.
    ///
    /// A name server knows no topic after this until the brokers register again, up to 30 s later; each broker's
    /// [`wait_ready`](Self::wait_ready) waits for that.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart(&self) -> Result<()> {
        if self.pid().is_some() {
            self.kill()?;
        }
        self.start()
    }

    /// The last `lines` lines of what the process wrote to its outputs.
    #[must_use]
    pub fn output(&self, lines: usize) -> String {
        tail(&self.log(), lines)
    }

    pub(super) fn spawn(&self) -> Result<()> {
        let mut process = self.process();
        if process.is_some() {
            bail!("{} runs already", self.name);
        }
        let mut command = Command::new("java");
        command
            .args(&self.launch.java)
            .env("ROCKETMQ_HOME", &self.launch.home)
            .env("RMQ_PROXY_HOME", &self.launch.home)
            .current_dir(&self.launch.home);
        *process = Some(Process::spawn(&mut command, &self.log())?);
        Ok(())
    }

    /// Waits until the server is ready as [`start`](Self::start) does.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn wait_ready(&self) -> Result<()> {
        let mut last = None;
        let ready = wait::until(READY_WITHIN, || match self.is_ready() {
            Ok(true) => Some(Ok(())),
            Ok(false) => None,
            Err(error) => {
                let ended = self.process().as_mut().map(Process::exited);
                match ended {
                    Some(Ok(None)) => {
                        last = Some(error);
                        None
                    }
                    _ => Some(Err(error.context("the process has ended"))),
                }
            }
        });
        let outcome = ready.unwrap_or_else(|| {
            let cause = last.map_or_else(
                || "no name server lists it".to_owned(),
                |error| format!("{error:#}"),
            );
            Err(anyhow::anyhow!(
                "not ready within {READY_WITHIN:?}: {cause}"
            ))
        });
        outcome.with_context(|| {
            format!(
                "{} on {} did not start; logs in {}; its last output:\n{}",
                self.name,
                self.address,
                self.launch.home.display(),
                self.output(30)
            )
        })
    }

    /// Whether a client could use the server now.
    fn is_ready(&self) -> Result<bool> {
        if self.launch.access == Access::Encrypted {
            // It says so after it has registered, anew in each run.
            if self
                .process()
                .as_mut()
                .map(Process::exited)
                .transpose()?
                .flatten()
                .is_some()
            {
                bail!("not running");
            }
            return Ok(self.output(usize::MAX).contains(self.launch.says));
        }
        let own = if self.launch.registers_with.is_empty() {
            CLUSTER_INFO
        } else {
            RUNTIME_INFO
        };
        let answer = probe::ask(&self.address, own, &[], PROBE_TIMEOUT)?;
        if self.launch.access == Access::Open {
            answer.ok()?;
        }
        for name_server in &self.launch.registers_with {
            if !lists_broker(name_server, &self.address)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn detach(&self) {
        if let Some(process) = self.process().take() {
            process.detach();
        }
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        self.process()
            .as_mut()
            .with_context(|| format!("{} does not run", self.name))?
            .signal(signal)
    }

    fn taken(&self) -> Result<Process> {
        self.process()
            .take()
            .with_context(|| format!("{} does not run", self.name))
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> PathBuf {
        self.launch.home.join("output.log")
    }
}

fn lists_broker(name_server: &str, broker: &str) -> Result<bool> {
    let answer = probe::ask(name_server, CLUSTER_INFO, &[], PROBE_TIMEOUT)?.ok()?;
    // The body is not JSON in every version (bare numeric keys); the quoted address occurs in it all the same.
    Ok(String::from_utf8_lossy(&answer.body).contains(&format!("\"{broker}\"")))
}
