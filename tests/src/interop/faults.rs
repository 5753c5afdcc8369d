//! Servers that go away, while messages are sent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use rocketmq_producer::{Message, Producer, SendError, SendReceipt, SendStatus};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use xtask::apache::{Node, Version};

use super::ground::{PATIENT, SOON, end};
use super::row::{Group, row_alone};
use super::trial::{Trial, stored};
use super::{Cell, Column, Ground};

pub(super) const GROUP: Group = Group::new(
    "Servers that fail",
    &[
        row_alone!(
            "a suspended broker",
            "gets nothing until it is resumed",
            suspended
        ),
        row_alone!(
            "name server gone",
            "known routes go on being used",
            name_server_gone
        ),
        row_alone!(
            "a broker hangs",
            "unkeyed sends do not fail, the broker is used again after it woke",
            hanging
        ),
        row_alone!(
            "a broker is killed and comes back",
            "unkeyed sends do not fail where there is another; nothing acknowledged is lost",
            killed
        ),
        row_alone!(
            "the slave is gone",
            "status `FLUSH_SLAVE_TIMEOUT` or `SLAVE_NOT_AVAILABLE`, not `SEND_OK`",
            slave_gone
        ),
        row_alone!(
            "a broker shuts down",
            "in an orderly way, with GO_AWAY where it knows that: unkeyed sends do not fail where there is another",
            shut_down
        ),
    ],
);

type Outcome = (Result<SendReceipt, SendError>, Bytes);

/// Eight senders that send on until they are stopped.
struct Load {
    senders: JoinSet<Vec<Outcome>>,
    acked: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Load {
    fn start(producer: &Producer, topic: &'static str) -> Self {
        let (acked, stop) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let mut senders = JoinSet::new();
        for sender in 0..8 {
            let (acked, stop) = (Arc::clone(&acked), Arc::clone(&stop));
            let producer = producer.clone();
            senders.spawn(async move {
                let mut outcomes = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let body = Bytes::from(format!("{topic} {sender} {}", outcomes.len()));
                    let Ok(message) = Message::new(topic, body.clone()) else {
                        break;
                    };
                    let outcome = producer.send(message).await;
                    acked.fetch_add(usize::from(outcome.is_ok()), Ordering::SeqCst);
                    outcomes.push((outcome, body));
                    // A steady load that leaves the processors to the brokers.
                    sleep(Duration::from_millis(5)).await;
                }
                outcomes
            });
        }
        Self {
            senders,
            acked,
            stop,
        }
    }

