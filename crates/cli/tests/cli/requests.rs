//! `send` with requests: replies are printed and in the ledger, and what gets none says so.

use std::collections::BTreeMap;

use rocketmq_producer_embedded::StoredMessage;
use serde_json::{Value, json};

use crate::harness::{Cluster, Ended, ledger, run_with};

/// Runs `send` with these flags and answers the requests among so many messages, as their consumer would.
fn answered(cluster: &Cluster, flags: &[&str], input: &str, messages: usize) -> Ended {
    let mut command = cluster.send(flags);
    std::thread::scope(|scope| {
        let ended = scope.spawn(|| run_with(&mut command, input.as_bytes()));
        for message in cluster.wait_for("orders", messages) {
            let is_request = message.property("CORRELATION_ID").is_some();
            let (broker, body) = (&message.broker_name, reply_to(&message));
            let known = cluster.inner.reply(broker, &message, body);
            assert_eq!(known.unwrap(), is_request, "its broker knows the client");
        }
        ended.join().unwrap()
    })
}

fn reply_to(request: &StoredMessage) -> Vec<u8> {
    match &*request.body {
        b"bytes" => vec![0xff, 0],
        body => [b"re: ", body].concat(),
    }
}

fn by_line(ended: &Ended) -> BTreeMap<u64, Value> {
    let lines = ended.stdout.lines().filter(|line| line.starts_with('{'));
    let replies = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    replies
        .map(|reply| (reply["line"].as_u64().unwrap(), reply))
        .collect()
}

#[test]
fn each_line_may_be_a_request_whose_reply_is_printed_and_in_the_ledger() {
    let cluster = Cluster::with_orders();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let input = [
        json!({"id": "a", "body": "one", "request": "20s"}),
        json!({"body": "bytes", "request": "20s"}),
        json!({"id": 3, "body": "no request"}),
    ]
    .map(|line| format!("{line}\n"))
    .concat();
    let flags = ["--format", "jsonl", "--ledger", path.to_str().unwrap()];
    let ended = answered(&cluster, &flags, &input, 3);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let replies = by_line(&ended);
    assert_eq!(replies.len(), 2, "{ended:?}");
    assert_eq!(
        (&replies[&1]["id"], &replies[&1]["reply"]),
        (&json!("a"), &json!("re: one"))
    );
    assert_eq!(replies[&2]["reply_base64"], "/wA=");
    assert!(replies[&2]["ms"].is_u64() && replies[&2].get("id").is_none());
    let lines = ledger(&path);
    let of = |id: Value| lines.iter().find(|line| line["id"] == id).unwrap();
    assert_eq!(of(json!("a"))["answer"]["reply"], "re: one");
    assert_eq!(of(Value::Null)["answer"]["reply_base64"], "/wA=");
    assert!(of(json!(3)).get("answer").is_none());
    assert!(lines.iter().all(|line| line["outcome"] == "acked"));
}

#[test]
fn a_flag_makes_every_line_a_request() {
    let cluster = Cluster::with_orders();
    let ended = answered(&cluster, &["--request=20s"], "one\ntwo\n", 2);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let replies = by_line(&ended);
    assert_eq!(replies[&1]["reply"], "re: one");
    assert_eq!(replies[&2]["reply"], "re: two");
    for request in cluster.inner.messages("orders") {
        assert_eq!(request.property("TTL"), Some("20000"));
    }
    // Alone it does not take the next argument for its time.
    let ended = answered(&Cluster::with_orders(), &["--request", "--ordered"], "x", 1);
    assert_eq!(by_line(&ended)[&1]["reply"], "re: x");
}

#[test]
fn a_request_without_a_reply_is_stored_and_the_status_says_so() {
    let cluster = Cluster::with_orders();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let flags = ["--request=100ms", "--ledger", path.to_str().unwrap()];
    let ended = run_with(&mut cluster.send(&flags), b"anybody?\n");
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let counts = "1 acked, 0 rejected, 0 unknown, 0 not sent, 1 without a reply";
    assert!(ended.stdout.starts_with(counts), "{ended:?}");
    assert!(
        ended.stderr.contains("line 1: no reply within 100ms"),
        "{ended:?}"
    );
    let line = ledger(&path).remove(0);
    assert_eq!(line["outcome"], "acked");
    assert_eq!(line["error"], Value::Null);
    assert_eq!(line["answer"]["error"], "no reply within 100ms");
    assert_eq!(cluster.inner.message_count("orders"), 1);
}

#[test]
fn what_cannot_be_a_request_is_not_sent_at_all() {
    let cluster = Cluster::with_orders();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let flags = [
        "--format",
        "jsonl",
        "--request=1s",
        "--ledger",
        path.to_str().unwrap(),
    ];
    // Room for the message's own properties, and for nothing beside.
    let full = json!({"id": "full", "body": "x", "properties": {"p": "x".repeat(32_700)}});
    let input = [
        json!({"body": "x", "transaction": "commit"}),
        json!({"body": "x", "delay_level": 3}),
        full,
    ]
    .map(|line| format!("{line}\n"))
    .concat();
    let ended = run_with(&mut cluster.send(&flags), input.as_bytes());
    assert_eq!(ended.status, Some(2), "{ended:?}");
    for complaint in [
        "line 1: a transaction is no request",
        "line 2: a request has no time of delivery",
        "line 3: ",
    ] {
        assert!(ended.stderr.contains(complaint), "{complaint}: {ended:?}");
    }
    let lines = ledger(&path);
    assert_eq!((lines.len(), &lines[0]["id"]), (1, &json!("full")));
    assert_eq!(lines[0]["outcome"], "not_sent");
    assert_eq!(cluster.inner.message_count("orders"), 0);
}
