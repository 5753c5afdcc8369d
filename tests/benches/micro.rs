//! What the pieces of a send cost, and a whole one.
//!
//! `cargo run --release -p rocketmq-producer-tests --bin micro -- --bench` measures time, with criterion.
//! `cargo xtask bench --check` counts instructions: it runs `micro --count CASE` under callgrind, which looks only at
//! what [`count::run`] does. Both measure the same cases, each of which repeats one operation.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench has no callers, and stops at what it did not expect"
)]

mod cases;
mod count;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["--cases"] => cases::ALL.iter().for_each(|case| println!("{}", case.name)),
        ["--count", name] => count::run(name),
        _ => time(),
    }
}

fn time() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for case in cases::ALL {
        let mut repeat = (case.prepare)();
        criterion.bench_function(case.name, |bencher| {
            bencher.iter_custom(|times| {
                // criterion asks for any number; a case has its own.
                let rounds = times.div_ceil(case.repeats);
                let start = cases::now();
                for _ in 0..rounds {
                    repeat(case.repeats);
                }
                let share = times as f64 / (rounds * case.repeats) as f64;
                start.elapsed().mul_f64(share)
            });
        });
    }
    criterion.final_summary();
}
