//! The producer for threads that do not await: it works or says why not, wherever it is called.

use std::time::{Duration, Instant};

use rocketmq_producer_core::config::routing::remoting::Delivery;
use rocketmq_producer_core::{
    BlockingFailure, BlockingProducer, ErrorKind, Producer, RequestError, SendFailure, State,
};
use rocketmq_producer_embedded::{EmbeddedCluster, Reaction};
use tokio::runtime::{Builder, Runtime};

use crate::support::*;

const PATIENCE: Duration = Duration::from_secs(5);

fn multi_thread(workers: usize) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(workers)
        .enable_all()
        .build()
        .unwrap()
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A cluster on a runtime of its own, so that blocked threads cannot stop it.
struct Elsewhere {
    cluster: Option<EmbeddedCluster>,
    runtime: Runtime,
}

impl Elsewhere {
    fn start() -> Self {
        let runtime = multi_thread(1);
        let cluster = Some(runtime.block_on(cluster(1)));
        Self { cluster, runtime }
    }

    fn cluster(&self) -> &EmbeddedCluster {
        self.cluster.as_ref().unwrap()
    }

    fn blocking(&self) -> BlockingProducer {
        builder(self.cluster()).start_blocking().unwrap()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _inside = self.runtime.enter();
        self.cluster = None;
    }
}

fn stored(elsewhere: &Elsewhere) -> usize {
    elsewhere.cluster().message_count(TOPIC)
}

#[test]
fn a_plain_thread_sends_and_shuts_down() {
    let elsewhere = Elsewhere::start();
    let producer = elsewhere.blocking();
    producer.send(message()).unwrap();
    producer.send_sync(message()).unwrap();
    producer.send_oneway(message()).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let producer = producer.clone();
            std::thread::spawn(move || producer.send(message()).unwrap())
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(producer.stats().total_sent, 6);
    let report = producer.shutdown(PATIENCE).unwrap();
    assert!(report.is_drained());
    assert_eq!(report.unregistered, 1);
    let error = producer.send(message()).unwrap_err();
    assert!(matches!(error.cause(), SendFailure::State(State::Stopped)));
    assert_eq!(stored(&elsewhere), 7);
}

#[test]
fn a_plain_thread_asks_and_gets_its_reply_or_why_there_is_none() {
    let elsewhere = Elsewhere::start();
    let producer = elsewhere.blocking();
    let asking = producer.clone();
    let asked = std::thread::spawn(move || asking.request(message(), Duration::from_secs(15)));
    let stored = elsewhere.cluster().wait_for_messages(TOPIC, 1);
    let request = elsewhere.runtime.block_on(soon(stored)).remove(0);
    assert!(elsewhere.cluster().reply(A, &request, "pong").unwrap());
    let reply = asked.join().unwrap().unwrap();
    assert_eq!(reply.body(), "pong");
    assert_eq!(reply.receipt.unwrap().queue_offset(), request.queue_offset);

    let error = producer.request(message(), millis(100)).unwrap_err();
    assert!(matches!(error, RequestError::NoReply { .. }), "{error:?}");
    producer.shutdown(PATIENCE).unwrap();
    let error = producer.request(message(), millis(100)).unwrap_err();
    assert_eq!(error.delivery(), Some(Delivery::NotSent));
}

#[tokio::test]
async fn a_request_on_the_only_thread_of_its_runtime_is_refused_at_once() {
    let cluster = cluster(1).await;
    let blocking = producer(&cluster).await.blocking();
    let error = blocking.request(message(), PATIENCE).unwrap_err();
    let RequestError::Send(error) = error else {
        panic!("{error:?}");
    };
    assert_eq!(error.kind(), ErrorKind::Blocking);
    assert_eq!(error.delivery(), Delivery::NotSent);
    assert_eq!(cluster.message_count(TOPIC), 0);
}

