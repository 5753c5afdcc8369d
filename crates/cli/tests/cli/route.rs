//! `route`: what is usable, what is not and why, and what cannot be found.

use rocketmq_producer::remoting::protocol::Permission;

use crate::harness::{Cluster, Ended, command, run};

fn route(cluster: &Cluster, topic: &str) -> Ended {
    run(&mut command(&[
        "route",
        topic,
        "--namesrv",
        &cluster.address(),
    ]))
}

#[test]
fn brokers_queues_and_permissions_are_shown() {
    let cluster = Cluster::start(|builder| builder.brokers(2).slaves(1).topic("orders", 4));
    cluster
        .inner
        .create_topic_on("broker-b", "orders", 3, Permission::READ)
        .unwrap();
    let ended = route(&cluster, "orders");
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let words = |start: &str| -> Vec<Vec<&str>> {
        let lines = ended.stdout.lines().filter(|line| line.starts_with(start));
        lines
            .map(|line| line.split_whitespace().collect())
            .collect()
    };
    for broker in cluster.inner.brokers() {
        let address = broker.address.to_string();
        let slave = broker.slaves[0].to_string();
        let lines = words(&broker.name);
        assert_eq!(lines[0][2..], ["master", address.as_str()], "{ended:?}");
        assert_eq!(lines[1][2..], ["slave", "1", slave.as_str()], "{ended:?}");
    }
    assert_eq!(words("broker-a")[2], ["broker-a", "4", "4", "RW-", "0-3"]);
    let refused = ["broker-b", "3", "3", "R--", "none", "not", "writable"];
    assert_eq!(words("broker-b")[2], refused, "{ended:?}");
}

#[test]
fn a_topic_that_nothing_can_be_sent_to_is_a_failure() {
    let cluster = Cluster::with_orders();
    cluster.inner.create_topic("orders", 4, Permission::READ);
    let ended = route(&cluster, "orders");
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.stdout.contains("not writable"), "{ended:?}");
    assert!(ended.stderr.contains("nothing can be sent"), "{ended:?}");
}

#[test]
fn an_unknown_topic_is_told_from_an_unreachable_name_server() {
    let cluster = Cluster::with_orders();
    let unknown = route(&cluster, "nosuch");
    assert_eq!(unknown.status, Some(1), "{unknown:?}");
    assert!(
        unknown.stderr.contains("no such topic nosuch"),
        "{unknown:?}"
    );
    assert!(
        unknown.stderr.contains("advice: create the topic"),
        "{unknown:?}"
    );
    let address = cluster.address();
    drop(cluster);
    let unreachable = run(&mut command(&["route", "orders", "--namesrv", &address]));
    assert_eq!(unreachable.status, Some(1), "{unreachable:?}");
    assert!(unreachable.stderr.contains(&address), "{unreachable:?}");
    assert!(
        unreachable.stderr.contains("advice: check namesrv_addr"),
        "{unreachable:?}"
    );
}

#[test]
fn a_topic_that_no_message_can_have_is_bad_usage() {
    let cluster = Cluster::with_orders();
    assert_eq!(route(&cluster, "a b").status, Some(2));
}
