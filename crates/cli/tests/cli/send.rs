//! `send`: formats, bad lines, exit statuses, and the truth of the ledger.

use std::collections::BTreeMap;

use rocketmq_producer::remoting::{RequestCode, ResponseCode};
use rocketmq_producer_embedded::{Condition, Fault, Reaction, StoredMessage};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::{Cluster, command, ledger, run, run_with};

fn bodies(stored: &[StoredMessage]) -> Vec<String> {
    let mut bodies: Vec<String> = stored
        .iter()
        .map(|message| String::from_utf8_lossy(&message.body).into_owned())
        .collect();
    bodies.sort();
    bodies
}

#[test]
fn each_line_is_a_message_and_the_summary_is_one_line() {
    let cluster = Cluster::with_orders();
    let ended = run_with(&mut cluster.send(&[]), "one\ntwo\nübrig".as_bytes());
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(
        bodies(&cluster.inner.messages("orders")),
        ["one", "two", "übrig"]
    );
    assert_eq!(ended.stdout.lines().count(), 1);
    let counts = "3 acked, 0 rejected, 0 unknown, 0 not sent; ";
    assert!(ended.stdout.starts_with(counts), "{ended:?}");
    for part in [" messages/s, ", "p50 ", ", p99 "] {
        assert!(ended.stdout.contains(part), "{part} {ended:?}");
    }
    assert_eq!(ended.stderr, "");
}

#[test]
fn every_field_of_a_json_line_reaches_the_broker() {
    let cluster = Cluster::with_orders();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in.jsonl");
    let line = r#"{"id":"a","body":"paid","tags":"T","keys":["k1","k2"],"sharding_key":"s","properties":{"p":"q"}}"#;
    std::fs::write(&file, line).unwrap();
    let flags = ["--format", "jsonl", "--file", file.to_str().unwrap()];
    let ended = run(&mut cluster.send(&flags));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let stored = cluster.inner.messages("orders");
    let [message] = stored.as_slice() else {
        panic!("{stored:?}");
    };
    assert_eq!(message.body, "paid");
    assert_eq!(message.tags(), Some("T"));
    assert_eq!(message.keys().collect::<Vec<_>>(), ["k1", "k2"]);
    assert_eq!(message.property("__SHARDINGKEY"), Some("s"));
    assert_eq!(message.property("p"), Some("q"));
}

#[test]
fn a_bad_line_is_named_the_others_are_sent_and_the_status_says_so() {
    let cluster = Cluster::with_orders();
    let input = b"one\n\xff\xfe\n\nfour\n";
    let ended = run_with(&mut cluster.send(&[]), input);
    assert_eq!(ended.status, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("line 2: not UTF-8"), "{ended:?}");
    assert!(ended.stderr.contains("line 3: the body"), "{ended:?}");
    assert_eq!(bodies(&cluster.inner.messages("orders")), ["four", "one"]);

    let input = [
        r#"{"body":"ok 1"}"#,
        r#"{"body":"#,
        r#"{"id":"x"}"#,
        r#"{"body":"x","delay_lvl":3}"#,
        r#"{"body_base64":"%%"}"#,
        r#"{"body":"x","properties":{"UNIQ_KEY":"1"}}"#,
        r#"{"body":"x","keys":["a b"]}"#,
        r#"{"body":"ok 2"}"#,
    ];
    let ended = run_with(
        &mut cluster.send(&["--format", "jsonl"]),
        input.join("\n").as_bytes(),
    );
    assert_eq!(ended.status, Some(2), "{ended:?}");
    for complaint in [
        "line 2: EOF",
        "line 3: neither body nor body_base64",
        "line 4: unknown field `delay_lvl`",
        "line 5: body_base64 is not base64",
        "line 6: ",
        "UNIQ_KEY",
        "line 7: key number 1 holds a space",
    ] {
        assert!(ended.stderr.contains(complaint), "{complaint}: {ended:?}");
    }
    assert_eq!(
        bodies(&cluster.inner.messages("orders")),
        ["four", "ok 1", "ok 2", "one"]
    );
    assert!(ended.stdout.contains("2 acked"), "{ended:?}");
    assert!(
        ended.stdout.contains("2 not sent, 4 lines refused"),
        "{ended:?}"
    );
}