#[test]
fn its_errors_are_those_of_the_async_producer() {
    let elsewhere = Elsewhere::start();
    let producer = elsewhere.blocking();
    let faults = elsewhere.cluster().faults(A).unwrap();
    faults.arm(next_send(answer(13, "illegal")));
    let error = producer.send(message()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MessageSend);
    assert_eq!(error.delivery(), Delivery::Rejected);
    assert_eq!(error.attempts().len(), 1);
}

#[test]
fn inside_spawn_blocking_and_async_tasks_of_other_runtimes_it_works() {
    let elsewhere = Elsewhere::start();
    let producer = elsewhere.blocking();
    for runtime in [current_thread(), multi_thread(1), multi_thread(2)] {
        let (one, two, three) = (producer.clone(), producer.clone(), producer.clone());
        runtime.block_on(async move {
            one.send(message()).unwrap();
            tokio::spawn(async move { two.send(message()).unwrap() })
                .await
                .unwrap();
            tokio::task::spawn_blocking(move || three.send(message()).unwrap())
                .await
                .unwrap();
        });
    }
    assert_eq!(stored(&elsewhere), 9);
}

#[test]
fn start_blocking_works_inside_a_current_thread_runtime() {
    let elsewhere = Elsewhere::start();
    current_thread().block_on(async {
        let producer = elsewhere.blocking();
        producer.send(message()).unwrap();
        producer.shutdown(PATIENCE).unwrap();
    });
    assert_eq!(stored(&elsewhere), 1);
}

#[test]
fn dropped_inside_async_code_it_does_not_panic_and_frees_everything() {
    let elsewhere = Elsewhere::start();
    for runtime in [current_thread(), multi_thread(1)] {
        let producer = elsewhere.blocking();
        producer.send(message()).unwrap();
        runtime.block_on(async move {
            tokio::spawn(async move { drop(producer) }).await.unwrap();
        });
        let closed = cluster_is(elsewhere.cluster(), |c| c.connections(A).unwrap() == 0);
        elsewhere.runtime.block_on(closed);
    }
}

#[test]
fn a_failed_start_is_an_error_and_frees_everything() {
    let elsewhere = Elsewhere::start();
    let builder = builder(elsewhere.cluster());
    let builder = builder.preheat(["nothing"]).require_preheat();
    builder.start_blocking().unwrap_err();
    let closed = cluster_is(elsewhere.cluster(), |c| c.connections(A).unwrap() == 0);
    elsewhere.runtime.block_on(closed);
}

#[test]
fn inside_a_multi_thread_runtime_that_runs_the_producer_it_works() {
    let elsewhere = Elsewhere::start();
    let runtime = multi_thread(2);
    runtime.block_on(async {
        let producer = builder(elsewhere.cluster()).start().await.unwrap();
        let blocking = producer.blocking();
        blocking.send(message()).unwrap();
        for _ in 0..20 {
            let (task, pool) = (blocking.clone(), blocking.clone());
            let began = Instant::now();
            tokio::spawn(async move { task.send(message()).unwrap() })
                .await
                .unwrap();
            tokio::task::spawn_blocking(move || pool.send(message()).unwrap())
                .await
                .unwrap();
            assert!(began.elapsed() < Duration::from_secs(2));
        }
    });
    assert_eq!(stored(&elsewhere), 41);
}

