//! Which pictures are drawn of the results.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::plots::{self, Bars, Curve};
use super::report::compared;
use super::sample::{Cell, Client, Run, Samples, Work};

/// Draws into `out`; gives the names of the files with what they show.
pub(super) fn draw(
    out: &Path,
    name: &str,
    cells: &[Cell],
    clients: &[Client],
    samples: &Samples,
) -> Result<Vec<(String, String)>> {
    let mut drawn = Vec::new();
    let mut groups: Vec<(String, u32)> = Vec::new();
    for cell in cells {
        let group = (cell.target.clone(), cell.body);
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    for (target, body) in groups {
        let cells: Vec<&Cell> = compared(cells)
            .filter(|cell| cell.target == target && cell.body == body)
            .collect();
        let place = format!("{}-{body}", target.to_lowercase().replace(' ', "-"));
        for (kind, what, unit, field) in [
            ("throughput", "messages per second", "messages/s", RATE),
            ("cpu", "CPU per message", "µs", CPU),
        ] {
            let bars = Bars {
                title: format!("{target}, {body} B: {what}"),
                unit,
                groups: cells
                    .iter()
                    .map(|cell| (group_name(cell), bars(cell, clients, samples, field)))
                    .filter(|(_, bars)| !bars.is_empty())
                    .collect(),
            };
            let file = format!("{name}-{kind}-{place}.svg");
            if !bars.groups.is_empty() {
                bars.draw(&out.join(&file))?;
                drawn.push((file, bars.title));
            }
        }
        let lines = tails(&target, clients, samples);
        if body == 256 && !lines.is_empty() {
            let file = format!("{name}-latency-{place}.svg");
            let title = format!(
                "{target}, {body} B: latency in an open loop at half of each peer's maximum"
            );
            plots::percentiles(&out.join(&file), &title, &lines)?;
            drawn.push((file, title));
        }
    }
    Ok(drawn)
}

const RATE: fn(&Run) -> f64 = |run| run.msgs_per_s;
const CPU: fn(&Run) -> f64 = |run| run.cpu_us_per_msg;

fn group_name(cell: &Cell) -> String {
    match cell.work {
        Work::Batch => "batches of 32".to_owned(),
        _ => format!("{} in flight", cell.in_flight),
    }
}

fn bars(
    cell: &Cell,
    clients: &[Client],
    samples: &Samples,
    field: fn(&Run) -> f64,
) -> Vec<(Client, f64)> {
    clients
        .iter()
        .filter_map(|&client| {
            let spread = samples.over_rounds(|round| samples.get(round, cell, client).map(field));
            let median = spread.median().filter(|median| *median > 0.0)?;
            Some((client, median))
        })
        .collect()
}

/// Each peer's tail, and ours at the rate of the slowest and of the fastest of them.
fn tails(target: &str, clients: &[Client], samples: &Samples) -> Vec<Curve> {
    let mut lines = Vec::new();
    for &peer in clients.iter().filter(|client| client.is_peer()) {
        for client in [peer, Client::Ours] {
            let at = |field: fn(&Run) -> f64| {
                let spread = samples
                    .over_rounds(|round| samples.tail(round, target, client, peer).map(field));
                spread.median()
            };
            let points: Vec<(f64, f64)> = [
                (2.0, at(|run| run.p50_us)),
                (100.0, at(|run| run.p99_us)),
                (1000.0, at(|run| run.p999_us)),
            ]
            .into_iter()
            .filter_map(|(one_in, micros)| Some((one_in, micros.filter(|micros| *micros > 0.0)?)))
            .collect();
            if points.is_empty() {
                continue;
            }
            let name = if client == peer {
                peer.name().to_owned()
            } else {
                format!("ours at the rate of {}", peer.name())
            };
            lines.push(Curve {
                name,
                colour: plots::colour(peer),
                dashed: client != peer,
                points,
            });
        }
    }
    lines
}

/// Draws the cost per message over the number of topics and of brokers from `growth.json` beside the picture; nothing
/// where there is no such file.
pub(super) fn growth(out: &Path) -> Result<Vec<(String, String)>> {
    let file = out.join("growth.json");
    let Ok(text) = std::fs::read_to_string(&file) else {
        return Ok(Vec::new());
    };
    let figures: Value =
        serde_json::from_str(&text).with_context(|| format!("{}", file.display()))?;
    let mut series: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for row in figures["cost"].as_array().map_or(&[][..], Vec::as_slice) {
        let Some(name) = row["series"].as_str() else {
            continue;
        };
        let over = if name.starts_with("brokers") {
            "brokers"
        } else {
            "topics"
        };
        if let (Some(x), Some(nanos)) = (row[over].as_f64(), row["cpu_ns"].as_f64()) {
            series.entry(name).or_default().push((x, nanos / 1e3));
        }
    }
    let clients = [Client::Ours, Client::Go, Client::Rust, Client::Java];
    let lines: Vec<Curve> = series
        .into_iter()
        .zip(clients)
        .map(|((name, points), client)| Curve {
            name: name.to_owned(),
            colour: plots::colour(client),
            dashed: false,
            points,
        })
        .collect();
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    let (picture, title) = (
        "growth.svg",
        "CPU per message by number of topics and of brokers",
    );
    let axes = ("topics or brokers", "µs CPU per message");
    plots::curves(&out.join(picture), title, axes, &lines)?;
    Ok(vec![(picture.to_owned(), title.to_owned())])
}
