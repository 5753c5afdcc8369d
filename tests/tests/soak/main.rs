//! Twenty seconds of everything going wrong, as part of every test run. A program of its own, so that nothing else is in
//! the memory that it counts.

use std::time::Duration;

use anyhow::{Context, Result};
use rocketmq_producer_tests::soak::{Embedded, Plan, run};

/// Another seed for the same test: `SOAK_SEED=7 cargo test -p rocketmq-producer-tests soak`.
const VARIABLE: &str = "SOAK_SEED";
const SEED: u64 = 20_260;

#[global_allocator]
static HEAP: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, usize::MAX);

#[expect(
    clippy::print_stdout,
    reason = "a failure is looked at by its seed and schedule"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_seconds_of_faults_at_random_break_no_promise() -> Result<()> {
    let seed = match std::env::var(VARIABLE) {
        Ok(text) => text.parse().with_context(|| format!("{VARIABLE}={text}"))?,
        Err(_) => SEED,
    };
    let plan = Plan {
        auto_batch: false,
        seed,
        time: Duration::from_secs(20),
        tell: |text| println!("{text}"),
        memory: Some(|| (HEAP.allocated() / 1024) as u64),
    };
    let report = run(Embedded::start().await?, &plan).await?;
    println!("{report}");
    assert_eq!(report.breaches(), [""; 0], "seed {seed}");
    let mishaps = report
        .rounds
        .iter()
        .map(|round| round.mishaps)
        .sum::<usize>();
    assert!(
        mishaps >= 8,
        "only {mishaps} things went wrong with seed {seed}"
    );
    Ok(())
}
