//! Producers that share a client context.

use std::time::Duration;

use rocketmq_producer_core::config::ProducerConfigBuilder;
use rocketmq_producer_core::config::routing::remoting::{RequestCode, TcpDialer};
use rocketmq_producer_core::{
    BuildError, ClientContext, Producer, ProducerBuilder, StartError, State,
};
use rocketmq_producer_embedded::{Condition, EmbeddedCluster, Fault, Reaction};
use tokio::task::JoinSet;

use crate::support::*;

const PATIENCE: Duration = Duration::from_secs(5);
const OTHER: &str = "other-group";

fn context(cluster: &EmbeddedCluster) -> ClientContext {
    context_with(cluster, |settings| settings)
}

fn context_with(
    cluster: &EmbeddedCluster,
    change: impl FnOnce(ProducerConfigBuilder) -> ProducerConfigBuilder,
) -> ClientContext {
    let builder = ClientContext::builder().name_servers(&cluster.name_servers());
    builder.configure(change).build().unwrap()
}

async fn started(context: &ClientContext, group: &str) -> Producer {
    let builder = context.producer(group).preheat([TOPIC]);
    builder.start().await.unwrap()
}

fn known(cluster: &EmbeddedCluster, group: &str) -> usize {
    cluster.producer_connections(group).len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_at_the_moment_of_the_start_leaves_no_group_behind() {
    let cluster = cluster(1).await;
    for _ in 0..200 {
        let context = context(&cluster);
        let producer = context.producer(GROUP).build().unwrap();
        let mut starting = JoinSet::new();
        starting.spawn({
            let producer = producer.clone();
            async move { producer.start().await.is_ok() }
        });
        // It runs on another thread.
        while producer.state() == State::Created {
            std::hint::spin_loop();
        }
        producer.shutdown(Duration::ZERO).await;
        starting.join_all().await;
        assert!(context.groups().is_empty(), "{:?}", context.groups());
    }
}

#[tokio::test]
async fn producers_of_a_context_share_connections_routes_and_client_id() {
    let cluster = cluster(1).await;
    let context = context(&cluster);
    let one = started(&context, GROUP).await;
    let two = started(&context, OTHER).await;
    one.send(message()).await.unwrap();
    two.send(message()).await.unwrap();
    assert_eq!(cluster.connections(A).unwrap(), 1);
    assert_eq!(cluster.name_server_connections(0).unwrap(), 1);
    let routes = RequestCode::GET_ROUTEINFO_BY_TOPIC;
    assert_eq!(cluster.name_server_requests(0, routes).unwrap(), 1);
    assert_eq!(one.client_id(), context.client_id());
    assert_eq!(two.client_id(), context.client_id());
    assert_eq!(context.groups(), [GROUP, OTHER].map(std::sync::Arc::from));
    assert_eq!((one.stats().total_sent, two.stats().total_sent), (1, 1));
}

#[tokio::test]
async fn a_producer_that_starts_later_is_named_at_once_on_the_open_connections() {
    let cluster = cluster(2).await;
    let context = context(&cluster);
    let _one = started(&context, GROUP).await;
    cluster_is(&cluster, |c| known(c, GROUP) == 2).await;
    // Its own start opens nothing and asks for nothing.
    let _two = context.producer(OTHER).start().await.unwrap();
    cluster_is(&cluster, |c| known(c, OTHER) == 2 && known(c, GROUP) == 2).await;
    assert_eq!(cluster.connections(A).unwrap(), 1);
}

#[tokio::test]
async fn one_heartbeat_names_all_groups() {
    let cluster = cluster(1).await;
    let context = context(&cluster);
    let one = started(&context, GROUP).await;
    let two = started(&context, OTHER).await;
    cluster_is(&cluster, |c| known(c, GROUP) == 1 && known(c, OTHER) == 1).await;
    cluster.stop_broker_unnoticed(A).await.unwrap();
    cluster.start_broker(A).await.unwrap();
    assert_eq!(known(&cluster, GROUP), 0);
    let before = heartbeats(&cluster, A);
    let healed = async { while one.send(message()).await.is_err() {} };
    soon(healed).await;
    cluster_is(&cluster, |c| known(c, GROUP) == 1 && known(c, OTHER) == 1).await;
    assert!(heartbeats(&cluster, A) <= before + 2, "not one per group");
    drop(two);
}

#[tokio::test]
async fn a_shutdown_takes_its_own_group_back_and_leaves_the_others_alone() {
    let cluster = cluster(1).await;
    let context = context_with(&cluster, |settings| {
        settings.heartbeat_broker_interval(millis(100))
    });
    let one = started(&context, GROUP).await;
    let two = started(&context, OTHER).await;
    cluster_is(&cluster, |c| known(c, GROUP) == 1 && known(c, OTHER) == 1).await;
    let report = one.shutdown(PATIENCE).await;
    assert_eq!((report.unregistered, report.abandoned), (1, 0));
    assert_eq!(known(&cluster, GROUP), 0);
    assert_eq!(one.state(), State::Stopped);
    // No later heartbeat brings it back.
    let before = heartbeats(&cluster, A);
    cluster_is(&cluster, |c| heartbeats(c, A) >= before + 3).await;
    assert_eq!((known(&cluster, GROUP), known(&cluster, OTHER)), (0, 1));
    two.send(message()).await.unwrap();
    assert_eq!(cluster.connections(A).unwrap(), 1);
    assert!(one.send(message()).await.is_err());
}

#[tokio::test]
async fn a_producer_dropped_without_shutdown_is_taken_back_too_while_others_go_on() {
    let cluster = cluster(1).await;
    let context = context(&cluster);
    let one = started(&context, GROUP).await;
    let two = started(&context, OTHER).await;
    cluster_is(&cluster, |c| known(c, GROUP) == 1 && known(c, OTHER) == 1).await;
    drop(one);
    cluster_is(&cluster, |c| known(c, GROUP) == 0).await;
    assert_eq!(known(&cluster, OTHER), 1);
    two.send(message()).await.unwrap();
}

#[tokio::test]
async fn connections_close_with_the_last_producer_and_open_again_for_the_next() {
    let cluster = cluster(1).await;
    let context = context(&cluster);
    let one = started(&context, GROUP).await;
    let two = started(&context, OTHER).await;
    one.shutdown(PATIENCE).await;
    assert_eq!(cluster.connections(A).unwrap(), 1);
    two.shutdown(PATIENCE).await;
    all_connections_are_closed(&cluster).await;
    let three = started(&context, GROUP).await;
    three.send(message()).await.unwrap();
    cluster_is(&cluster, |c| known(c, GROUP) == 1 && known(c, OTHER) == 0).await;
    drop(three);
    all_connections_are_closed(&cluster).await;
}

#[tokio::test]
async fn without_handles_and_producers_no_task_and_no_connection_is_left() {
    let cluster = cluster(1).await;
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let context = context(&cluster);
    let one = started(&context, GROUP).await;
    let two = started(&context, OTHER).await;
    drop(context);
    two.send(message()).await.unwrap();
    // One is shut down and its handle kept, the other one dropped.
    two.shutdown(PATIENCE).await;
    one.send(message()).await.unwrap();
    drop(one);
    all_connections_are_closed(&cluster).await;
    until(|| metrics.num_alive_tasks() <= before).await;
    assert_eq!(two.state(), State::Stopped);
}

#[tokio::test]
async fn the_last_of_a_context_without_handles_waits_until_everything_is_closed() {
    let cluster = cluster(1).await;
    let metrics = tokio::runtime::Handle::current().metrics();
    let context = context(&cluster);
    let one = started(&context, GROUP).await;
    let two = started(&context, OTHER).await;
    drop(context);
    one.shutdown(PATIENCE).await;
    two.shutdown(PATIENCE).await;
    all_connections_are_closed(&cluster).await;
    let left = metrics.num_alive_tasks();
    drop((one, two));
    assert!(metrics.num_alive_tasks() <= left);
}

#[tokio::test]
async fn a_second_producer_of_the_same_group_and_client_id_is_refused() {
    let cluster = cluster(1).await;
    let context = context(&cluster);
    let one = started(&context, GROUP).await;
    let refused = context.producer(GROUP).start().await.unwrap_err();
    match &refused {
        StartError::GroupInUse { group, client_id } => {
            assert_eq!((&**group, &**client_id), (GROUP, one.client_id()));
        }
        error => panic!("{error:?}"),
    }
    one.send(message()).await.unwrap();
    one.shutdown(PATIENCE).await;
    let next = started(&context, GROUP).await;
    next.send(message()).await.unwrap();
}

#[tokio::test]
async fn the_same_client_id_is_refused_across_contexts_and_free_after_a_drop() {
    let cluster = cluster(1).await;
    let named = |settings: ProducerConfigBuilder| settings.client_id("the-same");
    let one = builder(&cluster).configure(named).start().await.unwrap();
    let two = builder(&cluster).configure(named).build().unwrap();
    let refused = two.start().await.unwrap_err();
    assert!(matches!(refused, StartError::GroupInUse { .. }));
    drop(one);
    // A start that was refused may be tried again.
    two.start().await.unwrap();
    two.send(message()).await.unwrap();
}

#[tokio::test]
async fn a_start_that_fails_gives_the_name_back() {
    let cluster = cluster(1).await;
    let context = context_with(&cluster, |settings| settings.create_topic(false));
    let start = || {
        let builder = context.producer(GROUP).preheat(["nowhere"]);
        builder.require_preheat().start()
    };
    for _ in 0..2 {
        let error = start().await.unwrap_err();
        assert!(matches!(error, StartError::Preheat { .. }), "{error:?}");
    }
    assert!(context.groups().is_empty());
}

#[test]
fn what_belongs_to_the_context_cannot_be_given_to_its_producers() {
    let context = ClientContext::builder().name_servers("127.0.0.1:9876");
    let context = context.build().unwrap();
    let refused = |builder: ProducerBuilder| match builder.context(&context).build() {
        Err(BuildError::OfContext { settings }) => settings,
        other => panic!("{other:?}"),
    };
    let builder = || Producer::builder("g");
    let other = builder().name_servers("127.0.0.2:9876");
    assert_eq!(refused(other), ["namesrv_addr"]);
    let several = builder()
        .configure(|settings| settings.client_id("c").request_timeout(millis(1)))
        .dialer(std::sync::Arc::new(TcpDialer));
    assert_eq!(refused(several), ["client_id", "request_timeout", "dialer"]);
    let same = builder().name_servers("127.0.0.1:9876");
    let producer = same.context(&context).build().unwrap();
    assert_eq!(
        producer.config().namesrv_addr.to_string(),
        context.config().namesrv_addr.to_string()
    );
}

#[tokio::test]
async fn each_producer_of_a_context_keeps_its_own_strategy_and_bounds() {
    let cluster = cluster(1).await;
    let context = context(&cluster);
    let narrow = context
        .producer(GROUP)
        .configure(|settings| settings.async_send_semaphore(1).retry_times(0))
        .preheat([TOPIC])
        .start()
        .await
        .unwrap();
    let wide = started(&context, OTHER).await;
    let sends = Fault::once(Condition::sends(), Reaction::Stall);
    let stalled = cluster.faults(A).unwrap().arm(sends);
    let first = tokio::spawn({
        let narrow = narrow.clone();
        async move { narrow.send(message()).await }
    });
    soon(stalled.wait_fired(1)).await;
    assert!(
        narrow.try_send(message()).await.is_err(),
        "its one place is taken"
    );
    let wide = tokio::spawn(async move { wide.try_send(message()).await });
    until(|| narrow.stats().under_way == 1).await;
    stalled.lift();
    soon(first).await.unwrap().unwrap();
    soon(wide).await.unwrap().unwrap();
}

#[test]
fn blocking_producers_of_a_context_share_its_runtime_so_that_the_first_may_go() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cluster = runtime.block_on(cluster(1));
    let context = context(&cluster);
    let one = context.producer(GROUP).start_blocking().unwrap();
    let two = context.producer(OTHER).start_blocking().unwrap();
    one.send(message()).unwrap();
    drop(one);
    two.send(message()).unwrap();
    let report = two.shutdown(PATIENCE).unwrap();
    assert_eq!(report.abandoned, 0);
    runtime.block_on(all_connections_are_closed(&cluster));
}