#[test]
fn lines_may_be_transactions_that_end_as_they_say() {
    let cluster = Cluster::with_orders();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let input: String = ["commit", "rollback", "unknown"]
        .map(|end| format!("{}\n", json!({"id": end, "body": end, "transaction": end})))
        .concat();
    let flags = ["--format", "jsonl", "--ledger", path.to_str().unwrap()];
    let ended = run_with(&mut cluster.send(&flags), input.as_bytes());
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let seen = cluster.inner.messages("orders");
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].body, "commit");
    assert_eq!(cluster.inner.open_transactions(), 1, "the unknown one");
    let halves = cluster.inner.messages("RMQ_SYS_TRANS_HALF_TOPIC");
    let lines = ledger(&path);
    assert_eq!((lines.len(), halves.len()), (3, 3));
    for line in &lines {
        assert_eq!(line["via"], "half");
        let id = &line["offsetMsgId"];
        let mut ids = halves.iter().map(|half| half.offset_message_id.to_string());
        assert!(ids.any(|half| *id == half), "{line}");
    }
}

#[test]
fn the_ledger_says_where_each_message_is() {
    let cluster = Cluster::with_orders();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let input: String = (0..500)
        .map(|n| {
            format!(
                "{}\n",
                json!({"id": n, "body": format!("body {n}"), "keys": [format!("k{n}"), "x"]})
            )
        })
        .collect();
    let flags = ["--format", "jsonl", "--ledger", path.to_str().unwrap()];
    let ended = run_with(&mut cluster.send(&flags), input.as_bytes());
    assert_eq!(ended.status, Some(0), "{ended:?}");

    let stored = cluster.inner.messages("orders");
    let by_place: BTreeMap<_, _> = stored
        .iter()
        .map(|m| {
            (
                (
                    m.broker_name.to_string(),
                    i64::from(m.queue_id),
                    m.queue_offset,
                ),
                m,
            )
        })
        .collect();
    let lines = ledger(&path);
    assert_eq!((lines.len(), stored.len()), (500, 500));
    let mut seen: Vec<i64> = Vec::new();
    for line in &lines {
        let id = line["id"].as_i64().unwrap();
        seen.push(id);
        let place = (
            line["broker"].as_str().unwrap().to_owned(),
            line["queue"].as_i64().unwrap(),
            line["offset"].as_i64().unwrap(),
        );
        let message = by_place[&place];
        assert_eq!(message.body, format!("body {id}"));
        assert_eq!(line["msgId"], message.message_id());
        assert_eq!(line["offsetMsgId"], message.offset_message_id.to_string());
        let digest: String = Sha256::digest(&message.body)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(line["sha256"], digest);
        assert_eq!(line["len"], message.body.len());
        assert_eq!(line["seq"], id);
        assert_eq!(line["key"], format!("k{id}"));
        assert_eq!(line["outcome"], "acked");
        assert_eq!(line["status"], "SEND_OK");
        assert_eq!(line["error"], Value::Null);
        let (t0, t1) = (line["t0"].as_f64().unwrap(), line["t1"].as_f64().unwrap());
        let attempt = &line["attempts"][0];
        let t = attempt["t"].as_f64().unwrap();
        // Two clocks read at the same microsecond may differ by one.
        assert!(
            t0 <= t + 0.002 && t + attempt["ms"].as_f64().unwrap() <= t1 + 0.002,
            "{line}"
        );
        assert_eq!(attempt["broker"], place.0);
        assert_eq!(attempt["queue"], place.1);
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..500).collect::<Vec<_>>());
}

#[test]
fn a_body_over_the_limit_is_bad_input_that_the_ledger_has() {
    let cluster = Cluster::with_orders();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let flags = ["--format", "jsonl", "--ledger", path.to_str().unwrap()];
    let mut command = cluster.send(&flags);
    command.env("ROCKETMQ_PRODUCER_MAX_MESSAGE_SIZE", "10 B");
    let input = "{\"body\":\"0123456789\"}\n{\"id\":\"long\",\"body\":\"0123456789X\"}\n";
    let ended = run_with(&mut command, input.as_bytes());
    assert_eq!(ended.status, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("line 2: "), "{ended:?}");
    assert!(ended.stderr.contains("at most 10 "), "{ended:?}");
    let lines = ledger(&path);
    let refused = lines.iter().find(|line| line["id"] == "long").unwrap();
    assert_eq!(refused["outcome"], "not_sent");
    assert_eq!(bodies(&cluster.inner.messages("orders")), ["0123456789"]);
}

