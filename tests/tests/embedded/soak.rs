//! Twenty seconds of everything going wrong, as part of every test run.

use std::time::Duration;

use anyhow::{Context, Result};
use rocketmq_producer_tests::soak::{Embedded, Plan, run};

/// Another seed for the same test: `SOAK_SEED=7 cargo test -p rocketmq-producer-tests soak`.
const VARIABLE: &str = "SOAK_SEED";
const SEED: u64 = 20_260;

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
        memory: None,
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
