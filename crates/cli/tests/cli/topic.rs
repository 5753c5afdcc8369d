//! `topic` and `message`: what is made is listed and shown, what was sent is found.

use serde_json::Value;

use crate::harness::{Cluster, Ended, command, ledger, run, run_with};

fn at(cluster: &Cluster, arguments: &[&str]) -> Ended {
    let address = cluster.address();
    let mut command = command(arguments);
    command.args(["--namesrv", &address]);
    run(&mut command)
}

#[test]
fn a_topic_is_created_listed_and_shown() {
    let cluster = Cluster::start(|builder| builder.brokers(2).auto_create_topics(false));
    let made = at(&cluster, &["topic", "create", "orders", "--queues", "3"]);
    assert_eq!(made.status, Some(0), "{made:?}");
    assert_eq!(
        made.stdout,
        "topic orders: 3 queues, RW- on broker-a, broker-b\n"
    );
    let one = ["topic", "create", "readable", "--perm", "r", "--broker"];
    let one = at(&cluster, &[&one[..], &["broker-b"]].concat());
    assert_eq!(one.stdout, "topic readable: 4 queues, R-- on broker-b\n");
    let listed = at(&cluster, &["topic", "list"]);
    assert_eq!(listed.stdout, "orders\nreadable\n", "{listed:?}");
    let status = at(&cluster, &["topic", "status", "orders", "--json"]);
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status["queues"].as_array().unwrap().len(), 6);
    let table = at(&cluster, &["topic", "status", "orders"]);
    assert_eq!(table.stdout.lines().count(), 7, "{table:?}");
}

#[test]
fn a_change_keeps_the_queues_unless_others_are_asked_for_and_then_tells_how_many_there_were() {
    let cluster = Cluster::start(|builder| builder.topic("orders", 8));
    let closed = at(&cluster, &["topic", "create", "orders", "--perm", "r"]);
    assert_eq!(closed.stdout, "topic orders: 8 queues, R-- on broker-a\n");
    let fewer = at(&cluster, &["topic", "create", "orders", "--queues", "2"]);
    assert_eq!(
        fewer.stdout,
        "topic orders: 2 queues instead of 8, RW- on broker-a\n"
    );
    let status = at(&cluster, &["topic", "status", "orders", "--json"]);
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status["queues"].as_array().unwrap().len(), 2);
}

#[test]
fn what_cannot_be_made_or_shown_is_told() {
    let cluster = Cluster::start(|builder| builder.auto_create_topics(false));
    let bad = at(&cluster, &["topic", "create", "a b"]);
    assert_eq!(bad.status, Some(2), "{bad:?}");
    let nowhere = ["topic", "create", "orders", "--cluster", "nosuch"];
    let nowhere = at(&cluster, &nowhere);
    assert_eq!(nowhere.status, Some(1), "{nowhere:?}");
    assert!(nowhere.stderr.contains("no master for cluster nosuch"));
    let unknown = at(&cluster, &["topic", "status", "nosuch"]);
    assert_eq!(unknown.status, Some(1), "{unknown:?}");
    assert!(unknown.stderr.contains("advice: create the topic"));
    let neither = at(&cluster, &["message", "find", "--topic", "orders"]);
    assert_eq!(neither.status, Some(2), "{neither:?}");
    assert!(
        neither.stderr.contains("<--id <ID>|--key <KEY>>"),
        "{neither:?}"
    );
}

#[test]
fn a_sent_message_is_found_by_either_id_and_by_key() {
    let cluster = Cluster::with_orders();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger");
    let flags = ["--format", "jsonl", "--ledger", path.to_str().unwrap()];
    let line = r#"{"body":"paid é","tags":"t","keys":["17","x"],"properties":{"region":"eu"}}"#;
    let binary = r#"{"body_base64":"AP8=","keys":["bin"]}"#;
    let sent = run_with(
        &mut cluster.send(&flags),
        format!("{line}\n{binary}\n").as_bytes(),
    );
    assert_eq!(sent.status, Some(0), "{sent:?}");
    let ledger = ledger(&path);
    let first = ledger.iter().find(|entry| entry["key"] == "17").unwrap();
    let (id, place) = (
        first["msgId"].as_str().unwrap(),
        first["offsetMsgId"].as_str().unwrap(),
    );
    for arguments in [
        ["message", "get", place, "--topic", "orders", "--json"].to_vec(),
        ["message", "find", "--id", id, "--topic", "orders", "--json"].to_vec(),
        [
            "message", "find", "--key", "x", "--topic", "orders", "--json",
        ]
        .to_vec(),
    ] {
        let ended = at(&cluster, &arguments);
        assert_eq!(ended.status, Some(0), "{ended:?}");
        let found: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(found["body"], "paid é");
        assert_eq!(found["msgId"], id);
        assert_eq!(found["offsetMsgId"], place);
        assert_eq!(found["offset"], first["offset"]);
        assert_eq!(found["queue"], first["queue"]);
        assert_eq!(found["properties"]["region"], "eu");
        assert_eq!(found["keys"], serde_json::json!(["17", "x"]));
    }
    let text = at(&cluster, &["message", "get", place, "--topic", "orders"]);
    assert!(text.stdout.ends_with("\npaid é\n"), "{text:?}");
    assert!(text.stdout.contains("  region"), "{text:?}");
    let find = ["message", "find", "--key", "bin", "--topic", "orders"];
    let natural = at(&cluster, &find);
    assert!(natural.stdout.ends_with("\nAP8=\n"), "{natural:?}");
    let hex = at(&cluster, &[&find[..], &["--body", "hex"]].concat());
    assert!(hex.stdout.ends_with("\n00ff\n"), "{hex:?}");
}

#[test]
fn what_is_not_there_is_a_failure_and_what_is_no_id_bad_usage() {
    let cluster = Cluster::with_orders();
    let nothing = at(
        &cluster,
        &["message", "find", "--key", "x", "--topic", "orders"],
    );
    assert_eq!(nothing.status, Some(1), "{nothing:?}");
    assert!(nothing.stderr.contains("no such message"), "{nothing:?}");
    let bad = at(&cluster, &["message", "get", "xyz", "--topic", "orders"]);
    assert_eq!(bad.status, Some(2), "{bad:?}");
    let neither = at(&cluster, &["message", "find", "--topic", "orders"]);
    assert_eq!(neither.status, Some(2), "{neither:?}");
}
