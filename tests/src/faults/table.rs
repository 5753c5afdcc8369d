//! The figures as Markdown.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Mode, Plan, Row};

/// The table of all cases, with the aims beneath.
#[must_use]
pub fn table(plan: &Plan, rows: &[Row]) -> String {
    let by_load: &[Column] = if plan.mode == Mode::Mixed { LOAD } else { &[] };
    let by_brokers = if plan.brokers > 1 { SEVERAL } else { SINGLE };
    let by_keys = if plan.mode == Mode::Unkeyed {
        &[]
    } else {
        KEYED
    };
    let (case, others) = COLUMNS.split_at(1);
    let columns = [case, by_load, others, by_brokers, by_keys].concat();
    let mut text = String::new();
    let mut line = |cells: Vec<String>| {
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    };
    line(columns.iter().map(|c| c.name.to_owned()).collect());
    line(columns.iter().map(|_| "---".to_owned()).collect());
    for row in rows {
        line(columns.iter().map(|c| (c.cell)(row)).collect());
    }
    for is_keyed in plan.mode.loads() {
        let aim = |column: &Column| match column.name {
            "load" => format!("*{}*", load(*is_keyed)),
            name if FOR_FAILOVER.contains(&name) && (plan.brokers == 1 || *is_keyed) => {
                String::new()
            }
            name if KEYED.iter().any(|own| own.name == name) && !is_keyed => String::new(),
            _ if column.aim.is_empty() => String::new(),
            _ => format!("*{}*", column.aim),
        };
        line(columns.iter().map(aim).collect());
    }
    text
}

const fn load(is_keyed: bool) -> &'static str {
    if is_keyed { "keyed" } else { "unkeyed" }
}

/// What deserves a look, case by case; empty if nothing does.
#[must_use]
pub fn findings(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        for finding in &row.findings {
            let _ = writeln!(
                text,
                "- {}, {}, at {} in flight: {}",
                row.case,
                load(row.is_keyed),
                row.in_flight,
                finding.what
            );
            for frame in &finding.frames {
                let _ = writeln!(text, "    - {frame}");
            }
        }
    }
    text
}

/// Aims that hold only where a message may go to another broker.
const FOR_FAILOVER: [&str; 6] = [
    "not sent / rejected / unknown",
    "longest send",
    "under half rate",
    "failed attempts, dials",
    "avoided after",
    "tried later",
];

#[derive(Clone, Copy)]
struct Column {
    name: &'static str,
    aim: &'static str,
    cell: fn(&Row) -> String,
}

const fn column(name: &'static str, aim: &'static str, cell: fn(&Row) -> String) -> Column {
    Column { name, aim, cell }
}

const COLUMNS: [Column; 11] = [
    column("case", "aim", |row| row.case.to_string()),
    column("in flight", "", |row| row.in_flight.to_string()),
    column("acknowledged", "", |row| row.figures.acked.to_string()),
    column("not sent / rejected / unknown", "0 / 0 / 0", |row| {
        let [not_sent, rejected, unknown] = row.figures.failed;
        format!("{not_sent} / {rejected} / {unknown}")
    }),
    column("lost", "0", |row| row.verdict.lost.to_string()),
    column("wrongly claimed", "0", |row| {
        row.verdict.overstated.to_string()
    }),
    column("duplicates", "few", |row| {
        row.verdict.duplicates.to_string()
    }),
    column("longest send", "< 1.2 s", |row| {
        seconds(row.figures.longest)
    }),
    column("under half rate", "< 1 s", |row| seconds(row.figures.dip)),
    column("failed attempts, dials", "few", |row| {
        format!("{}, {}", row.figures.failed_tries, row.failed_dials)
    }),
    column("canary", "", |row| seconds(row.canary)),
];

const LOAD: &[Column] = &[column("load", "", |row| load(row.is_keyed).to_owned())];

const SEVERAL: &[Column] = &[
    column("avoided after", "< 0.5 s", |row| {
        optional(row.figures.avoided)
    }),
    column("tried later", "few", |row| {
        let avoided = row.figures.avoided;
        avoided.map_or_else(|| "–".to_owned(), |_| row.figures.tried_later.to_string())
    }),
    column("full use after", "< 5 s", |row| {
        optional(row.figures.recovered)
    }),
];

const SINGLE: &[Column] = &[
    column("late: p99, max", "< 0.05 s, that + canary", |row| {
        let late = row.figures.late;
        late.map_or_else(
            || "–".to_owned(),
            |(p99, most)| format!("{}, {}", seconds(p99), seconds(most)),
        )
    }),
    column("early by", "", |row| optional(row.figures.early)),
    column("first success after", "< 2 s", |row| {
        optional(row.figures.first_ack)
    }),
];

const KEYED: &[Column] = &[
    column("keys moved", "0", |row| {
        keyed(row, |keys| keys.moved.to_string())
    }),
    column("other keys: failed", "0", |row| {
        keyed(row, |keys| keys.others_failed.to_string())
    }),
    column("their longest", "< 1.2 s", |row| {
        keyed(row, |keys| seconds(keys.others_longest))
    }),
    column("they under half rate", "< 1 s", |row| {
        keyed(row, |keys| seconds(keys.others_dip))
    }),
];

fn keyed(row: &Row, cell: impl FnOnce(&super::Keyed) -> String) -> String {
    row.figures
        .keyed
        .as_ref()
        .map_or_else(|| "–".to_owned(), cell)
}

fn optional(time: Option<Duration>) -> String {
    time.map_or_else(|| "–".to_owned(), seconds)
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}
