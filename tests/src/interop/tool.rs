//! The command line tool, with a file of settings that has all that the cluster asks for.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::ground::SOON;
use super::row::{Group, row};
use super::trial::QUEUES;
use super::{Cell, Column, Ground};
use crate::command::{self, Ended};

pub(super) const GROUP: Group = Group::new(
    "Command line tool",
    &[
        row!(
            "`send`",
            "lines and JSON lines are sent; the ledger names place and id that Java reads",
            send
        ),
        row!(
            "`route`",
            "names every broker, and says that each queue can be used",
            route
        ),
        row!(
            "`topic create`, `status` and `list`",
            "the topic is there, with its queues and messages",
            topic
        ),
        row!(
            "`message get` and `find`",
            "the message at a place, by its id and by a key",
            message
        ),
        row!(
            "`doctor`, nothing wrong",
            "exit status 0, and no step is wrong",
            sound
        ),
        row!(
            "`doctor`, an unknown topic",
            "exit status 8, and what to do",
            unknown
        ),
    ],
);

/// What the proxy does not know, the commands cannot do.
const UNKNOWN_TO_PROXY: &str = "the proxy does not know the request; the command says so";

async fn run(ground: &Arc<Ground>, args: &[&str], input: &str) -> Result<Ended> {
    let mut all: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
    all.extend(["--namesrv".to_owned(), ground.name_servers()]);
    let (settings, input) = (ground.settings(), input.to_owned());
    let work = move || {
        let args: Vec<&str> = all.iter().map(String::as_str).collect();
        command::run(&args, &settings, &input)
    };
    tokio::task::spawn_blocking(work).await?
}

/// Runs a command that must succeed.
async fn done(ground: &Arc<Ground>, args: &[&str], input: &str) -> Result<Ended> {
    let ended = run(ground, args, input).await?;
    ensure!(ended.status == Some(0), "{args:?}: {ended:#?}");
    Ok(ended)
}

/// The ledger of what `send` sent.
async fn sent(ground: &Arc<Ground>, topic: &str, input: &str) -> Result<Vec<Value>> {
    ground.topic(topic, QUEUES).await?;
    let dir = tempfile::tempdir()?;
    let ledger = dir.path().join("ledger.jsonl");
    let ledger = ledger.to_str().context("a path of text")?;
    let args = [
        "send", "--topic", topic, "--group", topic, "--format", "jsonl", "--ledger", ledger,
    ];
    done(ground, &args, input).await?;
    let lines = std::fs::read_to_string(ledger)?;
    let entries = lines.lines().map(serde_json::from_str::<Value>);
    Ok(entries.collect::<Result<_, _>>()?)
}

async fn send(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "tool-send";
    let input = r#"{"body":"first","keys":["k1"],"tags":"paid"}
{"body":"second","sharding_key":"user-7"}
"#;
    let entries = sent(&ground, topic, input).await?;
    let plain = ["send", "--topic", topic, "--group", topic];
    done(&ground, &plain, "third\nfourth\n").await?;
    let read = ground.read(topic, 4).await?;
    let mut bodies: Vec<_> = read.iter().map(|stored| stored.body.as_slice()).collect();
    bodies.sort_unstable();
    let wanted: [&[u8]; 4] = [b"first", b"fourth", b"second", b"third"];
    ensure!(bodies == wanted, "{read:?}");
    ensure!(entries.len() == 2, "{entries:?}");
    for entry in &entries {
        let found = read.iter().find(|stored| entry["msgId"] == *stored.msg_id);
        let stored = found.with_context(|| format!("not stored: {entry}"))?;
        ensure!(entry["outcome"] == "acked", "{entry}");
        ensure!(entry["broker"] == *stored.broker, "{entry} {stored:?}");
        ensure!(entry["queue"] == stored.queue, "{entry} {stored:?}");
        ensure!(entry["offset"] == stored.offset, "{entry} {stored:?}");
    }
    Ok(Cell::Passed)
}

