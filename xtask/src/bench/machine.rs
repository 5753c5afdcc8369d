//! The machine and the versions of everything that took part.

use std::process::Command;

use serde::Serialize;
use xtask::paths;

use crate::shell;

#[derive(Debug, Serialize)]
pub(super) struct Machine {
    date: String,
    commit: String,
    cpu: String,
    cores: usize,
    memory_gib: u64,
    kernel: String,
    rustc: String,
    java: String,
    go: String,
    versions: String,
}

impl Machine {
    pub(super) fn describe() -> Self {
        let file = |path| std::fs::read_to_string(path).unwrap_or_default();
        let cpu = file("/proc/cpuinfo")
            .lines()
            .find_map(|line| line.strip_prefix("model name"))
            .map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned());
        let memory_kib = file("/proc/meminfo")
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))
            .and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse().ok())
            .unwrap_or(0_u64);
        let changed = !git(&["status", "--porcelain", "--untracked-files=no"]).is_empty();
        Self {
            date: first_line(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"])),
            commit: git(&["rev-parse", "--short=12", "HEAD"])
                + if changed { " with changes" } else { "" },
            cpu: cpu.unwrap_or_else(|| "not known".to_owned()),
            cores: std::thread::available_parallelism().map_or(0, Into::into),
            memory_gib: memory_kib / (1024 * 1024),
            kernel: format!(
                "{} {}",
                file("/proc/sys/kernel/ostype").trim(),
                file("/proc/sys/kernel/osrelease").trim()
            ),
            rustc: first_line(
                Command::new("rustc")
                    .arg("--version")
                    .current_dir(paths::workspace()),
            ),
            java: first_line(Command::new("java").arg("--version")),
            go: first_line(Command::new("go").arg("version")),
            versions:
                "official Java client 5.5.0, rocketmq-client-go 2.1.2, rocketmq-client-rust 1.0.0"
                    .to_owned(),
        }
    }

    pub(super) fn to_markdown(&self) -> String {
        format!(
            "{}, commit {}. {} ({} cores, {} GiB), {}, shared by client and broker. {}; {}; {}.",
            self.date,
            self.commit,
            self.cpu,
            self.cores,
            self.memory_gib,
            self.kernel,
            self.rustc,
            self.java,
            self.go,
        )
    }

    /// The clients of other projects, with their versions.
    pub(super) fn peers(&self) -> &str {
        &self.versions
    }
}

fn git(arguments: &[&str]) -> String {
    first_line(
        Command::new("git")
            .args(arguments)
            .current_dir(paths::workspace()),
    )
}

/// Of what a program prints, or nothing where it is missing.
fn first_line(command: &mut Command) -> String {
    let text = shell::capture(command).unwrap_or_default();
    text.lines().next().unwrap_or_default().trim().to_owned()
}
