//! Every queue, table, cache, window and retry is pushed to its documented bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use bytes::Bytes;
use rocketmq_producer::config::Ordered;
use rocketmq_producer::remoting::protocol::TopicRouteData;
use rocketmq_producer::remoting::{
    ByteSize, ConnectFailure, Connection, ConnectionOptions, ConnectionPool, NoConsumer, NoFields,
    RequestCode, RequestFailure,
};
use rocketmq_producer::routing::HealthEventsError;
use rocketmq_producer::{Delivery, ErrorKind, SendOptions};
use rocketmq_producer_tests::peer::{Peer, Reply, closed_address, route};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{A, B, Canary, PATIENT, message, millis, producer, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_under_way() -> Result<()> {
    const LIMIT: u32 = 8;
    let silent = Peer::broker(|_, _| Reply::Silence).await?;
    let name_server = Peer::name_server(&[(A, &silent.address())]).await?;
    let producer = producer(&name_server.address(), |settings| {
        settings.async_send_semaphore(LIMIT).retry_times(0)
    })
    .await?;
    let send = |budget| {
        let producer = producer.clone();
        async move {
            let options = SendOptions::new().timeout(budget);
            anyhow::Ok(producer.send_with(message("x")?, options).await)
        }
    };
    let mut holders: JoinSet<_> = (0..LIMIT).map(|_| send(PATIENT)).collect();
    soon("all places are taken", silent.got(u64::from(LIMIT))).await?;
    let mut sends: JoinSet<_> = (0..100).map(|_| send(millis(300))).collect();
    while let Some(outcome) = sends.join_next().await {
        assert!(producer.stats().under_way <= LIMIT as usize);
        let error = outcome??.err().context("no place is free")?;
        assert_eq!(error.kind(), ErrorKind::QueueFull);
        assert_eq!(error.delivery(), Delivery::NotSent);
        assert!(error.attempts().is_empty());
    }
    assert_eq!(silent.sends(), u64::from(LIMIT));
    holders.shutdown().await;
    assert_eq!(producer.stats().under_way, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_under_way() -> Result<()> {
    const SIZE: usize = 10_000;
    const LIMIT: u64 = 64;
    let silent = Peer::broker(|_, _| Reply::Silence).await?;
    let name_server = Peer::name_server(&[(A, &silent.address())]).await?;
    let producer = producer(&name_server.address(), |settings| {
        settings
            .max_in_flight_bytes(ByteSize::kib(LIMIT))
            .retry_times(0)
    })
    .await?;
    let most = LIMIT * 1024;
    let mut sends = JoinSet::new();
    for _ in 0..50 {
        let producer = producer.clone();
        sends.spawn(async move {
            // Long enough for all to begin before the first one ends, also on a busy machine.
            let options = SendOptions::new().timeout(millis(2000));
            anyhow::Ok(producer.send_with(message(vec![7; SIZE])?, options).await)
        });
    }
    let (mut full, mut ended) = (0, 0);
    while let Some(outcome) = sends.join_next().await {
        assert!(producer.stats().bytes_under_way <= most);
        let error = outcome??.err().context("nobody answers")?;
        full += usize::from(error.kind() == ErrorKind::QueueFull);
        ended += 1;
    }
    assert!(
        (ended - full) * SIZE <= usize::try_from(most)?,
        "{full} of {ended} found no room"
    );
    assert_eq!(silent.sends() as usize, ended - full);
    assert_eq!(producer.stats().bytes_under_way, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pauses_between_attempts_at_one_broker() -> Result<()> {
    const TIMES: u32 = 12;
    let longest = millis(10);
    let busy = Peer::broker(|_, _| Reply::answer(2, "[OVERLOAD]")).await?;
    let name_server = Peer::name_server(&[(A, &busy.address())]).await?;
    let producer = producer(&name_server.address(), |settings| {
        settings
            .retry_times(TIMES)
            .retry_pause(millis(8))
            .retry_pause_max(longest)
            .send_msg_timeout(PATIENT)
    })
    .await?;
    // Doubled each time, the last alone would be 16 seconds.
    let canary = Canary::start();
    let took = producer.send(message("x")?).await.unwrap_err().elapsed();
    let late = canary.worst().await?;
    let most = (longest + late + millis(20)) * TIMES;
    assert!(took <= most, "{took:?}, more than {most:?}");
    // No less than the lower half of each either.
    assert!(took >= millis(4) * TIMES, "{took:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_of_ordered_messages() -> Result<()> {
    const KEYS: usize = 2000;
    let broker = Peer::broker(|_, _| Reply::receipt()).await?;
    let name_server = Peer::name_server(&[(A, &broker.address())]).await?;
    let producer = producer(&name_server.address(), |settings| {
        settings.ordered(Ordered::Key).async_send_semaphore(64)
    })
    .await?;
    let mut sends = JoinSet::new();
    for key in 0..KEYS {
        let message = message("x")?.with_sharding_key(&format!("key-{key}"))?;
        let producer = producer.clone();
        sends.spawn(async move { producer.send(message).await });
    }
    while let Some(receipt) = sends.join_next().await {
        receipt??;
        // One for each key that has a send in it.
        assert!(producer.stats().lanes <= sends.len());
    }
    let stats = producer.stats();
    assert_eq!((stats.lanes, stats.stopped_lanes), (0, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_events_of_a_slow_reader() -> Result<()> {
    const KEPT: u64 = 256;
    const ROUNDS: u64 = 500;
    let broker = Peer::broker(|_, _| Reply::receipt()).await?;
    let name_server = Peer::name_server(&[(A, &broker.address())]).await?;
    let producer = producer(&name_server.address(), |settings| settings).await?;
    producer.send(message("x")?).await?;
    let mut events = producer.health_events();
    for _ in 0..ROUNDS {
        assert!(producer.router().suspend_broker(A, Instant::now()));
        assert!(producer.router().resume_broker(A, Instant::now()));
    }
    let lost = events.try_next().err().context("it fell behind")?;
    assert_eq!(lost, HealthEventsError::Lagged(2 * ROUNDS - KEPT));
    let mut kept = 0;
    while events.try_next()?.is_some() {
        kept += 1;
    }
    assert_eq!(kept, KEPT);
    Ok(())
}

fn link(options: &ConnectionOptions) -> (Connection, tokio::io::DuplexStream, JoinSet<()>) {
    let (ours, theirs) = tokio::io::duplex(64);
    let (connection, driver) =
        Connection::new(ours, Arc::from("peer"), options, Arc::new(NoConsumer));
    let mut task = JoinSet::new();
    task.spawn(async move {
        driver.await;
    });
    (connection, theirs, task)
}

/// Asks so many times at once; the failures once all have ended.
async fn ask(connection: &Connection, times: usize, body: usize) -> Result<Vec<RequestFailure>> {
    let mut requests = JoinSet::new();
    for _ in 0..times {
        let connection = connection.clone();
        requests.spawn(async move {
            let body = Bytes::from(vec![0; body]);
            let header = NoFields(RequestCode::HEART_BEAT);
            let deadline = Instant::now() + millis(300);
            connection.request(&header, &body, deadline).await.err()
        });
    }
    let mut failures = Vec::new();
    while let Some(error) = requests.join_next().await {
        let error = error?.context("nobody answers")?;
        failures.push(error.failure().clone());
    }
    Ok(failures)
}

#[tokio::test]
async fn requests_pending_on_a_connection() -> Result<()> {
    let (connection, _end, _task) = link(&ConnectionOptions::new().with_max_pending(16));
    let failures = ask(&connection, 100, 0).await?;
    let refused = failures
        .iter()
        .filter(|failure| matches!(failure, RequestFailure::PendingFull { limit: 16 }));
    assert_eq!(refused.count(), 100 - 16);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn bytes_unsent_on_a_connection() -> Result<()> {
    const UNSENT: u64 = 10_000;
    const BODY: usize = 500;
    let (connection, mut end, _task) =
        link(&ConnectionOptions::new().with_max_unsent(ByteSize::bytes(UNSENT)));
    let failures = ask(&connection, 200, BODY).await?;
    let waited = failures
        .iter()
        .filter(|failure| matches!(failure, RequestFailure::WriteBufferFull))
        .count();
    let entered = failures.len() - waited;
    assert!(
        entered * BODY <= usize::try_from(UNSENT)? + BODY,
        "{entered}"
    );
    // What never found room does not leave later.
    connection.close();
    let mut left = Vec::new();
    tokio::time::timeout(PATIENT, end.read_to_end(&mut left)).await??;
    assert!(
        left.len() <= usize::try_from(UNSENT)? + 2 * BODY,
        "{}",
        left.len()
    );
    Ok(())
}

#[tokio::test]
async fn pauses_between_dials() -> Result<()> {
    let longest = millis(8);
    let options = ConnectionOptions::new().with_redial_pause(millis(1), longest);
    let pool = ConnectionPool::new(options, Arc::new(NoConsumer));
    let address = closed_address()?;
    let (mut dials, mut pauses) = (0, Vec::new());
    while dials < 12 {
        let deadline = Instant::now() + PATIENT;
        let error = pool.connection(&address, deadline).await.err();
        match error.context("nobody is there")?.failure() {
            ConnectFailure::BackingOff { retry_in, .. } => pauses.push(*retry_in),
            _ => dials += 1,
        }
        tokio::task::yield_now().await;
    }
    assert!(!pauses.is_empty());
    assert!(pauses.iter().all(|pause| *pause <= longest), "{pauses:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_of_a_send() -> Result<()> {
    for retry_times in [0, 1, 7] {
        let busy = Peer::broker(|_, _| Reply::answer(2, "[OVERLOAD]")).await?;
        let other = Peer::broker(|_, _| Reply::answer(2, "[OVERLOAD]")).await?;
        let brokers = [(A, &*busy.address()), (B, &*other.address())];
        let name_server = Peer::name_server(&brokers).await?;
        let producer = producer(&name_server.address(), |settings| {
            settings.retry_times(retry_times).send_msg_timeout(PATIENT)
        })
        .await?;
        let error = producer.send(message("x")?).await.unwrap_err();
        let most = u64::from(retry_times) + 1;
        assert_eq!(error.attempts().len() as u64, most);
        assert_eq!(busy.sends() + other.sends(), most);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes_in_a_health_record() -> Result<()> {
    let broker = Peer::broker(|_, _| Reply::receipt()).await?;
    let name_server = Peer::name_server(&[(A, &broker.address())]).await?;
    let producer = producer(&name_server.address(), |settings| settings).await?;
    for _ in 0..300 {
        producer.send(message("x")?).await?;
    }
    let record = producer.router().broker_health_info(A).pop();
    let record = record.context("a record")?;
    assert_eq!(record.success_count, 300);
    assert!(record.window_len <= 100, "{}", record.window_len);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_that_are_remembered() -> Result<()> {
    const MOST: usize = 10_000;
    let name_server = Peer::start(|_, _| Reply::answer(17, "no such topic")).await?;
    let producer = producer(&name_server.address(), |settings| settings).await?;
    let data = TopicRouteData::parse(&route(&[(A, "127.0.0.1:1")], 1))?;
    for topic in 0..MOST + 500 {
        producer
            .mapping()
            .update_route_info(&format!("topic_{topic}"), data.clone());
    }
    assert!(producer.mapping().all_topics().len() <= MOST);
    // Names of topics that do not exist are remembered too, for a moment.
    for topic in 0..200 {
        let unknown = rocketmq_producer::Message::new(format!("unknown_{topic}"), "x")?;
        let options = SendOptions::new().timeout(millis(500));
        let error = producer.send_with(unknown, options).await.unwrap_err();
        assert!(error.attempts().is_empty());
    }
    assert!(producer.mapping().all_topics().len() <= MOST);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_an_address() -> Result<()> {
    let broker = Peer::broker(|_, _| Reply::receipt()).await?;
    let name_server = Peer::name_server(&[(A, &broker.address())]).await?;
    let producer = producer(&name_server.address(), |settings| settings).await?;
    let mut sends = JoinSet::new();
    for _ in 0..500 {
        let producer = producer.clone();
        sends.spawn(async move { anyhow::Ok(producer.send(message("x")?).await?) });
    }
    while let Some(receipt) = sends.join_next().await {
        receipt??;
    }
    assert_eq!(broker.accepted(), 1, "all share one dial");
    Ok(())
}

/// A body that is counted while it lives.
struct Counted(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Sends so many bodies in vain; how many of them live on when every send has its outcome.
async fn bodies_left(address: &str, count: usize, size: usize) -> Result<usize> {
    let name_server = Peer::name_server(&[(A, address)]).await?;
    let producer = producer(&name_server.address(), |settings| {
        let settings = settings.send_msg_timeout(millis(300)).retry_times(2);
        // What it is about are the bodies as they were given.
        settings.compress_type(None)
    })
    .await?;
    let live = Arc::new(AtomicUsize::new(count));
    let mut sends = JoinSet::new();
    for _ in 0..count {
        let body = Bytes::from_owner(Counted(vec![7; size], Arc::clone(&live)));
        let (producer, message) = (producer.clone(), message(body)?);
        sends.spawn(async move { producer.send(message).await.is_err() });
    }
    while let Some(failed) = sends.join_next().await {
        assert!(failed?);
    }
    let left = live.load(Ordering::SeqCst);
    producer.shutdown(millis(100)).await;
    drop(producer);
    let all_freed = || live.load(Ordering::SeqCst) == 0;
    let freed = async {
        while !all_freed() {
            tokio::task::yield_now().await;
        }
    };
    soon("every body is freed after the shutdown", freed).await?;
    Ok(left)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_outlive_their_sends() -> Result<()> {
    let silent = Peer::broker(|_, _| Reply::Silence).await?;
    assert_eq!(bodies_left(&silent.address(), 1000, 3000).await?, 0);
    // Here the write buffer may hold what was never taken, up to its bound of 4 MiB.
    const SIZE: usize = 100_000;
    let deaf = TcpListener::bind(("127.0.0.1", 0)).await?;
    let left = bodies_left(&deaf.local_addr()?.to_string(), 400, SIZE).await?;
    assert!(
        (left.saturating_sub(1)) * SIZE <= 2 * 4 * 1024 * 1024,
        "{left}"
    );
    Ok(())
}