#[test]
fn on_the_only_worker_of_the_runtime_that_runs_the_producer_it_does_not_hang() {
    let elsewhere = Elsewhere::start();
    let runtime = multi_thread(1);
    let builder = builder(elsewhere.cluster());
    let builder = builder.configure(|settings| settings.send_msg_timeout(millis(300)));
    let began = Instant::now();
    runtime.block_on(async {
        let producer = builder.start().await.unwrap();
        let blocking = producer.blocking();
        blocking.send(message()).unwrap();
        let outcome = tokio::spawn(async move { blocking.send(message()) }).await;
        if let Err(error) = outcome.unwrap() {
            assert!(matches!(error.cause(), SendFailure::Blocking(_)));
        }
        producer.send(message()).await.unwrap();
    });
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn on_the_only_thread_of_the_runtime_that_runs_the_producer_it_refuses_at_once() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let began = Instant::now();
    let error = producer.send_sync(message()).unwrap_err();
    assert!(matches!(
        error.cause(),
        SendFailure::Blocking(BlockingFailure::WouldDeadlock)
    ));
    assert_eq!(error.delivery(), Delivery::NotSent);
    assert_eq!(error.kind(), ErrorKind::Blocking);
    assert!(!error.is_retryable());
    assert_eq!(
        producer.blocking().shutdown(PATIENCE).unwrap_err(),
        BlockingFailure::WouldDeadlock
    );
    let in_task = producer.clone();
    let error = tokio::spawn(async move { in_task.send_sync(message()).unwrap_err() });
    assert_eq!(error.await.unwrap().kind(), ErrorKind::Blocking);
    assert!(began.elapsed() < Duration::from_secs(1));
    producer.send(message()).await.unwrap();
}

#[tokio::test]
async fn in_spawn_blocking_of_a_current_thread_runtime_that_runs_the_producer_it_works() {
    let cluster = cluster(1).await;
    let producer = producer(&cluster).await;
    let blocking = producer.blocking();
    let sending = tokio::task::spawn_blocking(move || {
        blocking.send(message()).unwrap();
        blocking.shutdown(PATIENCE).unwrap()
    });
    assert!(sending.await.unwrap().is_drained());
    assert_eq!(cluster.message_count(TOPIC), 1);
}

#[test]
fn before_the_start_it_is_a_state_error() {
    let producer = Producer::builder(GROUP).name_servers("127.0.0.1:1");
    let blocking = producer.build().unwrap().blocking();
    let error = blocking.send(message()).unwrap_err();
    assert!(matches!(error.cause(), SendFailure::State(State::Created)));
    let report = blocking.shutdown(PATIENCE).unwrap();
    assert_eq!(report.under_way, 0);
    assert_eq!(blocking.producer().state(), State::Stopped);
    assert_eq!(blocking.shutdown(PATIENCE).unwrap(), report);
}

#[test]
fn after_its_runtime_has_ended_it_is_an_error() {
    let elsewhere = Elsewhere::start();
    let runtime = current_thread();
    let producer = runtime
        .block_on(builder(elsewhere.cluster()).start())
        .unwrap();
    drop(runtime);
    let error = producer.send_sync(message()).unwrap_err();
    assert!(matches!(
        error.cause(),
        SendFailure::Blocking(BlockingFailure::RuntimeGone)
    ));
    assert_eq!(
        producer.blocking().shutdown(PATIENCE).unwrap_err(),
        BlockingFailure::RuntimeGone
    );
    // On a living runtime it goes on.
    multi_thread(1).block_on(async {
        producer.send(message()).await.unwrap();
        assert!(producer.shutdown(PATIENCE).await.is_drained());
    });
}

#[test]
fn a_send_cut_off_by_the_end_of_its_runtime_is_not_called_unsent() {
    let elsewhere = Elsewhere::start();
    let runtime = multi_thread(1);
    let producer = runtime
        .block_on(builder(elsewhere.cluster()).start())
        .unwrap();
    let faults = elsewhere.cluster().faults(A).unwrap();
    let swallowed = faults.arm(next_send(Reaction::Swallow));
    let blocking = producer.blocking();
    let sending = std::thread::spawn(move || blocking.send(message()).unwrap_err());
    elsewhere.runtime.block_on(soon(swallowed.wait_fired(1)));
    runtime.shutdown_background();
    let error = sending.join().unwrap();
    assert_eq!(error.delivery(), Delivery::Unknown, "{error:?}");
    assert_eq!(error.kind(), ErrorKind::NotRunning);
    // Only its answer was lost; a fault fires before the request is carried out.
    let stored = elsewhere.cluster().wait_for_messages(TOPIC, 1);
    assert_eq!(elsewhere.runtime.block_on(soon(stored)).len(), 1);
}
