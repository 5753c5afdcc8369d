//! Every code that a broker may answer a send with.

use std::collections::HashSet;

use anyhow::{Context, Result};
use rocketmq_producer::remoting::ResponseCode;
use rocketmq_producer::{Delivery, SendError, SendReceipt};
use rocketmq_producer_tests::peer::{Peer, Reply};

use super::{BUDGET, cell, check, check_all, health, kind_name, message, names, producer, rows};

const CODES: &str = include_str!("../../../../crates/remoting/src/code.rs");

/// A code that no broker has.
const OTHER: i32 = 4711;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_means_what_its_row_says() -> Result<()> {
    let rows = rows("Answers");
    anyhow::ensure!(rows.len() > 15, "the table was read");
    check_all(rows.into_iter().map(check_row)).await
}

async fn check_row(row: Vec<String>) -> Result<()> {
    let what = format!("{} {}", cell(&row, 0)?, cell(&row, 2)?);
    let code = match cell(&row, 0)? {
        "other" => OTHER,
        number => number.parse().with_context(|| what.clone())?,
    };
    let name = ResponseCode(code).name().unwrap_or_default();
    assert_eq!(name, cell(&row, 1)?, "{what}");
    let remark = match cell(&row, 2)? {
        "" => "whatever".to_owned(),
        "none" => String::new(),
        pattern => pattern.replace('…', "some words"),
    };
    let seen = Seen::provoke(code, &remark).await.context(what.clone())?;
    let kind = seen.kind();
    let seen = [&kind, seen.delivery(), seen.again()?, seen.health];
    check(&what, &seen, row.get(3..).unwrap_or_default())
}

#[test]
fn every_code_has_a_row() {
    let known = names(CODES, "    ResponseCode {\n");
    assert!(known.len() > 15, "the source was read: {known:?}");
    let on_page: HashSet<String> = rows("Answers")
        .into_iter()
        .filter_map(|row| row.into_iter().nth(1))
        .collect();
    for name in known {
        assert!(on_page.contains(&name), "{name} has no row");
    }
}

/// What came of a send when all of three brokers answer alike.
struct Seen {
    outcome: Result<SendReceipt, SendError>,
    health: &'static str,
}

impl Seen {
    async fn provoke(code: i32, remark: &str) -> Result<Self> {
        let mut brokers = Vec::new();
        for _ in 0..3 {
            let remark = remark.to_owned();
            brokers.push(Peer::broker(move |_, _| Reply::answer(code, &remark)).await?);
        }
        let addresses: Vec<String> = brokers.iter().map(Peer::address).collect();
        let named: Vec<(&str, &str)> = ["broker-a", "broker-b", "broker-c"]
            .into_iter()
            .zip(addresses.iter().map(String::as_str))
            .collect();
        let (_name_server, producer) = producer(&named).await?;
        let outcome = producer.send(message()?).await;
        Ok(Self {
            outcome,
            health: health(&producer),
        })
    }

    fn kind(&self) -> String {
        match &self.outcome {
            Ok(_) => "receipt".to_owned(),
            Err(error) => kind_name(error.kind()),
        }
    }

    fn delivery(&self) -> &'static str {
        match &self.outcome {
            Ok(_) => "receipt",
            Err(error) => match error.delivery() {
                Delivery::NotSent => "NotSent",
                Delivery::Rejected => "Rejected",
                Delivery::Unknown => "Unknown",
            },
        }
    }

    /// The words for where the attempts went.
    fn again(&self) -> Result<&'static str> {
        let Err(error) = &self.outcome else {
            return Ok("–");
        };
        let attempts = error.attempts();
        let brokers: HashSet<&str> = attempts.iter().map(|attempt| attempt.broker()).collect();
        let refreshed = attempts.windows(2).next().is_some_and(|pair| {
            let between = pair[1].began_after() - pair[0].began_after() - pair[0].elapsed();
            between > BUDGET / 3
        });
        Ok(match (attempts.len(), brokers.len()) {
            (1, 1) => "never",
            (2, _) if refreshed => "refreshed, once",
            (2, 2) => "other, once",
            (3, 3) if refreshed => "refreshed, others",
            (3, 3) => "others",
            (5, 3) => {
                let pause = attempts[3].began_after() - attempts[2].began_after();
                anyhow::ensure!(pause > attempts[2].elapsed(), "no pause: {attempts:?}");
                "elsewhere"
            }
            other => anyhow::bail!("{other:?}: {attempts:?}"),
        })
    }
}
