//! `--headers`: what the default encoding of headers is chosen by.

use xtask::apache::Version;

use super::{Comparison, Variant};
use crate::bench::sample::Work;
use crate::bench::targets::Choice;

pub(in crate::bench) fn headers() -> Comparison {
    let json = Variant {
        settings: &[("header_encoding", "json")],
        ..Variant::new("JSON", "binary")
    };
    Comparison {
        name: "headers",
        title: "Header encodings",
        about: "Ratios are those of JSON headers to binary ones.",
        variants: vec![Variant::new("binary", "binary"), json],
        choices: vec![
            Choice::Null,
            Choice::Real(Version::V5_5_0),
            Choice::Real(Version::V4_9_7),
        ],
        loads: [1, 64, 1024]
            .map(|in_flight| (256, Work::Single, in_flight))
            .to_vec(),
        conclusion: |_| Ok(String::new()),
    }
}
