//! The results as one Markdown table.

use super::Run;

pub(super) fn print(results: &[(String, u32, Vec<Run>)]) {
    let rounds = results.first().map_or(0, |(_, _, runs)| runs.len());
    println!("\nsync sends of 256 B, medians of {rounds} interleaved rounds (lowest to highest)\n");
    println!(
        "| broker | in flight | messages/s | µs CPU per message | p50 µs | p99 µs | p99.9 µs | max µs | memory MiB | failed |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for (broker, in_flight, runs) in results {
        let median = |field: fn(&Run) -> f64| sorted(runs, field)[runs.len() / 2];
        let failed: u64 = runs.iter().map(|run| run.failed).sum();
        println!(
            "| {broker} | {in_flight} | {} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.1} | {failed} |",
            spread(runs, 0, |run| run.msgs_per_s),
            spread(runs, 2, |run| run.cpu_us_per_msg),
            median(|run| run.p50_us),
            median(|run| run.p99_us),
            median(|run| run.p999_us),
            median(|run| run.max_us),
            median(|run| run.rss_mib),
        );
    }
}

fn spread(runs: &[Run], digits: usize, field: fn(&Run) -> f64) -> String {
    let values = sorted(runs, field);
    let (low, middle, high) = (
        values[0],
        values[values.len() / 2],
        values[values.len() - 1],
    );
    format!("{middle:.digits$} ({low:.digits$} to {high:.digits$})")
}

/// Never empty: there is at least one round.
fn sorted(runs: &[Run], field: fn(&Run) -> f64) -> Vec<f64> {
    let mut values: Vec<f64> = runs.iter().map(field).collect();
    values.sort_by(f64::total_cmp);
    values
}
