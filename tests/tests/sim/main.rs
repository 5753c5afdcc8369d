//! A thousand simulated runs of a real producer in trouble.
//!
//! `SIM_SEED=7` runs that seed only and prints its history; `SIM_SEEDS=100000` runs so many of each scenario.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "clippy does not see that the helpers of an integration test are tests"
)]

use std::collections::HashSet;
use std::time::Duration;

use rocketmq_producer::config::OrderedOnUnknown;
use rocketmq_producer_tests::sim::{Ending, Keys, Report, Scenario, run};

/// Runs that fail for a known reason, until it is mended.
const KNOWN: &[(&str, u64)] = &[];

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={value} is no number")),
    )
}

/// Runs the seeds of a scenario.
fn seeds(scenario: Scenario, count: u64) {
    let run_seed = |seed| run(&scenario, seed);
    seeds_by(scenario.name, run_seed, count);
}

fn seeds_by(name: &str, run_seed: impl Fn(u64) -> anyhow::Result<Report>, count: u64) {
    if let Some(seed) = number("SIM_SEED") {
        let report = run_seed(seed).unwrap_or_else(|error| panic!("{error:?}"));
        println!(
            "{}\n{report}\n{}",
            report.history.join("\n"),
            report.digest()
        );
        return;
    }
    let count = number("SIM_SEEDS").unwrap_or(count);
    let mut slowest = Duration::ZERO;
    let (mut sums, mut recovery) = ([0; 6], 0);
    let is_known = |seed: &u64| KNOWN.contains(&(name, *seed));
    for seed in (0..count).filter(|seed| !is_known(seed)) {
        let report = match run_seed(seed) {
            Ok(report) => report,
            Err(error) if std::env::var_os("SIM_LIST").is_some() => {
                println!(
                    "(\"{name}\", {seed}), {}",
                    error.to_string().lines().nth(1).unwrap_or("")
                );
                continue;
            }
            Err(error) => panic!("{error:?}"),
        };
        if report.recovery > slowest {
            (slowest, recovery) = (report.recovery, seed);
        }
        let outcomes = [
            report.acked,
            report.not_sent,
            report.rejected,
            report.unknown,
            report.dropped,
            report.duplicates,
        ];
        for (sum, outcome) in sums.iter_mut().zip(outcomes) {
            *sum += outcome;
        }
    }
    let [acked, not_sent, rejected, unknown, dropped, duplicates] = sums;
    println!(
        "{name}: {count} seeds, {acked} acked, {not_sent} not sent, {rejected} rejected, {unknown} unknown, \
         {dropped} dropped, {duplicates} duplicates; slowest recovery {slowest:?} (seed {recovery})"
    );
}

#[test]
fn two_brokers() {
    seeds(Scenario::new("two_brokers"), 350);
}

#[test]
fn one_broker() {
    let scenario = Scenario {
        brokers: 1,
        name_servers: 1,
        ..Scenario::new("one_broker")
    };
    seeds(scenario, 150);
}

#[test]
fn keyed_only() {
    let scenario = Scenario {
        keys: Keys::All,
        ..Scenario::new("keyed_only")
    };
    seeds(scenario, 150);
}

#[test]
fn shut_down_midway() {
    let scenario = Scenario {
        ending: Ending::Midway,
        ..Scenario::new("shut_down_midway")
    };
    seeds(scenario, 150);
}

#[test]
fn cancelled_sends() {
    let scenario = Scenario {
        cancels: 3,
        ending: Ending::Drop,
        ..Scenario::new("cancelled_sends")
    };
    seeds(scenario, 100);
}

#[test]
fn ordered() {
    let run_seed = |seed: u64| {
        let on_unknown = if seed.is_multiple_of(2) {
            OrderedOnUnknown::Continue
        } else {
            OrderedOnUnknown::Stop
        };
        let scenario = Scenario {
            keys: Keys::All,
            ordered: Some(on_unknown),
            ..Scenario::new("ordered")
        };
        run(&scenario, seed)
    };
    seeds_by("ordered", run_seed, 100);
}

/// Every other seed with a linger; every third with callers that leave.
#[test]
fn batches() {
    let run_seed = |seed: u64| {
        let linger = Duration::from_millis(20 * (seed % 2));
        let scenario = Scenario {
            batches: Some(linger),
            cancels: if seed.is_multiple_of(3) { 5 } else { 0 },
            ending: match seed % 4 {
                0 => Ending::Midway,
                1 => Ending::Drop,
                _ => Ending::Shutdown,
            },
            ..Scenario::new("batches")
        };
        run(&scenario, seed)
    };
    seeds_by("batches", run_seed, 150);
}

#[test]
fn the_same_seed_makes_the_same_troubles() {
    let troubles = |seed| -> Vec<String> {
        let report = run(&Scenario::new("two_brokers"), seed);
        let lines = report.unwrap_or_else(|error| panic!("{error:?}")).history;
        let is_trouble = |line: &String| line.starts_with("Trouble");
        lines.into_iter().filter(is_trouble).collect()
    };
    let all: Vec<_> = (0..3).map(troubles).collect();
    assert!(all.iter().all(|troubles| !troubles.is_empty()));
    assert_ne!(all[0], all[1]);
    for (seed, once) in (0..).zip(&all) {
        assert_eq!(*once, troubles(seed), "seed {seed}");
    }
}

#[test]
fn the_same_seed_makes_the_same_history() {
    let scenarios = [
        Scenario::new("two_brokers"),
        Scenario {
            keys: Keys::All,
            ordered: Some(OrderedOnUnknown::Stop),
            ..Scenario::new("ordered")
        },
        Scenario {
            cancels: 3,
            ending: Ending::Drop,
            ..Scenario::new("cancelled_sends")
        },
        Scenario {
            ending: Ending::Midway,
            ..Scenario::new("shut_down_midway")
        },
        Scenario {
            batches: Some(Duration::from_millis(20)),
            ..Scenario::new("batches")
        },
    ];
    for seed in 0..number("SIM_REPEATED").unwrap_or(10) {
        let mut all = HashSet::new();
        for scenario in &scenarios {
            let history = || {
                let report = run(scenario, seed);
                report.unwrap_or_else(|error| panic!("{error:?}"))
            };
            let once = history();
            for _ in 0..2 {
                let again = history();
                let mut lines = once.history.iter().zip(&again.history);
                let differing = lines.find(|(one, other)| one != other);
                let name = scenario.name;
                assert_eq!(differing, None, "{name}, seed {seed}, first difference");
                assert_eq!(once.digest(), again.digest(), "{name}, seed {seed}");
                assert_eq!(once.to_string(), again.to_string(), "{name}, seed {seed}");
            }
            all.insert(once.digest());
        }
        assert_eq!(all.len(), scenarios.len(), "a history says what happened");
    }
}
