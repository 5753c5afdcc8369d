//! The stack of crates is strict: each layer depends on the one directly below it and on no other.

use std::collections::BTreeSet;

use super::Problems;
use crate::metadata::{Metadata, Package};

/// What a member of the workspace may use of the others.
struct Place {
    name: &'static str,
    /// Exactly these, as normal or build dependencies.
    uses: &'static [&'static str],
    /// Whether its tests may start an embedded cluster.
    tests_on_embedded: bool,
}

const EMBEDDED: &str = "rocketmq-producer-embedded";
/// End-to-end tests: they see everything.
const TESTS: &str = "rocketmq-producer-tests";

const PLACES: [Place; 8] = [
    place("rocketmq-producer-remoting", &[], false),
    place(
        "rocketmq-producer-routing",
        &["rocketmq-producer-remoting"],
        true,
    ),
    place(
        "rocketmq-producer-config",
        &["rocketmq-producer-routing"],
        true,
    ),
    place(
        "rocketmq-producer-core",
        &["rocketmq-producer-config"],
        true,
    ),
    place("rocketmq-producer", &["rocketmq-producer-core"], true),
    place(EMBEDDED, &["rocketmq-producer-remoting"], false),
    place(
        "rocketmq-producer-cli",
        &["rocketmq-producer", EMBEDDED],
        true,
    ),
    // The judge shares no code with what it judges.
    place("xtask", &[], false),
];

const fn place(
    name: &'static str,
    uses: &'static [&'static str],
    tests_on_embedded: bool,
) -> Place {
    Place {
        name,
        uses,
        tests_on_embedded,
    }
}

pub(super) fn check(metadata: &Metadata, problems: &mut Problems) {
    let members = metadata.members();
    let names: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    for member in members.iter().filter(|member| member.name != TESTS) {
        match PLACES.iter().find(|place| place.name == member.name) {
            Some(place) => compare(member, place, &names, problems),
            None => problems.push(format!(
                "{}: has no place in the stack; say which in xtask/src/tidy/layers.rs",
                member.name
            )),
        }
    }
}

fn compare(member: &Package, place: &Place, members: &BTreeSet<&str>, problems: &mut Problems) {
    let of_kind = |dev: bool| -> BTreeSet<&str> {
        member
            .dependencies
            .iter()
            .filter(|dependency| (dependency.kind.as_deref() == Some("dev")) == dev)
            .map(|dependency| dependency.name.as_str())
            .filter(|name| members.contains(name))
            .collect()
    };
    let name = &member.name;
    let uses = of_kind(false);
    let allowed: BTreeSet<&str> = place.uses.iter().copied().collect();
    for extra in uses.difference(&allowed) {
        problems.push(format!(
            "{name}: must not depend on {extra}, which is not the layer directly below"
        ));
    }
    for missing in allowed.difference(&uses) {
        problems.push(format!("{name}: must depend on {missing}, the layer below"));
    }
    for dev in of_kind(true) {
        if dev != EMBEDDED || !place.tests_on_embedded {
            problems.push(format!("{name}: must not depend on {dev} for its tests"));
        }
    }
}