/// One message to one broker with this fault; gives the status, the complaints and the ledger.
fn one_with_fault(reaction: Reaction, flags: &[&str]) -> (Option<i32>, String, Value, usize) {
    let cluster = Cluster::start(|builder| builder.topic("orders", 1));
    let faults = cluster.inner.faults("broker-a").unwrap();
    faults.arm(Fault::new(Condition::sends(), reaction));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let mut command = cluster.send(flags);
    command.arg("--ledger").arg(&path);
    let ended = run_with(&mut command, b"one\n");
    let lines = ledger(&path);
    assert_eq!(lines.len(), 1);
    let stored = cluster.inner.message_count("orders");
    (ended.status, ended.stderr, lines[0].clone(), stored)
}

#[test]
fn a_refused_message_is_rejected_with_the_brokers_words() {
    let answer = Reaction::answer(
        ResponseCode::MESSAGE_ILLEGAL,
        "the topic message is illegal",
    );
    let (status, complaints, line, _) = one_with_fault(answer, &[]);
    assert_eq!(status, Some(1), "{complaints}");
    assert_eq!(line["outcome"], "rejected");
    assert_eq!(line["offset"], Value::Null);
    assert!(
        line["attempts"][0]["err"]
            .as_str()
            .unwrap()
            .contains("the topic message is illegal")
    );
    assert!(
        complaints.contains("the topic message is illegal"),
        "{complaints}"
    );
    assert!(complaints.contains("advice: "), "{complaints}");
}

#[test]
fn a_stored_message_without_an_answer_is_unknown() {
    let flags = ["--timeout", "300ms", "--retries", "0"];
    let (status, complaints, line, stored) = one_with_fault(Reaction::Swallow, &flags);
    assert_eq!(status, Some(1), "{complaints}");
    assert_eq!(stored, 1);
    assert_eq!(line["outcome"], "unknown");
    assert_eq!(line["attempts"].as_array().unwrap().len(), 1);
    assert!(line["msgId"].is_string() && line["error"].is_string());
}

#[test]
fn an_unreachable_name_server_is_named_and_nothing_is_sent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let ended = run_with(
        &mut command(&["send", "--topic", "orders", "--namesrv", &address]),
        b"one\n",
    );
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains(&address) && ended.stderr.contains("advice: "),
        "{ended:?}"
    );
    assert!(ended.stdout.contains("1 not sent"), "{ended:?}");
}

#[test]
fn an_unknown_topic_is_not_sent_where_topics_are_not_created() {
    let cluster = Cluster::start(|builder| builder.auto_create_topics(false));
    let ended = run_with(&mut cluster.send(&[]), b"one\n");
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("no such topic"), "{ended:?}");
}

#[test]
fn the_order_of_each_sharding_key_is_kept_over_retries() {
    let cluster = Cluster::with_orders();
    for broker in cluster.inner.brokers() {
        let faults = cluster.inner.faults(&broker.name).unwrap();
        let busy = Reaction::answer(ResponseCode::SYSTEM_BUSY, "busy");
        faults.arm(Fault::new(Condition::sends(), busy).times(5));
    }
    let input: String = (0..400)
        .map(|n| {
            format!(
                "{}\n",
                json!({"body": n.to_string(), "sharding_key": format!("s{}", n % 7)})
            )
        })
        .collect();
    let flags = ["--format", "jsonl", "--ordered", "--concurrency", "8"];
    let ended = run_with(&mut cluster.send(&flags), input.as_bytes());
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let mut by_key: BTreeMap<String, Vec<(String, i32, i64, u64)>> = BTreeMap::new();
    for message in cluster.inner.messages("orders") {
        let key = message.property("__SHARDINGKEY").unwrap().to_owned();
        let number = std::str::from_utf8(&message.body).unwrap().parse().unwrap();
        by_key.entry(key).or_default().push((
            message.broker_name.to_string(),
            message.queue_id,
            message.queue_offset,
            number,
        ));
    }
    assert_eq!(by_key.len(), 7);
    for (key, mut messages) in by_key {
        messages.sort();
        assert!(
            messages.windows(2).all(|pair| {
                (&pair[0].0, pair[0].1) == (&pair[1].0, pair[1].1) && pair[0].3 < pair[1].3
            }),
            "{key}: {messages:?}"
        );
    }
}

