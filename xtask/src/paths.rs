//! Where things lie: the workspace, its target folder, the cache of Apache's jars.

use std::path::{Path, PathBuf};

/// The folder of the workspace's root manifest.
#[must_use]
pub fn workspace() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// Cargo's target folder: `CARGO_TARGET_DIR`, or `target` in the workspace.
#[must_use]
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || workspace().join("target"),
        |dir| workspace().join(PathBuf::from(dir)),
    )
}

/// Everything that belongs to Apache's brokers: jars, compiled reader, folders of running clusters.
#[must_use]
pub fn apache() -> PathBuf {
    target().join("apache")
}
