//! A send has its outcome within its deadline, whatever servers do or leave undone.

use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use rocketmq_producer::config::{Ordered, OrderedOnUnknown};
use rocketmq_producer::{Message, Producer, SendError, SendOptions, SendReceipt};
use rocketmq_producer_embedded::{Condition, EmbeddedCluster, Fault, Reaction};
use rocketmq_producer_tests::payload::noise;
use rocketmq_producer_tests::peer::{HungAddress, Peer, Reply, closed_address};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{A, B, Canary, PATIENT, TOPIC, cluster, message, millis, producer};

const BUDGET: Duration = millis(400);

/// What one scheduling delay may be on a machine that is not late; the canary says what it is here.
const SLACK: Duration = millis(60);

type Outcome = Result<SendReceipt, SendError>;

/// Sends so many at once and sees to it that each resolves, and in time; how many failed.
async fn attack(what: &str, producer: &Producer, sends: u64, size: usize) -> Result<usize> {
    let messages = (0..sends).map(|seed| {
        let message = message(noise(seed, size))?;
        // The half has a key, which binds a message to its queue.
        Ok(match seed % 2 {
            0 => message.with_sharding_key(&format!("key-{seed}"))?,
            _ => message,
        })
    });
    attack_with(what, producer, messages.collect::<Result<_>>()?).await
}

/// The same, with so many keys: each message has one.
async fn attack_keyed(what: &str, producer: &Producer, sends: u64, keys: u64) -> Result<usize> {
    let messages = (0..sends).map(|seed| {
        let message = message(noise(seed, 100))?;
        Ok(message.with_sharding_key(&format!("key-{}", seed % keys))?)
    });
    attack_with(what, producer, messages.collect::<Result<_>>()?).await
}

async fn attack_with(what: &str, producer: &Producer, messages: Vec<Message>) -> Result<usize> {
    let sends = messages.len();
    let canary = Canary::start();
    let mut under_way: JoinSet<Result<(Outcome, Duration)>> = JoinSet::new();
    for message in messages {
        let producer = producer.clone();
        under_way.spawn(async move {
            let began = Instant::now();
            let options = SendOptions::new().timeout(BUDGET);
            let outcome = producer.send_with(message, options).await;
            Ok((outcome, began.elapsed()))
        });
    }
    let (mut resolved, mut failed, mut longest) = (0, 0, Duration::ZERO);
    while let Some(outcome) = under_way.join_next().await {
        let (outcome, took) = outcome??;
        resolved += 1;
        failed += usize::from(outcome.is_err());
        longest = longest.max(took);
    }
    let late = canary.worst().await?;
    assert_eq!(resolved, sends, "{what}");
    let most = BUDGET + SLACK + 2 * late;
    assert!(longest <= most, "{what}: {longest:?}, canary {late:?}");
    let left = producer.stats().under_way;
    assert_eq!(left, 0, "{what}: every place was given back");
    Ok(failed)
}

