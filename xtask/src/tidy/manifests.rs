//! What a registry shows of a crate is there.

use super::Problems;
use crate::metadata::Metadata;

pub(super) fn check(metadata: &Metadata, problems: &mut Problems) {
    for package in metadata.members().iter().filter(|p| p.is_published()) {
        let mut lacks = |what: &str| problems.push(format!("{}: lacks {what}", package.name));
        if package.description.as_deref().is_none_or(str::is_empty) {
            lacks("a description");
        }
        if package.keywords.is_empty() {
            lacks("keywords");
        }
        if package.license.as_deref() != Some("Apache-2.0") {
            lacks("the licence Apache-2.0");
        }
        let dir = package.manifest_path.parent();
        let readme = package.readme.as_ref().zip(dir).map(|(r, d)| d.join(r));
        let text = readme.and_then(|path| std::fs::read_to_string(path).ok());
        if text.is_none_or(|text| text.trim().is_empty()) {
            lacks("a README");
        }
    }
}
