//! `--runtime`: what several threads of the runtime cost, and what they bring.

use xtask::apache::Version;

use super::{Comparison, Variant};
use crate::bench::sample::Work;
use crate::bench::targets::Choice;

pub(in crate::bench) fn runtime() -> Comparison {
    let one = Variant {
        workers: Some(1),
        ..Variant::new("one thread", "a thread per core")
    };
    Comparison {
        name: "runtime",
        title: "Threads of the runtime",
        about: "Ratios are those of a runtime with one worker thread to one with as many as there are cores, which is tokio's default.",
        variants: vec![Variant::new("a thread per core", "a thread per core"), one],
        choices: vec![Choice::Null, Choice::Real(Version::V5_5_0)],
        loads: [1, 64, 1024]
            .map(|in_flight| (256, Work::Single, in_flight))
            .to_vec(),
        conclusion: |_| Ok(String::new()),
    }
}
