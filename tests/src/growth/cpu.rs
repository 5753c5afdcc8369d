//! The CPU time of this process, to the nanosecond.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Of all threads that live, in user and kernel mode. Linux only.
pub(super) fn time() -> Result<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir("/proc/self/task")? {
        let text = fs::read_to_string(task?.path().join("schedstat"))
            .context("this kernel does not count CPU time by thread")?;
        let on_cpu = text.split_whitespace().next().unwrap_or_default();
        nanos += on_cpu.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}
