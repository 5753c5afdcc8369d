//! `demo`: sends, reads back, compares.

use crate::harness::{Cluster, command, ledger, run};

#[test]
fn every_message_is_found_where_it_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let mut command = command(&["demo", "--messages", "3000", "--ledger"]);
    let ended = run(command.arg(&path));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    for part in [
        "messages    3000 acked, 0 not,",
        "throughput  ",
        "p99.9 ",
        "3000 as sent at queue and offset of their receipt, 0 missing, 0 different, 0 extra",
        "97 of 97 sharding keys in one queue and in order",
        "HEALTHY",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    let queues = ended
        .stdout
        .lines()
        .filter(|line| line.contains('▪'))
        .count();
    assert_eq!(queues, 8, "{}", ended.stdout);
    let lines = ledger(&path);
    assert_eq!(lines.len(), 3000);
    assert!(lines.iter().all(|line| line["outcome"] == "acked"));
}

#[test]
fn a_cluster_elsewhere_is_sent_to_and_not_read_back() {
    let cluster = Cluster::with_orders();
    let address = cluster.address();
    let arguments = [
        "demo",
        "--messages",
        "200",
        "--namesrv",
        &address,
        "--topic",
        "orders",
    ];
    let ended = run(&mut command(&arguments));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(cluster.inner.message_count("orders"), 200);
    assert!(ended.stdout.contains("nothing was read back"), "{ended:?}");
}

#[test]
fn without_an_acknowledged_message_no_figures_are_shown() {
    let flags = ["demo", "--namesrv", "127.0.0.1:1", "--messages", "3"];
    let ended = run(&mut command(&flags));
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.stdout.starts_with("messages    0 acked, 3 not"));
    assert_eq!(ended.stdout.lines().count(), 1, "{ended:?}");
}
