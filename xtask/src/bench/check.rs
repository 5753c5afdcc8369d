//! `cargo xtask bench --check`: the instructions that the pieces of a send cost, against those kept in the repository.
//!
//! Times differ from run to run and machine to machine; instructions of one thread hardly do. The program `micro` is run
//! under callgrind, one case per process, and callgrind counts only while `counted_by_callgrind` runs. A harness like
//! gungraun would do the same through a runner that has to be installed, or built with sixty more packages in the lock
//! file, unmaintained ones among them; what is needed of it is one number.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use xtask::paths;

use crate::shell;

/// A count may rise by so many percent.
const TOLERANCE: f64 = 5.0;

/// What the repository keeps.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    combination: Combination,
    /// Per operation, by case.
    instructions: BTreeMap<String, f64>,
}

/// Counts of one combination may be compared with each other; between two, a library or the compiler may have changed
/// them.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Combination {
    toolchain: String,
    /// SHA-256 of `Cargo.lock`.
    lock_file: String,
    cpu: String,
}

/// Counts all cases. With `bless` the counts become those that are kept; without, a rise fails, if both were counted
/// with the same combination.
pub(crate) fn run(bless: bool) -> Result<()> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("SKIPPED: instruction counts need valgrind, which is not installed");
        return Ok(());
    }
    let bench = build()?;
    let now = Kept {
        combination: Combination::of_this_machine()?,
        instructions: count(&bench)?,
    };
    let kept = read()?;
    print(&now, kept.as_ref());
    if bless {
        let text = serde_json::to_string_pretty(&now)?;
        fs::write(file(), text + "\n")?;
        println!("written to {}", file().display());
        return Ok(());
    }
    let Some(kept) = kept else {
        println!("SKIPPED: no counts are kept yet; `cargo xtask bench --bless` keeps these");
        return Ok(());
    };
    judge(&now, &kept)
}

fn file() -> PathBuf {
    paths::workspace().join("tests/benches/instructions.json")
}

fn read() -> Result<Option<Kept>> {
    let file = file();
    if !file.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&file)?;
    let kept = serde_json::from_str(&text);
    kept.with_context(|| format!("{}", file.display()))
        .map(Some)
}

impl Combination {
    fn of_this_machine() -> Result<Self> {
        let lock = fs::read(paths::workspace().join("Cargo.lock"))?;
        let digest = Sha256::digest(&lock);
        Ok(Self {
            toolchain: shell::capture(Command::new("rustc").arg("--version"))?
                .trim()
                .to_owned(),
            lock_file: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            cpu: cpu(),
        })
    }

    /// In what they differ.
    fn differences(&self, other: &Self) -> Vec<&'static str> {
        [
            ("toolchain", self.toolchain == other.toolchain),
            ("lock file", self.lock_file == other.lock_file),
            ("CPU", self.cpu == other.cpu),
        ]
        .into_iter()
        .filter_map(|(name, same)| (!same).then_some(name))
        .collect()
    }
}

fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "model name").then(|| value.trim().to_owned())
    });
    model.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// Builds the program with optimisations and gives its path.
fn build() -> Result<PathBuf> {
    let report = shell::capture(&mut shell::cargo([
        "build",
        "--release",
        "-p",
        "rocketmq-producer-tests",
        "--bin",
        "micro",
        "--message-format",
        "json",
    ]))?;
    let executable = report.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_it = message["target"]["name"] == "micro";
        is_it.then(|| message["executable"].as_str().map(PathBuf::from))?
    });
    executable.context("cargo has built no program `micro`")
}

fn count(bench: &Path) -> Result<BTreeMap<String, f64>> {
    let out = paths::target().join("callgrind");
    fs::create_dir_all(&out)?;
    let cases = shell::capture(Command::new(bench).arg("--cases"))?;
    cases
        .lines()
        .map(|case| {
            let file = out.join(case.replace('/', "."));
            let instructions = count_case(bench, case, &file);
            let instructions = instructions.with_context(|| format!("case {case}"))?;
            Ok((case.to_owned(), instructions))
        })
        .collect()
}

