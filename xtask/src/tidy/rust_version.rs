//! The oldest compiler that each crate claims to need is the one that it needs.

use super::Problems;
use crate::metadata::{Metadata, Package};

/// Edition 2024 needs it, whatever the dependencies say.
const EDITION: Version = (1, 85, 0);

type Version = (u32, u32, u32);

pub(super) fn check(metadata: &Metadata, problems: &mut Problems) {
    for package in metadata.members().iter().filter(|p| p.is_published()) {
        let Some(claim) = package.rust_version.as_deref().map(parse) else {
            problems.push(format!("{}: claims no rust-version", package.name));
            continue;
        };
        let neediest = neediest(metadata, package);
        let (needed, why) = neediest.map_or_else(
            || (EDITION, "edition 2024".to_owned()),
            |(version, of)| (version, format!("{} {}", of.name, of.version)),
        );
        let name = &package.name;
        if claim < needed {
            problems.push(format!(
                "{name}: claims rust-version {}, but {why} needs {}",
                show(claim),
                show(needed)
            ));
        } else if claim > needed {
            println!(
                "note: {name} claims rust-version {}, while {} is enough for all it depends on",
                show(claim),
                show(needed)
            );
        }
    }
}

/// The dependency that needs a compiler newer than the edition does, and than every other.
fn neediest<'a>(metadata: &'a Metadata, package: &Package) -> Option<(Version, &'a Package)> {
    metadata
        .compiled_into(package)
        .into_iter()
        .filter_map(|other| Some((parse(other.rust_version.as_deref()?), other)))
        .filter(|(version, _)| *version > EDITION)
        .max_by_key(|(version, _)| *version)
}

fn parse(text: &str) -> Version {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}

fn show((major, minor, patch): Version) -> String {
    if patch == 0 {
        format!("{major}.{minor}")
    } else {
        format!("{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number_and_a_missing_part_is_zero() {
        assert_eq!(parse("1.85"), parse("1.85.0"));
        assert!(parse("1.9") < parse("1.10"));
        assert!(parse("1.85.1") > parse("1.85"));
    }
}
