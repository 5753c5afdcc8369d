//! Starting and ending, from anywhere and in any number; nothing is left behind.

use std::sync::Arc;

use anyhow::{Context, Result};
use rocketmq_producer::remoting::RequestCode;
use rocketmq_producer::{ErrorKind, Message, Producer, State};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::support::{PATIENT, builder, cluster, connections, until};

const TOPIC: &str = "lifecycle";
const CLONES: usize = 64;

/// Runs `call` on many clones at the same moment.
async fn on_all<T, F>(producer: &Producer, call: impl Fn(Producer) -> F) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(Barrier::new(CLONES));
    let mut calls = JoinSet::new();
    for _ in 0..CLONES {
        let (start, call) = (Arc::clone(&start), call(producer.clone()));
        calls.spawn(async move {
            start.wait().await;
            call.await
        });
    }
    let mut results = Vec::new();
    while let Some(result) = calls.join_next().await {
        results.push(result?);
    }
    Ok(results)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starts_and_shutdowns_from_many_clones_at_once_are_one() -> Result<()> {
    let cluster = cluster().topic(TOPIC, 4).start().await?;
    let producer = builder(&cluster, "many_clones").preheat([TOPIC]).build()?;
    let starts = on_all(&producer, |producer| async move { producer.start().await }).await?;
    for start in starts {
        assert_eq!(start?.ready.len(), 1);
    }
    assert_eq!(producer.state(), State::Running);
    assert_eq!(cluster.producer_connections("many_clones").len(), 2);
    let routes = RequestCode::GET_ROUTEINFO_BY_TOPIC;
    assert_eq!(cluster.name_server_requests(0, routes)?, 1, "started once");

    let sends = on_all(&producer, |producer| async move {
        producer
            .send(Message::new(TOPIC, "hello").expect("valid"))
            .await
    });
    for receipt in sends.await? {
        receipt?;
    }
    let reports = on_all(&producer, |p| async move { p.shutdown(PATIENT).await }).await?;
    assert!(
        reports.iter().all(|report| *report == reports[0]),
        "{reports:?}"
    );
    assert_eq!(reports[0].unregistered, 2);
    assert_eq!(producer.shutdown(PATIENT).await, reports[0], "also later");
    for broker in cluster.brokers() {
        let goodbyes = cluster.requests(&broker.name, RequestCode::UNREGISTER_CLIENT)?;
        assert_eq!(goodbyes, 1, "each broker was told once");
    }
    assert!(producer.start().await.is_err(), "it does not start again");
    let error = producer
        .send(Message::new(TOPIC, "late")?)
        .await
        .expect_err("it takes no message any more");
    assert_eq!(error.kind(), ErrorKind::NotRunning);
    until(&cluster, "all sockets closed", |c| connections(c) == 0).await?;
    assert_eq!(cluster.message_count(TOPIC), CLONES);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starts_and_shutdowns_at_the_same_time_end_in_shutdown() -> Result<()> {
    let cluster = cluster().topic(TOPIC, 4).start().await?;
    for round in 0..20 {
        let group = format!("mixed_{round}");
        let producer = builder(&cluster, &group).preheat([TOPIC]).build()?;
        let (starts, ends) = tokio::join!(
            on_all(&producer, |p| async move { p.start().await.is_ok() }),
            on_all(&producer, |p| async move { p.shutdown(PATIENT).await })
        );
        starts?;
        ends?;
        assert_eq!(producer.state(), State::Stopped);
        drop(producer);
        until(&cluster, "all sockets closed", |c| connections(c) == 0).await?;
        assert!(cluster.producer_connections(&group).is_empty());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_drop_of_the_last_handle_frees_every_socket_and_task() -> Result<()> {
    let cluster = cluster().topic(TOPIC, 4).start().await?;
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let producer = builder(&cluster, "dropped")
        .preheat([TOPIC])
        .start()
        .await?;
    let other = producer.clone();
    let blocking = producer.blocking();
    producer.send(Message::new(TOPIC, "one")?).await?;
    assert!(metrics.num_alive_tasks() > before);
    assert_eq!(connections(&cluster), 3, "two brokers and the name server");

    drop(producer);
    drop(blocking);
    other.send(Message::new(TOPIC, "two")?).await?;
    assert_eq!(connections(&cluster), 3, "another handle keeps them");

    drop(other);
    until(&cluster, "all sockets closed", |c| connections(c) == 0).await?;
    // The cluster's own tasks for these connections end as well.
    let ended = async {
        while metrics.num_alive_tasks() > before {
            tokio::task::yield_now().await;
        }
    };
    let ended = tokio::time::timeout(PATIENT, ended).await;
    ended.with_context(|| format!("{} tasks, {before} before", metrics.num_alive_tasks()))?;
    assert_eq!(cluster.message_count(TOPIC), 2);
    Ok(())
}