async fn route(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "tool-route";
    ground.topic(topic, QUEUES).await?;
    let ended = done(&ground, &["route", topic], "").await?;
    for broker in ground.brokers() {
        ensure!(ended.stdout.contains(broker.name()), "{ended:#?}");
    }
    let queues = ground.brokers().len() * QUEUES as usize;
    let usable = format!("{queues} usable queues");
    ensure!(ended.stdout.contains(&usable), "{ended:#?}");
    Ok(Cell::Passed)
}

/// Whether the command says that a server does not know what it was asked.
fn says_unknown(ended: &Ended) -> bool {
    ended.status == Some(1) && ended.stderr.contains("REQUEST_CODE_NOT_SUPPORTED")
}

async fn topic(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "tool-topic";
    let create = ["topic", "create", topic, "--queues", "2"];
    if ground.column() == Column::Proxy {
        let ended = run(&ground, &create, "").await?;
        ensure!(says_unknown(&ended), "{ended:#?}");
        return Cell::not_offered(UNKNOWN_TO_PROXY);
    }
    done(&ground, &create, "").await?;
    let deadline = tokio::time::Instant::now() + SOON;
    let listed = loop {
        let ended = done(&ground, &["topic", "list", "--json"], "").await?;
        let names = ended.json()?;
        let names = names.as_array().context("a list")?;
        if names.iter().any(|name| name == topic) {
            break true;
        }
        if tokio::time::Instant::now() >= deadline {
            break false;
        }
    };
    ensure!(listed, "never listed");
    done(
        &ground,
        &["send", "--topic", topic, "--group", topic],
        "one\n",
    )
    .await?;
    let status = done(&ground, &["topic", "status", topic, "--json"], "").await?;
    let status = status.json()?;
    let queues = status["queues"].as_array().context("queues")?;
    ensure!(queues.len() == 2 * ground.brokers().len(), "{status:#}");
    ensure!(ground.read(topic, 1).await?.len() == 1);
    Ok(Cell::Passed)
}

async fn message(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "tool-message";
    let input = "{\"body\":\"find me\",\"keys\":[\"order-17\"]}\n";
    let entries = sent(&ground, topic, input).await?;
    let entry = entries.first().context("an entry")?;
    let place = entry["offsetMsgId"].as_str().context("an offset id")?;
    let id = entry["msgId"].as_str().context("an id")?;
    let shows = |ended: &Ended| ended.stdout.contains("find me");
    let get = ["message", "get", place, "--topic", topic, "--json"];
    let ended = done(&ground, &get, "").await?;
    ensure!(shows(&ended), "{ended:#?}");
    for (flag, value) in [("--id", id), ("--key", "order-17")] {
        let find = ["message", "find", flag, value, "--topic", topic, "--json"];
        let deadline = tokio::time::Instant::now() + SOON;
        // Brokers index a message some time after they stored it.
        loop {
            let ended = run(&ground, &find, "").await?;
            if ground.column() == Column::Proxy {
                ensure!(says_unknown(&ended), "{ended:#?}");
                return Cell::not_offered(
                    "`get` works; for `find`, the proxy does not know the request",
                );
            }
            if shows(&ended) {
                break;
            }
            let now = tokio::time::Instant::now();
            ensure!(now < deadline, "{ended:#?}");
        }
    }
    Ok(Cell::Passed)
}

async fn doctor(ground: &Arc<Ground>, topic: &str) -> Result<(Option<i32>, Value)> {
    let args = ["doctor", "--topic", topic, "--json"];
    let ended = run(ground, &args, "").await?;
    Ok((ended.status, ended.json()?))
}

async fn sound(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "tool-sound";
    ground.topic(topic, QUEUES).await?;
    let (status, report) = doctor(&ground, topic).await?;
    ensure!(status == Some(0), "{report:#}");
    let stored = ground.read(topic, 0).await?;
    ensure!(stored.is_empty(), "{stored:?}");
    Ok(Cell::Passed)
}

async fn unknown(ground: Arc<Ground>) -> Result<Cell> {
    let (status, report) = doctor(&ground, "tool-nosuch").await?;
    ensure!(status == Some(8), "{report:#}");
    let cause = report["cause"].as_str().context("a cause")?;
    // Automatic creation is on at these clusters.
    ensure!(cause == "topic_not_created_yet", "{report:#}");
    Cell::refused(format!("exit status 8: {cause}"))
}