async fn facing(address: &str) -> Result<(Peer, Producer)> {
    let name_server = Peer::name_server(&[(A, address)]).await?;
    let producer = producer(&name_server.address(), |settings| settings).await?;
    Ok((name_server, producer))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_broker_that_says_nothing() -> Result<()> {
    let silent = Peer::broker(|_, _| Reply::Silence).await?;
    let (_name_server, producer) = facing(&silent.address()).await?;
    assert_eq!(attack("silent", &producer, 200, 100).await?, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_broker_that_reads_nothing() -> Result<()> {
    // Connections wait in its queue, and are never accepted.
    let deaf = TcpListener::bind(("127.0.0.1", 0)).await?;
    let (_name_server, producer) = facing(&deaf.local_addr()?.to_string()).await?;
    assert_eq!(attack("deaf", &producer, 24, 1 << 20).await?, 24);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_broker_whose_dial_hangs() -> Result<()> {
    let hung = HungAddress::new()?;
    let (_name_server, producer) = facing(&hung.address()?).await?;
    assert_eq!(attack("hung dial", &producer, 200, 100).await?, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_broker_that_ends_every_connection() -> Result<()> {
    let closing = Peer::broker(|_, _| Reply::Close).await?;
    let (_name_server, producer) = facing(&closing.address()).await?;
    assert_eq!(attack("closing", &producer, 200, 100).await?, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_name_servers_that_say_nothing_or_cannot_be_dialled() -> Result<()> {
    let silent = Peer::start(|_, _| Reply::Silence).await?;
    let hung = HungAddress::new()?;
    for address in [silent.address(), hung.address()?] {
        let both = format!("{address};{}", silent.address());
        let producer = producer(&both, |settings| settings).await?;
        assert_eq!(attack("name servers", &producer, 200, 100).await?, 200);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_every_place_taken() -> Result<()> {
    let silent = Peer::broker(|_, _| Reply::Silence).await?;
    let name_server = Peer::name_server(&[(A, &silent.address())]).await?;
    let change = |settings: rocketmq_producer::config::ProducerConfigBuilder| {
        settings.async_send_semaphore(3)
    };
    let producer = producer(&name_server.address(), change).await?;
    assert_eq!(attack("full", &producer, 200, 100).await?, 200);
    assert!(silent.sends() <= 3 * 3, "{}", silent.sends());
    Ok(())
}

/// A keyed send has nowhere else to go: it waits for its broker's return.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_key_whose_broker_cannot_be_dialled() -> Result<()> {
    let well = Peer::broker(|_, _| Reply::receipt()).await?;
    let away = closed_address()?;
    let name_server = Peer::name_server(&[(A, &away), (B, &well.address())]).await?;
    let producer = producer(&name_server.address(), |settings| settings).await?;
    // Once nobody knows yet that it is away, and once it is waited for from the beginning.
    for round in ["unknown", "known"] {
        let failed = attack_keyed(round, &producer, 200, 200).await?;
        assert!((1..200).contains(&failed), "{round}: {failed} of 200");
    }
    Ok(())
}

/// Behind the message of its key that has the turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_key_whose_lane_is_busy() -> Result<()> {
    for on_unknown in [OrderedOnUnknown::Continue, OrderedOnUnknown::Stop] {
        let silent = Peer::broker(|_, _| Reply::Silence).await?;
        let name_server = Peer::name_server(&[(A, &silent.address())]).await?;
        let producer = producer(&name_server.address(), |settings| {
            settings
                .ordered(Ordered::Key)
                .ordered_on_unknown(on_unknown)
        })
        .await?;
        assert_eq!(attack_keyed("lanes", &producer, 200, 5).await?, 200);
        // What is left of them is that they are stopped.
        let stats = producer.stats();
        assert_eq!(stats.lanes, stats.stopped_lanes);
        let stops = on_unknown == OrderedOnUnknown::Stop;
        assert_eq!(stats.stopped_lanes, if stops { 5 } else { 0 });
    }
    Ok(())
}

/// For room at its broker, which may hold only its share, while another broker is well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_key_whose_broker_has_its_share() -> Result<()> {
    let silent = Peer::broker(|_, _| Reply::Silence).await?;
    let well = Peer::broker(|_, _| Reply::receipt()).await?;
    let brokers = [(A, &*silent.address()), (B, &*well.address())];
    let name_server = Peer::name_server(&brokers).await?;
    let producer = producer(&name_server.address(), |settings| {
        settings.async_send_semaphore(16).broker_share(0.25)
    })
    .await?;
    let failed = attack_keyed("share", &producer, 200, 200).await?;
    assert!((1..200).contains(&failed), "{failed} of 200");
    assert!(well.sends() as usize >= 200 - failed);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_broker_that_stops_and_another_that_is_well() -> Result<()> {
    let cluster: EmbeddedCluster = cluster().start().await?;
    let producer = producer(&cluster.name_servers(), |settings| settings).await?;
    attack("well", &producer, 50, 100).await?;
    let stall = Fault::new(Condition::sends(), Reaction::Stall);
    let stopped = cluster.faults(A)?.arm(stall);
    attack("one stopped", &producer, 200, 100).await?;
    stopped.lift();
    cluster.faults(B)?.clear();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_answers_that_ask_for_retries_without_end() -> Result<()> {
    let busy = Peer::broker(|_, _| Reply::answer(2, "[REJECTREQUEST]")).await?;
    let name_server = Peer::name_server(&[(A, &busy.address())]).await?;
    let change =
        |settings: rocketmq_producer::config::ProducerConfigBuilder| settings.retry_times(100);
    let producer = producer(&name_server.address(), change).await?;
    assert_eq!(attack("busy", &producer, 100, 100).await?, 100);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_shutdown_in_the_midst() -> Result<()> {
    let silent = Peer::broker(|_, _| Reply::Silence).await?;
    let (_name_server, producer) = facing(&silent.address()).await?;
    let sends = attack("shut down", &producer, 100, 100);
    let (report, failed) = tokio::join!(producer.shutdown(millis(50)), sends);
    assert_eq!(failed?, 100);
    assert_eq!(report.unresolved, 0, "{report:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_that_nobody_waits_for_gives_its_place_back() -> Result<()> {
    let silent = Peer::broker(|_, _| Reply::Silence).await?;
    let (_name_server, producer) = facing(&silent.address()).await?;
    for round in 0..50_u64 {
        let options = SendOptions::new().timeout(PATIENT);
        let send = producer.send_with(message(Bytes::from(round.to_string()))?, options);
        // Polled as often as it takes to be anywhere on its way, then dropped.
        let polls = (0..round).map(|_| tokio::task::yield_now());
        let wait = async {
            for poll in polls {
                poll.await;
            }
        };
        tokio::select! {
            biased;
            outcome = send => panic!("nobody answers: {outcome:?}"),
            () = wait => {}
        }
    }
    assert_eq!(producer.stats().under_way, 0);
    Ok(())
}

/// The duplicate of an answer, and an answer to nobody, resolve no second send.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_resolves_only_its_own_send() -> Result<()> {
    let cluster = cluster().start().await?;
    let producer = producer(&cluster.name_servers(), |settings| settings).await?;
    for broker in [A, B] {
        let faults = cluster.faults(broker)?;
        faults.arm(Fault::new(Condition::sends(), Reaction::Duplicate).times(20));
        faults.arm(Fault::new(Condition::sends(), Reaction::StrayResponse).times(20));
    }
    let mut oracle = rocketmq_producer_tests::oracle::Oracle::new();
    for seed in 0..200 {
        let body = noise(seed, 50);
        let receipt = producer.send(message(body.clone())?).await?;
        oracle.acked(&receipt, &body);
    }
    oracle.judge(&cluster.messages(TOPIC)).exactly_once()?;
    Ok(())
}