/// Instructions per operation. The profile stays in `file`, for `callgrind_annotate`.
fn count_case(bench: &Path, case: &str, file: &Path) -> Result<f64> {
    let printed = shell::capture(
        Command::new("valgrind")
            .args([
                "--tool=callgrind",
                "--quiet",
                "--collect-atstart=no",
                "--toggle-collect=*counted_by_callgrind*",
            ])
            .arg(format!("--callgrind-out-file={}", file.display()))
            .arg(bench)
            .args(["--count", case]),
    )?;
    let repeats: f64 = printed.trim().parse()?;
    let profile = fs::read_to_string(file)?;
    let total = profile
        .lines()
        .find_map(|line| line.strip_prefix("summary:"))
        .context("callgrind has written no summary")?;
    let total: f64 = total.trim().parse()?;
    if total < repeats {
        bail!("callgrind has not seen the case: {total} instructions");
    }
    // A tenth is more precise than any of it needs, and keeps the file short.
    Ok((total / repeats * 10.0).round() / 10.0)
}

fn print(now: &Kept, kept: Option<&Kept>) {
    println!(
        "{:<24} {:>12} {:>12} {:>8}",
        "instructions each", "kept", "now", "change"
    );
    for (case, count) in &now.instructions {
        let before = kept.and_then(|kept| kept.instructions.get(case));
        let (before, change) = before.map_or_else(Default::default, |before| {
            (
                format!("{before:.1}"),
                format!("{:+.1} %", rise(*before, *count)),
            )
        });
        println!("{case:<24} {before:>12} {count:>12.1} {change:>8}");
    }
}

/// In percent.
fn rise(before: f64, now: f64) -> f64 {
    (now / before - 1.0) * 100.0
}

fn judge(now: &Kept, kept: &Kept) -> Result<()> {
    let differences = now.combination.differences(&kept.combination);
    if !differences.is_empty() {
        println!(
            "not compared: the counts kept are of another {}\nkept: {:?}\nnow:  {:?}",
            differences.join(" and another "),
            kept.combination,
            now.combination
        );
        return Ok(());
    }
    let problems = problems(&now.instructions, &kept.instructions);
    if problems.is_empty() {
        return Ok(());
    }
    bail!(
        "{}\nif that is meant to be, keep the new counts by `cargo xtask bench --bless`",
        problems.join("\n")
    )
}

fn problems(now: &BTreeMap<String, f64>, kept: &BTreeMap<String, f64>) -> Vec<String> {
    let gone = kept.keys().filter(|case| !now.contains_key(*case));
    let gone = gone.map(|case| format!("{case}: kept, but no case any more"));
    let others = now.iter().filter_map(|(case, now)| match kept.get(case) {
        None => Some(format!("{case}: a new case whose count is not kept")),
        Some(before) if *now > *before * (1.0 + TOLERANCE / 100.0) => Some(format!(
            "{case}: {before} instructions became {now}, {:+.1} %",
            rise(*before, *now)
        )),
        Some(_) => None,
    });
    gone.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(&str, f64)]) -> BTreeMap<String, f64> {
        of.iter()
            .map(|(case, count)| ((*case).to_owned(), *count))
            .collect()
    }

    #[test]
    fn a_rise_beyond_the_tolerance_is_a_problem_and_a_fall_is_none() {
        let kept = counts(&[("a", 100.0), ("b", 100.0), ("c", 100.0)]);
        let now = counts(&[("a", 105.0), ("b", 105.1), ("c", 50.0)]);
        let problems = problems(&now, &kept);
        assert_eq!(problems, ["b: 100 instructions became 105.1, +5.1 %"]);
    }

    #[test]
    fn cases_that_came_or_went_are_to_be_blessed() {
        let problems = problems(&counts(&[("new", 1.0)]), &counts(&[("old", 1.0)]));
        assert_eq!(
            problems,
            [
                "old: kept, but no case any more",
                "new: a new case whose count is not kept"
            ]
        );
    }

    #[test]
    fn a_rise_fails_with_the_same_toolchain_lock_file_and_cpu_only() {
        let same = || Combination {
            toolchain: "rustc".into(),
            lock_file: "lock".into(),
            cpu: "cpu".into(),
        };
        let counted = |combination, count| Kept {
            combination,
            instructions: counts(&[("a", count)]),
        };
        let kept = counted(same(), 100.0);
        assert!(judge(&counted(same(), 105.0), &kept).is_ok());
        assert!(judge(&counted(same(), 105.1), &kept).is_err());
        let another = || "another".to_owned();
        let others = [
            Combination {
                toolchain: another(),
                ..same()
            },
            Combination {
                lock_file: another(),
                ..same()
            },
            Combination {
                cpu: another(),
                ..same()
            },
        ];
        for other in others {
            assert!(judge(&counted(other, 200.0), &kept).is_ok());
        }
    }
}
