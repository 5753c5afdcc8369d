//! What `cargo metadata` says about the workspace, as far as it is asked here.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::shell;

#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) rust_version: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) license: Option<String>,
    pub(crate) readme: Option<PathBuf>,
    pub(crate) keywords: Vec<String>,
    pub(crate) features: HashMap<String, Vec<String>>,
    publish: Option<Vec<String>>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Nothing for a normal dependency, else `dev` or `build`.
    pub(crate) kind: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
    #[serde(default, rename = "required-features")]
    required_features: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<EdgeKind>,
}

#[derive(Debug, Deserialize)]
struct EdgeKind {
    kind: Option<String>,
}

impl Metadata {
    pub(crate) fn load() -> Result<Self> {
        let json = shell::capture(&mut shell::cargo(["metadata", "--format-version", "1"]))?;
        serde_json::from_str(&json).context("cargo metadata prints something unknown")
    }

    /// The packages of the workspace, by name.
    pub(crate) fn members(&self) -> Vec<&Package> {
        let mut members: Vec<&Package> = self
            .packages
            .iter()
            .filter(|package| self.workspace_members.contains(&package.id))
            .collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        members
    }

    /// Every package that is compiled into `package`, itself left out: its normal and build dependencies, resolved.
    pub(crate) fn compiled_into(&self, package: &Package) -> Vec<&Package> {
        let mut seen: Vec<&str> = vec![&package.id];
        let mut next = 0;
        while let Some(id) = seen.get(next).copied() {
            next += 1;
            let edges = self.resolve.nodes.iter().filter(|node| node.id == id);
            for edge in edges.flat_map(|node| &node.deps) {
                let compiled = |kind: &EdgeKind| kind.kind.as_deref() != Some("dev");
                if edge.dep_kinds.iter().any(compiled) && !seen.contains(&edge.pkg.as_str()) {
                    seen.push(&edge.pkg);
                }
            }
        }
        self.packages
            .iter()
            .filter(|other| other.id != package.id && seen.contains(&other.id.as_str()))
            .collect()
    }
}

impl Package {
    pub(crate) fn is_published(&self) -> bool {
        self.publish.as_ref().is_none_or(|to| !to.is_empty())
    }

    /// Names of the examples, each with the features that it needs beyond the default ones.
    pub(crate) fn examples(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.targets
            .iter()
            .filter(|target| target.kind.iter().any(|kind| kind == "example"))
            .map(|target| (target.name.as_str(), target.required_features.as_slice()))
    }
}
