//! The page "Table of outcomes" says what happens: each of its rows is provoked.

mod answers;
mod silence;

use std::time::Duration;

use anyhow::{Context, Result};
use rocketmq_producer::{ErrorKind, Message, Producer};
use rocketmq_producer_tests::peer::Peer;
use tokio::task::JoinSet;
use tokio::time::Instant;

const PAGE: &str = include_str!("../../../docs/src/outcome-table.md");
const TOPIC: &str = "outcomes";
/// Of a send; a refresh of a route that nobody answers takes half of what is left.
const BUDGET: Duration = Duration::from_secs(4);
const A: &str = "broker-a";

/// The cells of the table under a heading, its head left out.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let section = PAGE.split("\n## ").find(|part| part.starts_with(heading));
    let lines = section.expect("the heading is there").lines();
    let table = lines
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'));
    table.skip(2).map(cells).collect()
}

fn cells(line: &str) -> Vec<String> {
    let cells = line.trim().trim_matches('|').split('|');
    cells
        .map(|cell| cell.trim().trim_matches('`').to_owned())
        .collect()
}

/// Variants of an enum, or constants of a `codes!` block, as its source names them.
fn names(source: &str, opening: &str) -> Vec<String> {
    let block = source.split(opening).nth(1).expect("it is in the source");
    let block = block.split("\n}").next().expect("it ends");
    let names = block.lines().filter_map(|line| {
        let line = line
            .strip_prefix("        ")
            .or_else(|| line.strip_prefix("    "))?;
        let name = line.split(['(', ' ', ',', '{']).next()?;
        let named = name.starts_with(|first: char| first.is_ascii_uppercase());
        named.then(|| name.to_owned())
    });
    names.collect()
}

/// A producer of its own for these brokers, so that no row knows of another's failures.
async fn producer(brokers: &[(&str, &str)]) -> Result<(Peer, Producer)> {
    let name_server = Peer::mute_name_server(brokers).await?;
    let producer = Producer::builder("outcomes")
        .name_servers(&name_server.address())
        .configure(|settings| {
            settings
                .retry_times(4)
                .connect_timeout(Duration::from_millis(500))
                .send_msg_timeout(BUDGET)
        })
        .start()
        .await?;
    // The route, but no connection: what a dial meets, a send is to meet.
    let entry = producer
        .mapping()
        .topic(TOPIC, Instant::now() + BUDGET)
        .await?;
    entry.reset_round_robin();
    Ok((name_server, producer))
}

/// Checks rows, a few at a time: more would make a small machine late for its own deadlines.
async fn check_all<F>(checks: impl Iterator<Item = F>) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let mut under_way = JoinSet::new();
    for check in checks {
        if under_way.len() == 6
            && let Some(checked) = under_way.join_next().await
        {
            checked??;
        }
        under_way.spawn(check);
    }
    while let Some(checked) = under_way.join_next().await {
        checked??;
    }
    Ok(())
}

fn message() -> Result<Message> {
    Ok(Message::new(TOPIC, "body")?)
}

/// What the health record of the first broker counts.
fn health(producer: &Producer) -> &'static str {
    let records = producer.router().broker_health_info(A);
    let failures: u64 = records.iter().map(|record| record.failure_count).sum();
    let successes: u64 = records.iter().map(|record| record.success_count).sum();
    match (failures, successes) {
        (0, 0) => "–",
        (0, _) => "success",
        _ => "failure",
    }
}

fn kind_name(kind: ErrorKind) -> String {
    format!("{kind:?}")
}

fn check(what: &str, seen: &[&str], row: &[String]) -> Result<()> {
    let said: Vec<&str> = row.iter().map(String::as_str).collect();
    anyhow::ensure!(
        seen == said,
        "{what}: the page says {said:?}, seen {seen:?}"
    );
    Ok(())
}

fn cell(row: &[String], index: usize) -> Result<&str> {
    let cell = row.get(index).with_context(|| format!("{row:?}"))?;
    Ok(cell)
}
