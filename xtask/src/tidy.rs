//! `cargo xtask tidy`: the rules that no compiler knows.

mod code_map;
mod layers;
mod links;
mod manifests;
mod rust_version;
mod sources;

use anyhow::{Context, Result, bail};
use xtask::paths;

use crate::metadata::Metadata;
use crate::shell;

/// What is wrong, one sentence each, beginning with where.
type Problems = Vec<String>;

/// A text file of the project.
struct TextFile {
    /// Relative to the workspace.
    path: String,
    text: String,
}

/// Runs every check; prints all problems before it fails.
pub(crate) fn run() -> Result<()> {
    let metadata = Metadata::load()?;
    let files = text_files()?;
    let mut problems = Problems::new();
    layers::check(&metadata, &mut problems);
    manifests::check(&metadata, &mut problems);
    rust_version::check(&metadata, &mut problems);
    sources::check(&files, &mut problems);
    links::check(&files, &mut problems);
    code_map::check(&files, &mut problems);
    for problem in &problems {
        eprintln!("{problem}");
    }
    if !problems.is_empty() {
        bail!("{} problems", problems.len());
    }
    println!("tidy: {} files, nothing to say", files.len());
    Ok(())
}

/// Everything under version control or about to be, but for data that others made.
fn text_files() -> Result<Vec<TextFile>> {
    const KINDS: [&str; 8] = [
        ".rs",
        ".toml",
        ".md",
        ".java",
        ".yml",
        ".sh",
        ".ci/run",
        "Cargo.lock",
    ];
    let mut git = std::process::Command::new("git");
    git.args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ])
    .current_dir(paths::workspace());
    let listed = shell::capture(&mut git)?;
    let mut files = Vec::new();
    for path in listed.split('\0') {
        let is_text = KINDS.iter().any(|kind| path.ends_with(kind));
        let full = paths::workspace().join(path);
        // A file that was deleted but not yet from the index is listed too.
        if !is_text || path.starts_with("tests/vectors/") || !full.is_file() {
            continue;
        }
        let text = std::fs::read_to_string(&full).with_context(|| path.to_owned())?;
        files.push(TextFile {
            path: path.to_owned(),
            text,
        });
    }
    Ok(files)
}
