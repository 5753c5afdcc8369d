//! Every way of getting no answer.

mod links;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use rocketmq_producer::remoting::{CloseReason, ConnectFailure, RequestFailure};
use rocketmq_producer::{Delivery, SendFailure, SendOptions};
use rocketmq_producer_tests::peer::{HungAddress, Peer, Reply, closed_address};

use super::{cell, check, check_all, health, kind_name, message, names, producer, rows};

const ERRORS: &str = include_str!("../../../../crates/remoting/src/connection/error.rs");

/// How a case is provoked.
type Case = Pin<Box<dyn Future<Output = Result<Seen>> + Send>>;

/// What came of an attempt.
pub(super) struct Seen {
    failure: SendFailure,
    /// The columns "tried again" and "health", if the case was provoked in a whole send.
    after: Option<(&'static str, &'static str)>,
}

impl From<SendFailure> for Seen {
    fn from(failure: SendFailure) -> Self {
        Self {
            failure,
            after: None,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_failure_means_what_its_row_says() -> Result<()> {
    let rows = rows("No answer");
    anyhow::ensure!(rows.len() > 15, "the table was read");
    check_all(rows.into_iter().map(check_row)).await
}

#[test]
fn every_way_to_fail_has_a_row() {
    let on_page: Vec<String> = rows("No answer")
        .into_iter()
        .filter_map(|row| row.into_iter().nth(1))
        .collect();
    for kind in ["ConnectFailure", "RequestFailure", "CloseReason"] {
        let variants = names(ERRORS, &format!("pub enum {kind} {{\n"));
        assert!(variants.len() > 3, "the source was read: {variants:?}");
        for variant in variants {
            let name = format!("{kind}::{variant}");
            // Its reasons stand for it.
            let is_there = name == "RequestFailure::ConnectionLost" || on_page.contains(&name);
            assert!(is_there, "{name} has no row");
        }
    }
}

async fn check_row(row: Vec<String>) -> Result<()> {
    let what = cell(&row, 0)?.to_owned();
    let case = case(&what).with_context(|| format!("nothing provokes: {what}"))?;
    let seen = case.await.context(what.clone())?;
    let kind = kind_name(seen.failure.kind());
    let delivery = match seen.failure.delivery() {
        Delivery::NotSent => "NotSent",
        Delivery::Rejected => "Rejected",
        Delivery::Unknown => "Unknown",
    };
    let (again, health) = match seen.after {
        Some(after) => after,
        // Cannot be seen from outside; its neighbours are checked.
        None => (cell(&row, 4)?, cell(&row, 5)?),
    };
    let cause = cause(&seen.failure);
    let seen = [&cause, &*kind, delivery, again, health];
    check(&what, &seen, row.get(1..).unwrap_or_default())
}

/// The second column.
fn cause(failure: &SendFailure) -> String {
    let name = match failure {
        SendFailure::Answer(_) => "SendFailure::Answer",
        SendFailure::Connect(error) => match error.failure() {
            ConnectFailure::DeadlineExceeded => "ConnectFailure::DeadlineExceeded",
            ConnectFailure::Io(_) => "ConnectFailure::Io",
            ConnectFailure::TimedOut(_) => "ConnectFailure::TimedOut",
            ConnectFailure::EndedAtOnce(_) => "ConnectFailure::EndedAtOnce",
            ConnectFailure::BackingOff { cause, .. }
                if matches!(**cause, ConnectFailure::EndedAtOnce(_)) =>
            {
                "ConnectFailure::EndedAtOnce"
            }
            ConnectFailure::BackingOff { .. } => "ConnectFailure::BackingOff",
            ConnectFailure::PoolClosed => "ConnectFailure::PoolClosed",
            other => return format!("{other:?}"),
        },
        SendFailure::Request(error) => match error.failure() {
            RequestFailure::ConnectionLost(reason) => match &**reason {
                CloseReason::Local => "CloseReason::Local",
                CloseReason::GoAway => "CloseReason::GoAway",
                CloseReason::PeerClosed => "CloseReason::PeerClosed",
                CloseReason::Io(_) => "CloseReason::Io",
                CloseReason::Protocol(_) => "CloseReason::Protocol",
                other => return format!("{other:?}"),
            },
            RequestFailure::DeadlineExceeded => "RequestFailure::DeadlineExceeded",
            RequestFailure::Frame(_) => "RequestFailure::Frame",
            RequestFailure::Hook(_) => "RequestFailure::Hook",
            RequestFailure::PendingFull { .. } => "RequestFailure::PendingFull",
            RequestFailure::WriteBufferFull => "RequestFailure::WriteBufferFull",
            other => return format!("{other:?}"),
        },
        other => return format!("{other:?}"),
    };
    name.to_owned()
}

/// What provokes the first column.
fn case(what: &str) -> Option<Case> {
    Some(match what {
        "dial refused" => Box::pin(refused()),
        "address not resolved" => Box::pin(unresolved()),
        "dial not answered within `connect_timeout" => Box::pin(unanswered_dial()),
        "dial not answered within the attempt's time" => Box::pin(links::dial_too_slow()),
        "dial failed a moment ago" => Box::pin(links::backing_off()),
        "connection ended a moment ago before any answer" => Box::pin(links::ended_at_once()),
        "pool closed" => Box::pin(links::pool_closed()),
        "peer closed, nothing had left" => Box::pin(links::peer_closed_before()),
        "peer closed, something had left" => Box::pin(scripted(Reply::Close)),
        "reading or writing failed, nothing had left" => Box::pin(links::reset(false)),
        "reading or writing failed, something had left" => Box::pin(links::reset(true)),
        "unreadable frame, nothing had left" => Box::pin(links::garbage_before()),
        "unreadable frame, something had left" => {
            Box::pin(scripted(Reply::Bytes(Bytes::from_static(&[0xff; 64]))))
        }
        "connection leaves after GO_AWAY, nothing had left" => Box::pin(links::leaving()),
        "closed by this side, nothing had left" => Box::pin(links::closed_here(false)),
        "closed by this side, something had left" => Box::pin(links::closed_here(true)),
        "no time left, nothing had left: taken back" => Box::pin(links::taken_back()),
        "no answer in time, something had left" => Box::pin(scripted(Reply::Silence)),
        "no room in the write buffer in time" => Box::pin(links::no_room()),
        "too many requests pending" => Box::pin(links::pending_full()),
        "request larger than a frame" => Box::pin(links::too_large()),
        "request that a hook refused" => Box::pin(links::hooked()),
        "receipt cannot be read" => Box::pin(unreadable_receipt()),
        _ => return None,
    })
}

async fn refused() -> Result<Seen> {
    sent(&closed_address()?).await
}

async fn unresolved() -> Result<Seen> {
    // No name server of the host has to be asked about this one.
    sent("no address at all").await
}

async fn unanswered_dial() -> Result<Seen> {
    let hung = HungAddress::new()?;
    sent(&hung.address()?).await
}

async fn scripted(reply: Reply) -> Result<Seen> {
    let peer = Peer::broker(move |_, _| reply.clone()).await?;
    sent(&peer.address()).await
}

/// A success that names no place.
async fn unreadable_receipt() -> Result<Seen> {
    let peer = Peer::broker(|_, _| Reply::Body(Bytes::new())).await?;
    sent(&peer.address()).await
}

/// What comes of a send when the first of two brokers is at this address and the second is well.
async fn sent(address: &str) -> Result<Seen> {
    let well = Peer::broker(|_, _| Reply::receipt()).await?;
    let (_name_server, producer) =
        producer(&[("broker-a", address), ("broker-b", &well.address())]).await?;
    let options = SendOptions::new().timeout(Duration::from_secs(5));
    // Which of the two is asked first is the router's choice.
    for _ in 0..20 {
        let receipt = producer.send_with(message()?, options.clone()).await?;
        let attempts: Vec<_> = receipt.attempts().collect();
        let Some(failed) = attempts.iter().find(|attempt| attempt.failure().is_some()) else {
            continue;
        };
        anyhow::ensure!(failed.broker() == "broker-a", "{attempts:?}");
        let last = attempts.last().context("an attempt")?;
        let again = if last.broker() == "broker-b" {
            "elsewhere"
        } else {
            "at the same"
        };
        let failure = failed.failure().context("it failed")?.clone();
        return Ok(Seen {
            failure,
            after: Some((again, health(&producer))),
        });
    }
    anyhow::bail!("no send tried the first broker")
}
