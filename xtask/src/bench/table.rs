//! The results as Markdown tables.

use std::time::Duration;

use super::{Case, Floor, Run};

pub(super) fn print(cases: &[Case]) {
    let rounds = cases.first().map_or(0, |case| case.ours.len());
    println!(
        "\nAwaited sends of 256 B, medians of {rounds} interleaved rounds (lowest to highest). The floor is a bare \
         socket loop with prepared frames of the same size, run right after each.\n"
    );
    println!(
        "| broker | header | in flight | messages/s | of the floor's | µs CPU per message | the floor's | p50 µs | the floor's | p99 µs | p99.9 µs | max µs | memory MiB | failed |"
    );
    println!("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for case in cases {
        let median = |field: fn(&Run) -> f64| middle(&sorted(&case.ours, field));
        let floor = |field: fn(&Floor) -> f64| middle(&sorted(&case.floor, field));
        let failed: u64 = case.ours.iter().map(|run| run.failed).sum();
        let floor_p50 = if case.in_flight == 1 {
            format!("{:.0}", floor(|run| run.p50_us))
        } else {
            "–".to_owned()
        };
        println!(
            "| {} | {} | {} | {} | {:.0} % | {} | {:.2} | {:.0} | {floor_p50} | {:.0} | {:.0} | {:.0} | {:.1} | {failed} |",
            case.target,
            case.header,
            case.in_flight,
            spread(&case.ours, 0, |run| run.msgs_per_s),
            100.0 * median(|run| run.msgs_per_s) / floor(|run| run.msgs_per_s),
            spread(&case.ours, 2, |run| run.cpu_us_per_msg),
            floor(|run| run.cpu_us_per_msg),
            median(|run| run.p50_us),
            median(|run| run.p99_us),
            median(|run| run.p999_us),
            median(|run| run.max_us),
            median(|run| run.rss_mib),
        );
    }
}

/// From process start to process end with one acknowledged message.
pub(super) fn print_start(starts: &mut [Duration]) {
    starts.sort_unstable();
    if let (Some(low), Some(high)) = (starts.first(), starts.last()) {
        let middle = starts[starts.len() / 2];
        println!(
            "\nProcess start, one acknowledged message on the first broker, process end: {middle:.1?} ({low:.1?} to {high:.1?})"
        );
    }
}

fn spread(runs: &[Run], digits: usize, field: fn(&Run) -> f64) -> String {
    let values = sorted(runs, field);
    let (low, high) = (values[0], values[values.len() - 1]);
    format!(
        "{:.digits$} ({low:.digits$} to {high:.digits$})",
        middle(&values)
    )
}

fn middle(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

/// Never empty: there is at least one round.
fn sorted<T>(runs: &[T], field: fn(&T) -> f64) -> Vec<f64> {
    let mut values: Vec<f64> = runs.iter().map(field).collect();
    values.sort_by(f64::total_cmp);
    values
}