#[test]
fn no_more_than_count_messages_are_sent() {
    let cluster = Cluster::with_orders();
    let ended = run_with(&mut cluster.send(&["--count", "2"]), b"a\nb\nc\nd\n");
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(bodies(&cluster.inner.messages("orders")), ["a", "b"]);
}

#[test]
fn an_empty_input_is_nothing_to_complain_about() {
    let cluster = Cluster::with_orders();
    let ended = run(&mut cluster.send(&[]));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.stdout.starts_with("0 acked"), "{ended:?}");
}

#[test]
fn bad_usage_sends_nothing_and_ends_with_2() {
    let cluster = Cluster::with_orders();
    for flags in [
        &["--file", "/nowhere/in.txt"][..],
        &["--ledger", "/nowhere/ledger"],
        &["--concurrency", "0"],
        &["--rate", "-1"],
        &["--format", "xml"],
        &["--template", "prodution"],
        &["--retries", "-1"],
        &["--timeout", "soon"],
        &["--config", "/nowhere/config.toml"],
        &["--group", "bad group"],
        &["--what"],
    ] {
        let ended = run_with(&mut cluster.send(flags), b"one\n");
        assert_eq!(ended.status, Some(2), "{flags:?} {ended:?}");
        assert!(ended.stderr.contains("error: "), "{flags:?} {ended:?}");
    }
    let address = cluster.address();
    for topic in ["", "a b", "SCHEDULE_TOPIC_XXXX", &"t".repeat(128)] {
        let arguments = ["send", "--topic", topic, "--namesrv", &address];
        let ended = run_with(&mut command(&arguments), b"one\n");
        assert_eq!(ended.status, Some(2), "{topic:?} {ended:?}");
    }
    assert_eq!(cluster.inner.message_count("orders"), 0);
}

#[test]
fn what_ended_a_send_is_told_once() {
    let cluster = Cluster::with_orders();
    cluster.wait(async {
        for broker in ["broker-a", "broker-b"] {
            cluster.inner.stop_broker_unnoticed(broker).await.unwrap();
        }
    });
    let ended = run_with(&mut cluster.send(&["--timeout", "300"]), b"one\n");
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert_eq!(ended.stderr.matches("attempt 1: ").count(), 1, "{ended:?}");
    let told = ended.stderr.matches("did not come back within").count();
    assert_eq!(told, 1, "{ended:?}");
}

#[test]
fn a_broker_that_refuses_every_heartbeat_is_told_of_once() {
    let cluster = Cluster::start(|builder| builder.topic("orders", 1));
    let faults = cluster.inner.faults("broker-a").unwrap();
    faults.arm(Fault::new(Condition::any(), Reaction::CloseBefore));
    let ended = run_with(&mut cluster.send(&["--timeout", "1500"]), b"one\n");
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let dials = cluster
        .inner
        .requests("broker-a", RequestCode::HEART_BEAT)
        .unwrap();
    assert!(dials > 2, "{dials}");
    let told = ended.stderr.matches("heartbeat failed").count();
    assert_eq!(told, 1, "{ended:?}");
}

#[test]
fn a_line_that_is_to_be_compressed_may_be_longer_than_what_is_sent() {
    let cluster = Cluster::with_orders();
    let line = vec![b'x'; 5 << 20];
    let ended = run_with(&mut cluster.send(&[]), &line);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let ended = run_with(&mut cluster.send(&["--compress", "none"]), &line);
    assert_eq!(ended.status, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("(4 MiB)"), "{ended:?}");
    assert!(ended.stdout.contains("1 line refused"), "{ended:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn without_room_for_its_ledger_it_sends_no_more_of_what_waits_for_its_turn() {
    let cluster = Cluster::with_orders();
    let line = |number| format!("{{\"body\":\"{number}\",\"sharding_key\":\"k\"}}\n");
    let lines: String = (0..50).map(line).collect();
    let flags = ["--format", "jsonl", "--ordered", "--ledger", "/dev/full"];
    let ended = run_with(&mut cluster.send(&flags), lines.as_bytes());
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("nothing more was sent"), "{ended:?}");
    assert_eq!(bodies(&cluster.inner.messages("orders")), ["0"]);
}
