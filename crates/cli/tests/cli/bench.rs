//! `bench`: the line of figures, the table, the picture.

use serde_json::Value;

use crate::harness::{Cluster, command, run};

#[test]
fn json_is_one_line_with_exactly_the_fields_of_the_format() {
    let cluster = Cluster::with_orders();
    for (mode, rate) in [
        ("sync", None),
        ("async", None),
        ("oneway", None),
        ("sync", Some("5000")),
        ("async", Some("5000")),
    ] {
        let before = cluster.inner.message_count("orders");
        let address = cluster.address();
        let mut command = command(&[
            "bench",
            "--json",
            "--namesrv",
            &address,
            "--topic",
            "orders",
            "--mode",
            mode,
            "--body",
            "100",
            "--count",
            "300",
            "--concurrency",
            "7",
            "--warmup",
            "50",
            "--header",
            "json",
        ]);
        if let Some(rate) = rate {
            command.args(["--rate", rate]);
        }
        let ended = run(&mut command);
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert_eq!(ended.stdout.lines().count(), 1, "{ended:?}");
        let keys = "peer mode body count concurrency batch acked failed secs msgs_per_s cpu_s cpu_us_per_msg \
                    p50_us p99_us p999_us max_us rss_mib first_ack_ms";
        let positions: Vec<_> = keys
            .split_whitespace()
            .map(|key| ended.stdout.find(&format!("\"{key}\":")))
            .collect();
        assert!(
            positions.iter().all(Option::is_some) && positions.is_sorted(),
            "{ended:?}"
        );
        let line: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(line.as_object().unwrap().len(), positions.len());
        assert_eq!(line["peer"], "rocketmq-producer");
        assert_eq!(line["mode"], mode);
        for (key, expected) in [
            ("body", 100),
            ("count", 300),
            ("concurrency", 7),
            ("acked", 300),
            ("failed", 0),
        ] {
            assert_eq!(line[key], expected, "{mode} {key}");
        }
        let figure = |key: &str| line[key].as_f64().unwrap();
        assert!(figure("secs") > 0.0 && figure("msgs_per_s") > 0.0);
        assert!(figure("p50_us") <= figure("p99_us") && figure("p999_us") <= figure("max_us"));
        // The first message, whose time is the start, and the warm-up were sent too, and not counted.
        let stored = cluster.wait_for("orders", before + 351);
        assert_eq!(stored.len(), before + 351);
        assert!(stored.iter().all(|message| message.body.len() == 100));
    }
}

#[test]
fn the_picture_is_an_svg() {
    let cluster = Cluster::with_orders();
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("latency.svg");
    let address = cluster.address();
    let mut command = command(&["bench", "--namesrv", &address, "--count", "100", "--plot"]);
    let ended = run(command.arg(&picture));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(
        ended.stdout.contains("messages    100 acked, 0 failed"),
        "{ended:?}"
    );
    assert!(
        std::fs::read_to_string(picture)
            .unwrap()
            .starts_with("<svg")
    );
}

#[test]
fn a_bench_that_reaches_nobody_fails_with_the_reason() {
    let cluster = Cluster::start(|builder| builder.auto_create_topics(false));
    let address = cluster.address();
    for warmup in ["0", "10"] {
        let ended = run(&mut command(&[
            "bench",
            "--json",
            "--namesrv",
            &address,
            "--count",
            "10",
            "--warmup",
            warmup,
        ]));
        assert_eq!(ended.status, Some(1), "{ended:?}");
        let reasons = ended.stderr.matches("because: no such topic").count();
        assert_eq!(reasons, 1, "the reason is given once: {ended:?}");
    }
}
