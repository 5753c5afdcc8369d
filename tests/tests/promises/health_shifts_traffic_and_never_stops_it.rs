//! However bad every broker is or was, sends are tried, and succeed as soon as one is well.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use bytes::Bytes;
use rocketmq_producer::{Producer, SendOptions};
use rocketmq_producer_tests::peer::{Peer, Reply};
use tokio::task::JoinSet;

use crate::support::{A, B, PATIENT, cluster, message, millis, producer, soon};

/// The ways to be bad; with one more number a broker is well.
fn bad_ways() -> Vec<Reply> {
    vec![
        Reply::answer(1, "boom"),
        Reply::answer(2, "[OVERLOAD]"),
        Reply::answer(14, "service not available now"),
        Reply::answer(16, "the broker[x] sending message is forbidden"),
        Reply::answer(17, "topic not exist"),
        Reply::answer(1500, "please go away"),
        Reply::answer(4711, "?"),
        Reply::Silence,
        Reply::Close,
        Reply::Bytes(Bytes::from_static(&[0xff; 40])),
        Reply::Body(Bytes::new()),
    ]
}

/// Ways after which there is still a connection, so that a send has nothing to wait for.
const ANSWERS: [usize; 7] = [0, 1, 2, 3, 4, 6, 10];

/// A broker whose way is changed from outside.
async fn moody(way: &Arc<AtomicUsize>) -> Result<Peer> {
    let way = Arc::clone(way);
    let ways = bad_ways();
    Peer::broker(move |_, _| {
        let way = ways.get(way.load(Ordering::SeqCst));
        way.cloned().unwrap_or_else(Reply::receipt)
    })
    .await
}

/// Sends until one is stored.
async fn until_stored(producer: &Producer) -> Result<()> {
    let sending = async {
        while producer.send(message("x")?).await.is_err() {
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    };
    soon("a send that succeeds", sending).await?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_shifts_traffic_and_never_stops_it() -> Result<()> {
    let mut attacks: JoinSet<Result<()>> = (0..bad_ways().len()).map(attack).collect();
    while let Some(attack) = attacks.join_next().await {
        attack??;
    }
    Ok(())
}

/// Both brokers bad in one way, for long enough to be out; then both are well.
async fn attack(way: usize) -> Result<()> {
    let well = usize::MAX;
    let mood = Arc::new(AtomicUsize::new(way));
    let (a, b) = (moody(&mood).await?, moody(&mood).await?);
    let brokers = [(A, &*a.address()), (B, &*b.address())];
    let name_server = Peer::name_server(&brokers).await?;
    let producer = producer(&name_server.address(), |settings| settings).await?;
    let topic = message("x")?;
    producer.wait_for_topic(topic.topic(), PATIENT).await?;
    for _ in 0..12 {
        let options = SendOptions::new().timeout(millis(250));
        let error = producer
            .send_with(message("x")?, options)
            .await
            .unwrap_err();
        let tried = !error.attempts().is_empty();
        assert!(tried || !ANSWERS.contains(&way), "way {way}: {error:?}");
    }
    // Bound ones too.
    let keyed = message("x")?.with_sharding_key("key")?;
    let options = SendOptions::new().timeout(millis(250));
    let error = producer.send_with(keyed, options).await.unwrap_err();
    let tried = !error.attempts().is_empty();
    assert!(tried || !ANSWERS.contains(&way), "way {way}: {error:?}");
    mood.store(well, Ordering::SeqCst);
    until_stored(&producer).await.context(way)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_one_broker_is_well_no_send_fails_and_the_bad_one_gets_few() -> Result<()> {
    for way in [0, 1, 2, 8, 9] {
        let mood = Arc::new(AtomicUsize::new(way));
        let (bad, well) = (
            moody(&mood).await?,
            Peer::broker(|_, _| Reply::receipt()).await?,
        );
        let brokers = [(A, &*bad.address()), (B, &*well.address())];
        let name_server = Peer::name_server(&brokers).await?;
        let producer = producer(&name_server.address(), |settings| settings).await?;
        for _ in 0..300 {
            producer.send(message("x")?).await?;
        }
        assert!(bad.sends() < 50, "way {way}: {} went there", bad.sends());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_were_away_are_used_again() -> Result<()> {
    let cluster = cluster().start().await?;
    let producer = producer(&cluster.name_servers(), |settings| settings).await?;
    until_stored(&producer).await?;
    cluster.stop_broker_unnoticed(A).await?;
    cluster.stop_broker(B).await?;
    for _ in 0..5 {
        let options = SendOptions::new().timeout(millis(200));
        let outcome = producer.send_with(message("x")?, options).await;
        assert!(outcome.is_err());
    }
    cluster.start_broker(A).await?;
    cluster.start_broker(B).await?;
    let began = tokio::time::Instant::now();
    until_stored(&producer).await?;
    assert!(began.elapsed() < PATIENT / 4, "{:?}", began.elapsed());
    Ok(())
}
