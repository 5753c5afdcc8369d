//! `send` with messages that travel otherwise: later, together, compressed; and flags that do not go together.

use rocketmq_producer::remoting::RequestCode;
use serde_json::json;

use crate::harness::{Cluster, ledger, run_with};

/// Bits of the system flag: compressed, and how. Java: `MessageSysFlag`.
const COMPRESSED: i32 = 1;
const ZSTD: i32 = 2 << 8;

fn batches(cluster: &Cluster) -> u64 {
    let brokers = cluster.inner.brokers().into_iter();
    let code = RequestCode::SEND_BATCH_MESSAGE;
    brokers
        .map(|broker| cluster.inner.requests(&broker.name, code).unwrap())
        .sum()
}

#[test]
fn the_ledger_says_which_part_of_the_broker_keeps_a_message_that_is_delivered_later() {
    let cluster = Cluster::with_orders();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let input = [
        json!({"id": "level", "body": "1", "delay_level": 18}),
        json!({"id": "delay", "body": "2", "delay_ms": 3_600_000}),
        json!({"id": "past", "body": "3", "deliver_at": 17}),
        json!({"id": "now", "body": "4"}),
    ]
    .map(|line| format!("{line}\n"))
    .concat();
    let flags = ["--format", "jsonl", "--ledger", path.to_str().unwrap()];
    let ended = run_with(&mut cluster.send(&flags), input.as_bytes());
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let lines = ledger(&path);
    let via = |id: &str| {
        lines
            .iter()
            .find(|line| line["id"] == id)
            .unwrap()
            .get("via")
    };
    assert_eq!(via("level"), Some(&json!("schedule")));
    assert_eq!(via("delay"), Some(&json!("timer")));
    assert_eq!((via("past"), via("now")), (None, None));
    assert_eq!(cluster.inner.message_count("orders"), 2);
}

#[test]
fn a_transaction_that_is_to_be_delivered_later_is_bad_input_and_nothing_is_sent() {
    let cluster = Cluster::with_orders();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let input = r#"{"body":"x","transaction":"commit","delay_level":3}"#;
    let flags = ["--format", "jsonl", "--ledger", path.to_str().unwrap()];
    let ended = run_with(&mut cluster.send(&flags), input.as_bytes());
    assert_eq!(ended.status, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("line 1: "), "{ended:?}");
    let line = ledger(&path).remove(0);
    assert_eq!(line["outcome"], "not_sent");
    assert_eq!(line["attempts"], json!([]));
    assert_eq!(cluster.inner.message_count("RMQ_SYS_TRANS_HALF_TOPIC"), 0);
}

#[test]
fn messages_share_requests_if_asked_to_and_each_keeps_its_place() {
    let cluster = Cluster::start(|builder| builder.topic("orders", 1));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let input: String = (0..64).map(|n| format!("{n}\n")).collect();
    let flags = ["--auto-batch", "--linger", "20ms", "--batch-size", "16"];
    let mut command = cluster.send(&flags);
    command.arg("--ledger").arg(&path);
    let ended = run_with(&mut command, input.as_bytes());
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(batches(&cluster) > 0);
    let mut offsets: Vec<_> = ledger(&path)
        .iter()
        .map(|line| line["offset"].as_i64().unwrap())
        .collect();
    offsets.sort_unstable();
    assert_eq!(offsets, (0..64).collect::<Vec<_>>());

    let cluster = Cluster::start(|builder| builder.topic("orders", 1));
    let mut command = cluster.send(&["--auto-batch=off"]);
    command.env("ROCKETMQ_PRODUCER_AUTO_BATCH", "true");
    let ended = run_with(&mut command, input.as_bytes());
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(batches(&cluster), 0, "the flag wins");
}

#[test]
fn bodies_are_compressed_as_the_flags_say() {
    let body = "paid ".repeat(200);
    let flags_of_stored = |flags: &[&str]| {
        let cluster = Cluster::with_orders();
        let ended = run_with(&mut cluster.send(flags), body.as_bytes());
        assert_eq!(ended.status, Some(0), "{ended:?}");
        cluster.inner.messages("orders")[0].sys_flag
    };
    let zstd = [
        "--compress",
        "zstd",
        "--compress-over",
        "1000",
        "--compress-level",
        "9",
    ];
    assert_eq!(flags_of_stored(&zstd), COMPRESSED | ZSTD);
    assert_eq!(flags_of_stored(&["--compress-over", "1001"]), 0);
    assert_eq!(flags_of_stored(&["--compress", "none"]), 0);
}

#[test]
fn flags_that_do_not_go_together_send_nothing_and_say_why() {
    let cluster = Cluster::with_orders();
    for (flags, reason) in [
        (&["--linger", "5ms"][..], "--linger needs automatic batches"),
        (
            &["--batch-size", "5"],
            "--batch-size needs automatic batches",
        ),
        (
            &["--auto-batch", "--concurrency", "1"],
            "nothing together with --concurrency 1",
        ),
        (
            &["--auto-batch", "--request"],
            "a request never shares a batch",
        ),
        (
            &["--compress", "none", "--compress-over", "1KiB"],
            "--compress-over needs compression",
        ),
        (&["--compress", "lz4", "--compress-level", "9"], "lz4"),
        (&["--compress", "gzip"], "--compress"),
        (&["--compress-level", "10"], "--compress-level"),
        (&["--auto-batch=maybe"], "--auto-batch"),
        (&["--request=0"], "--request"),
    ] {
        let ended = run_with(&mut cluster.send(flags), b"one\n");
        assert_eq!(ended.status, Some(2), "{flags:?} {ended:?}");
        assert!(ended.stderr.contains("error: "), "{flags:?} {ended:?}");
        assert!(ended.stderr.contains(reason), "{flags:?} {ended:?}");
    }
    assert_eq!(cluster.inner.message_count("orders"), 0);
}
