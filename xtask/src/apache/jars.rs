//! Apache's jars, fetched once per version by Maven.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Availability, Version};
use crate::paths;

/// The folder that holds the jars of `version`, fetched by Maven when they are not there yet.
///
/// Processes and threads that ask at the same moment wait for the one that fetches; a download that was cut short is
/// never used.
///
/// # Errors
/// When Java or Maven is missing, or Maven fails.
pub fn jars(version: Version) -> Result<PathBuf> {
    let dir = paths::apache().join(version.as_str());
    folder(&dir, version, &["broker", "namesrv", "tools", "client"])
}

/// The folder that holds the jars of the proxy of `version`; a folder of its own, since some are of other versions.
pub(super) fn proxy_jars(version: Version) -> Result<PathBuf> {
    let dir = paths::apache().join(format!("{version}-proxy"));
    folder(&dir, version, &["proxy"])
}

fn folder(dir: &Path, version: Version, artifacts: &[&str]) -> Result<PathBuf> {
    let lib = dir.join("lib");
    once(&lib, |partial| fetch(version, artifacts, dir, partial))?;
    Ok(lib)
}

/// Fills the folder `wanted` by `fill`, at most once over all processes, and never half.
pub(super) fn once(wanted: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if wanted.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(wanted.parent().unwrap_or(wanted))?;
    let lock = File::create(wanted.with_extension("lock"))?;
    lock.lock()?;
    if wanted.is_dir() {
        return Ok(());
    }
    let partial = wanted.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial)?;
    fill(&partial)?;
    fs::rename(&partial, wanted)
        .with_context(|| format!("cannot put {} in place", wanted.display()))
}

fn fetch(version: Version, artifacts: &[&str], dir: &Path, into: &Path) -> Result<()> {
    if let Availability::Missing(reason) = Availability::check() {
        bail!("cannot fetch Apache RocketMQ {version}: {reason}");
    }
    fs::write(dir.join("pom.xml"), pom(version, artifacts))?;
    let output = Command::new("mvn")
        .args(["-q", "-B", "dependency:copy-dependencies"])
        .arg(format!("-DoutputDirectory={}", into.display()))
        .current_dir(dir)
        .output()
        .context("cannot run mvn")?;
    if !output.status.success() {
        bail!(
            "mvn could not fetch Apache RocketMQ {version} ({}):\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
    }
    Ok(())
}

fn pom(version: Version, artifacts: &[&str]) -> String {
    let dependency = |artifact: &str| {
        format!(
            "    <dependency><groupId>org.apache.rocketmq</groupId><artifactId>rocketmq-{artifact}</artifactId>\
             <version>{version}</version></dependency>\n"
        )
    };
    let dependencies: String = artifacts
        .iter()
        .map(|artifact| dependency(artifact))
        .collect();
    format!(
        r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>rocketmq-producer</groupId>
  <artifactId>apache-jars</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
{dependencies}  </dependencies>
</project>
"#
    )
}