    /// Waits until so many more are acknowledged.
    async fn more(&self, count: usize) -> Result<()> {
        let enough = self.acked.load(Ordering::SeqCst) + count;
        let arrived = async {
            while self.acked.load(Ordering::SeqCst) < enough {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, arrived).await.context("no more receipts")
    }

    async fn end(mut self) -> Result<Vec<Outcome>> {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Vec::new();
        while let Some(outcomes) = self.senders.join_next().await {
            all.extend(outcomes?);
        }
        Ok(all)
    }
}

/// Names of the brokers that took the next so many messages.
async fn taken_by(trial: &mut Trial, count: usize) -> Result<BTreeSet<String>> {
    let mut brokers = BTreeSet::new();
    for _ in 0..count {
        let receipt = trial.send(rocketmq_producer::SendOptions::new()).await?;
        brokers.insert(receipt.queue().broker_name().to_string());
    }
    Ok(brokers)
}

async fn suspended(ground: Arc<Ground>) -> Result<Cell> {
    let mut trial = Trial::new(&ground, "suspended").await?;
    let first = ground.brokers().first().context("a broker")?.name();
    taken_by(&mut trial, 16).await?;
    let router = trial.producer.router();
    ensure!(
        router.suspend_broker(first, Instant::now()),
        "{first} is not known"
    );
    let without = taken_by(&mut trial, 16).await;
    let router = trial.producer.router();
    ensure!(router.resume_broker(first, Instant::now()));
    if ground.brokers().len() == 1 {
        let error = without.err().context("a suspended broker was used")?;
        taken_by(&mut trial, 4).await?;
        trial.judge().await?;
        return Cell::refused(format!("one master only: {error}"));
    }
    ensure!(!without?.contains(first), "{first} was used");
    let mut after = BTreeSet::new();
    // Which broker is the quicker one decides with the others.
    while !after.contains(first) && trial.oracle.receipts() < 1000 {
        after.extend(taken_by(&mut trial, 16).await?);
    }
    ensure!(after.contains(first), "{after:?}");
    trial.judge().await?;
    Ok(Cell::Passed)
}

async fn name_server_gone(ground: Arc<Ground>) -> Result<Cell> {
    let mut trial = Trial::with(&ground, "no-name-server", |builder| {
        builder.configure(|settings| settings.poll_name_server_interval(Duration::from_secs(1)))
    })
    .await?;
    taken_by(&mut trial, 4).await?;
    let server = Arc::clone(&ground);
    tokio::task::spawn_blocking(move || on_name_server(&server, Node::pause)).await??;
    let load = Load::start(&trial.producer, trial.topic);
    let went_on = load.more(200).await;
    let outcomes = load.end().await?;
    let server = Arc::clone(&ground);
    tokio::task::spawn_blocking(move || on_name_server(&server, Node::resume)).await??;
    went_on?;
    for (outcome, body) in outcomes {
        trial.oracle.acked(&outcome?, &body);
    }
    trial.judge().await?;
    Ok(Cell::Passed)
}

fn on_name_server(ground: &Ground, what: fn(&Node) -> Result<()>) -> Result<()> {
    ground.cluster().name_servers().iter().try_for_each(what)
}

/// Judges a load; says how many sends failed.
async fn settle(mut trial: Trial, outcomes: Vec<Outcome>) -> Result<usize> {
    let mut failed = 0;
    let mut weak = Vec::new();
    for (outcome, body) in outcomes {
        failed += usize::from(outcome.is_err());
        match outcome {
            // Right after the master's return its slave does not follow yet, and the receipt says so.
            Ok(receipt)
                if receipt.status() != SendStatus::SendOk
                    && trial.ground.column() == Column::SyncSlave =>
            {
                trial.oracle.possibly(receipt.message_id());
                weak.push(receipt);
            }
            outcome => trial.oracle.outcome(&outcome, &body),
        }
    }
    let read = trial.judge_kept().await?;
    for receipt in &weak {
        stored(&read, receipt)?;
    }
    Ok(failed)
}

async fn hanging(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "hanging";
    let trial = Trial::with(&ground, topic, |builder| {
        builder.configure(|settings| settings.send_msg_timeout(PATIENT))
    })
    .await?;
    let load = Load::start(&trial.producer, topic);
    load.more(100).await?;
    ground.with_broker(0, Node::pause).await?;
    // Longer than a send that waits for it would take from its share of the budget.
    sleep(Duration::from_secs(3)).await;
    let went_on = if ground.brokers().len() > 1 {
        load.more(200).await
    } else {
        Ok(())
    };
    ground.with_broker(0, Node::resume).await?;
    went_on?;
    load.more(200).await?;
    let failed = settle(trial, load.end().await?).await?;
    ensure!(failed == 0, "{failed} sends failed");
    if ground.brokers().len() > 1 {
        Ok(Cell::Passed)
    } else {
        Cell::but("one master only: sends wait for it within their budget")
    }
}

async fn killed(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "killed";
    let trial = Trial::new(&ground, topic).await?;
    let load = Load::start(&trial.producer, topic);
    load.more(100).await?;
    ground.with_broker(0, Node::kill).await?;
    let went_on = if ground.brokers().len() > 1 {
        load.more(200).await
    } else {
        Ok(())
    };
    ground.with_broker(0, Node::start).await?;
    went_on?;
    load.more(300).await?;
    let failed = settle(trial, load.end().await?).await?;
    if ground.brokers().len() > 1 {
        ensure!(failed == 0, "{failed} sends failed");
        return Ok(Cell::Passed);
    }
    Cell::but(format!(
        "one master only: {failed} sends failed while it was away, each with its true outcome"
    ))
}

async fn slave_gone(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "slave-gone";
    if ground.column() != Column::SyncSlave {
        let mut trial = Trial::new(&ground, topic).await?;
        let receipt = trial.send(rocketmq_producer::SendOptions::new()).await?;
        ensure!(receipt.status() == SendStatus::SendOk);
        trial.judge().await?;
        return Cell::not_offered("no slaves: `SEND_OK`");
    }
    let mut trial = Trial::with(&ground, topic, |builder| {
        builder.configure(|settings| settings.retry_times(0))
    })
    .await?;
    let receipt = trial.send(rocketmq_producer::SendOptions::new()).await?;
    ensure!(receipt.status() == SendStatus::SendOk, "{receipt:?}");
    let cluster = Arc::clone(&ground);
    let slave = move |what: fn(&Node) -> Result<()>| {
        let cluster = Arc::clone(&cluster);
        tokio::task::spawn_blocking(move || {
            what(cluster.cluster().slaves().first().context("no slave")?)
        })
    };
    slave(Node::kill).await??;
    let message = Message::new(topic, "on the master only")?;
    let receipt = trial.producer.send(message).await;
    slave(Node::start).await??;
    let cluster = Arc::clone(&ground);
    tokio::task::spawn_blocking(move || cluster.wait_for_slave()).await??;
    let receipt = receipt?;
    ensure!(receipt.status() != SendStatus::SendOk, "{receipt:?}");
    trial.oracle.possibly(receipt.message_id());
    end(&trial.producer).await?;
    let read = ground.read(topic, 2).await?;
    trial.oracle.judge(&read).kept()?;
    stored(&read, &receipt)?;
    Cell::but(format!(
        "a receipt with status {}, the message is on the master",
        receipt.status().as_str()
    ))
}

async fn shut_down(ground: Arc<Ground>) -> Result<Cell> {
    let topic = "shut-down";
    let trial = Trial::new(&ground, topic).await?;
    let load = Load::start(&trial.producer, topic);
    load.more(100).await?;
    ground.with_broker(0, Node::stop).await?;
    let went_on = if ground.brokers().len() > 1 {
        load.more(200).await
    } else {
        Ok(())
    };
    ground.with_broker(0, Node::start).await?;
    went_on?;
    load.more(100).await?;
    let told = trial.producer.stats().brokers.go_aways > 0;
    // A proxy stays, and says nothing of its brokers.
    let knows = ground.version() == Version::V5_5_0 && ground.column() != Column::Proxy;
    ensure!(told == knows, "GO_AWAY: {told}");
    let failed = settle(trial, load.end().await?).await?;
    if ground.brokers().len() > 1 {
        ensure!(failed == 0, "{failed} sends failed");
        if told {
            return Ok(Cell::Passed);
        }
        return Cell::but("nobody says GO_AWAY");
    }
    Cell::but(format!(
        "one master only: {failed} sends failed while it was away, each with its true outcome"
    ))
}
