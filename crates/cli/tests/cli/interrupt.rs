//! `send` when it is told to stop, or killed.
#![cfg(unix)]

use std::io::{BufRead as _, BufReader, Read as _};

use rocketmq_producer_embedded::{Condition, Fault, Reaction};

use crate::harness::{Cluster, Process, ledger};

#[test]
fn an_interrupted_command_finishes_what_is_under_way() {
    let cluster = Cluster::with_orders();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let mut command = cluster.send(&["--ledger", path.to_str().unwrap()]);
    let mut process = Process::start(&mut command);
    // Its input stays open: only the signal ends it.
    process.write("one\ntwo\nthree\n");
    cluster.wait_for("orders", 3);
    process.signal("INT");
    assert_eq!(process.status(), Some(0));
    let mut summary = String::new();
    let stdout = process.0.stdout.as_mut().unwrap();
    stdout.read_to_string(&mut summary).unwrap();
    assert!(summary.starts_with("3 acked, "), "{summary}");
    let lines = ledger(&path);
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line["outcome"] == "acked"));
}

#[test]
fn what_was_read_but_not_sent_is_in_the_ledger_and_in_the_status() {
    let cluster = Cluster::start(|builder| builder.topic("orders", 1));
    let faults = cluster.inner.faults("broker-a").unwrap();
    let stall = faults.arm(Fault::new(Condition::sends(), Reaction::Stall));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let flags = [
        "--ledger",
        path.to_str().unwrap(),
        "--concurrency",
        "1",
        "--timeout",
        "1m",
    ];
    let mut process = Process::start(&mut cluster.send(&flags));
    let lines: String = (0..100).map(|n| format!("{n}\n")).collect();
    process.write(&lines);
    cluster.wait(stall.wait_fired(1));
    process.signal("TERM");
    wait_for_complaint(&mut process);
    // Only now does the broker answer what is under way.
    stall.lift();
    assert_eq!(process.status(), Some(1));
    let lines = ledger(&path);
    let count = |outcome: &str| {
        lines
            .iter()
            .filter(|line| line["outcome"] == outcome)
            .count()
    };
    assert_eq!(count("acked"), 1);
    assert!(count("not_sent") > 0);
    assert_eq!(count("acked") + count("not_sent"), lines.len());
    assert_eq!(cluster.inner.message_count("orders"), 1);
}

#[test]
fn a_second_interrupt_gives_up_what_is_under_way() {
    let cluster = Cluster::start(|builder| builder.topic("orders", 1));
    let faults = cluster.inner.faults("broker-a").unwrap();
    let stall = faults.arm(Fault::new(Condition::sends(), Reaction::Stall));
    let mut process = Process::start(&mut cluster.send(&["--timeout", "1h"]));
    process.write("one\n");
    cluster.wait(stall.wait_fired(1));
    process.signal("INT");
    wait_for_complaint(&mut process);
    process.signal("INT");
    assert_eq!(process.status(), Some(1));
    let mut summary = String::new();
    let stdout = process.0.stdout.as_mut().unwrap();
    stdout.read_to_string(&mut summary).unwrap();
    assert!(summary.contains("1 abandoned"), "{summary}");
}

#[test]
fn a_killed_process_leaves_a_true_ledger() {
    let cluster = Cluster::with_orders();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let flags = ["--ledger", path.to_str().unwrap(), "--concurrency", "1"];
    let mut process = Process::start(&mut cluster.send(&flags));
    let lines: String = (0..100).map(|n| format!("{n}\n")).collect();
    process.write(&lines);
    let stored_before = cluster.wait_for("orders", 50).len();
    process.signal("KILL");
    assert_eq!(process.status(), None);
    // One at a time: whatever was stored before the last one is in the ledger.
    let lines = ledger(&path);
    assert!(
        lines.len() >= stored_before - 1,
        "{} {stored_before}",
        lines.len()
    );
    let stored = cluster.inner.messages("orders");
    for line in lines {
        assert_eq!(line["outcome"], "acked");
        let found = stored.iter().any(|message| {
            line["msgId"] == message.message_id() && line["offset"] == message.queue_offset
        });
        assert!(found, "{line}");
    }
}

/// Once the command says that it was interrupted, it has taken the signal in.
fn wait_for_complaint(process: &mut Process) {
    let mut line = String::new();
    let stderr = process.0.stderr.as_mut().unwrap();
    BufReader::with_capacity(1, stderr)
        .read_line(&mut line)
        .unwrap();
    assert!(line.starts_with("interrupted"), "{line}");
}
