//! What a receipt says is stored, whatever happened to the send on its way.

use anyhow::Result;
use bytes::Bytes;
use rocketmq_producer::remoting::ResponseCode;
use rocketmq_producer::{Delivery, SendStatus};
use rocketmq_producer_embedded::{Condition, EmbeddedCluster, Fault, Reaction};
use rocketmq_producer_tests::fuzz::random::Random;
use rocketmq_producer_tests::oracle::Oracle;
use rocketmq_producer_tests::payload::noise;
use rocketmq_producer_tests::peer::{Peer, Reply};
use tokio::task::JoinSet;

use crate::support::{A, B, PATIENT, TOPIC, cluster, message, millis, producer, random};

const SENDERS: u64 = 32;
const EACH: u64 = 40;

/// A thing that may happen to one send.
fn mishap(random: &mut Random) -> Reaction {
    match random.below(12) {
        0 => Reaction::CloseBefore,
        1 => Reaction::CloseAfter,
        2 => Reaction::Swallow,
        3 => Reaction::Discard,
        4 => Reaction::Duplicate,
        5 => Reaction::StrayResponse,
        6 => Reaction::Garbage(Bytes::from_static(b"\xff\xff\xff\xff no frame at all")),
        7 => Reaction::Delay(millis(30)),
        8 => Reaction::go_away(),
        9 => Reaction::answer(ResponseCode::SYSTEM_BUSY, "[REJECTREQUEST]busy"),
        10 => Reaction::answer(ResponseCode::SYSTEM_ERROR, "boom"),
        _ => Reaction::answer(ResponseCode::SERVICE_NOT_AVAILABLE, "not now"),
    }
}

fn arm(cluster: &EmbeddedCluster, random: &mut Random) -> Result<()> {
    let broker = if random.one_in(2) { A } else { B };
    let fault = Fault::once(Condition::sends(), mishap(random));
    cluster.faults(broker)?.arm(fault);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_message_is_lost() -> Result<()> {
    let cluster = cluster().start().await?;
    let producer = producer(&cluster.name_servers(), |settings| {
        settings.send_msg_timeout(millis(400)).retry_times(3)
    })
    .await?;
    let mut faults = random("lost", 1);
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let producer = producer.clone();
        senders.spawn(async move {
            let mut outcomes = Vec::new();
            for index in 0..EACH {
                let seed = sender * EACH + index;
                let body = noise(seed, 1 + usize::try_from(seed % 700)?);
                outcomes.push((producer.send(message(body.clone())?).await, body));
            }
            anyhow::Ok(outcomes)
        });
    }
    // Faults come as the load goes on; one broker is killed twice and comes back.
    for step in 1..=40_usize {
        arm(&cluster, &mut faults)?;
        let reached = usize::try_from(SENDERS * EACH)? * step / 60;
        let under_way = || !senders.is_empty() && producer.stats().total_sent < reached as u64;
        while under_way() && !all_done(&producer) {
            tokio::task::yield_now().await;
        }
        match step {
            10 | 30 => cluster.stop_broker(B).await?,
            15 | 35 => cluster.start_broker(B).await?,
            _ => {}
        }
    }
    let mut oracle = Oracle::new();
    let (mut acked, mut failed) = (0, 0);
    while let Some(outcomes) = senders.join_next().await {
        for (outcome, body) in outcomes?? {
            acked += usize::from(outcome.is_ok());
            failed += usize::from(outcome.is_err());
            oracle.outcome(&outcome, &body);
        }
    }
    producer.shutdown(PATIENT).await;
    oracle.judge(&cluster.messages(TOPIC)).kept()?;
    assert_eq!(acked + failed, usize::try_from(SENDERS * EACH)?);
    assert!(acked > failed, "{acked} stored, {failed} not");
    Ok(())
}

/// Whether every message has its outcome.
fn all_done(producer: &rocketmq_producer::Producer) -> bool {
    let stats = producer.stats();
    stats.total_sent + stats.total_failed == SENDERS * EACH
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_weaker_receipt_is_never_called_stored_safely() -> Result<()> {
    for (code, status) in [
        (10, SendStatus::FlushDiskTimeout),
        (11, SendStatus::SlaveNotAvailable),
        (12, SendStatus::FlushSlaveTimeout),
    ] {
        let broker = Peer::broker(move |_, _| Reply::Answer(ResponseCode(code), None)).await?;
        let name_server = Peer::name_server(&[(A, &broker.address())]).await?;
        let producer = producer(&name_server.address(), |settings| settings).await?;
        let receipt = producer.send(message("x")?).await?;
        assert_eq!(receipt.status(), status);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_a_place_is_no_receipt() -> Result<()> {
    let broker = Peer::broker(|_, _| Reply::Body(Bytes::new())).await?;
    let name_server = Peer::name_server(&[(A, &broker.address())]).await?;
    let producer = producer(&name_server.address(), |settings| {
        settings.send_msg_timeout(millis(500)).retry_times(0)
    })
    .await?;
    let error = producer.send(message("x")?).await.unwrap_err();
    assert_eq!(error.delivery(), Delivery::Unknown, "{error:?}");
    Ok(())
}
