//! `doctor`: each broken set-up is told by its own cause, exit status and advice.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use rocketmq_producer::remoting::protocol::Permission;
use rocketmq_producer::remoting::{Credentials, RequestCode, ResponseCode};
use rocketmq_producer_embedded::{Condition, Fault, Reaction, Registration};
use serde_json::Value;

use crate::harness::{Cluster, command, run};

/// A report, as JSON.
struct Diagnosis {
    status: Option<i32>,
    report: Value,
}

impl Diagnosis {
    /// The diagnosis of topic `orders` at these name servers.
    fn at(address: &str, flags: &[&str]) -> Self {
        let common = [
            "doctor",
            "--topic",
            "orders",
            "--json",
            "--namesrv",
            address,
        ];
        let ended = run(&mut command(&[&common[..], flags].concat()));
        let report = serde_json::from_str(&ended.stdout);
        let report = report.unwrap_or_else(|error| panic!("{error}: {ended:?}"));
        Self {
            status: ended.status,
            report,
        }
    }

    fn of(cluster: &Cluster, flags: &[&str]) -> Self {
        Self::at(&cluster.address(), flags)
    }

    /// The results of a step, in the order in which they came.
    fn results(&self, step: &str) -> Vec<&str> {
        let steps = self.report["steps"].as_array().unwrap();
        let of_step = steps.iter().filter(|finding| finding["step"] == step);
        of_step
            .map(|finding| finding["result"].as_str().unwrap())
            .collect()
    }

    #[track_caller]
    fn is(&self, status: i32, cause: &str) -> &Self {
        assert_eq!(self.report["cause"], cause, "{:#}", self.report);
        assert_eq!(self.status, Some(status), "{:#}", self.report);
        let steps = self.report["steps"].as_array().unwrap();
        let fault = steps.iter().find(|finding| finding["cause"] == cause);
        let advice = fault.unwrap()["advice"].as_str().unwrap();
        assert!(!advice.is_empty());
        self
    }
}

fn unused_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A service that says `words` to whoever sends something.
fn service(words: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(words);
        }
    });
    address
}

#[test]
fn nothing_is_wrong_with_a_sound_cluster_and_nothing_is_stored() {
    let cluster = Cluster::with_orders();
    let well = Diagnosis::of(&cluster, &[]);
    assert_eq!(well.status, Some(0), "{:#}", well.report);
    for (step, count) in [
        ("name resolution", 1),
        ("TCP", 1),
        ("protocol", 1),
        ("credentials", 1),
        ("route", 1),
        ("permissions", 1),
        ("broker reachability", 2),
        ("send", 2),
        ("queue balance", 1),
        ("clock", 2),
        ("version", 1),
    ] {
        assert_eq!(well.results(step), vec!["ok"; count], "{step}");
    }
    assert_eq!(well.results("TLS"), ["skipped"]);
    assert_eq!(cluster.inner.message_count("orders"), 0);
}

#[test]
fn a_test_message_is_sent_to_each_broker_if_that_is_wanted() {
    let cluster = Cluster::with_orders();
    let well = Diagnosis::of(&cluster, &["--send"]);
    assert_eq!(well.status, Some(0), "{:#}", well.report);
    let stored = cluster.inner.messages("orders");
    assert_eq!(stored.len(), 2);
    for message in stored {
        assert_eq!(message.tags(), Some("rocketmq-producer-doctor"));
    }
}

#[test]
fn the_report_for_people_has_a_sign_a_reason_and_what_to_do() {
    let cluster = Cluster::start(|builder| builder.auto_create_topics(false));
    let address = cluster.address();
    let ended = run(&mut command(&[
        "doctor",
        "--topic",
        "orders",
        "--namesrv",
        &address,
    ]));
    assert_eq!(ended.status, Some(8), "{ended:?}");
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert!(lines[0].starts_with("✓ name resolution"), "{ended:?}");
    let fault = lines.iter().position(|line| line.starts_with("✗ route"));
    let advice = lines[fault.unwrap() + 1];
    assert!(advice.contains("→ create it"), "{ended:?}");
    assert!(ended.stdout.contains("\n– permissions"), "{ended:?}");
    assert!(
        ended
            .stdout
            .contains("first to correct: topic orders does not exist")
    );
    assert!(ended.stderr.is_empty(), "{ended:?}");
}

#[test]
fn a_name_that_does_not_resolve() {
    Diagnosis::at("no-such-host.invalid:9876", &[]).is(3, "name_unresolved");
}

#[test]
fn a_port_where_nothing_listens() {
    let address = format!("127.0.0.1:{}", unused_port());
    let diagnosis = Diagnosis::at(&address, &[]);
    diagnosis.is(4, "name_server_unreachable");
    assert_eq!(diagnosis.results("route"), ["skipped"]);
}

#[test]
fn a_service_that_is_no_name_server() {
    let web = service(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    Diagnosis::at(&web, &[]).is(6, "not_a_name_server");
    // The usual mistake: the port of a broker.
    let cluster = Cluster::with_orders();
    let broker = cluster.inner.brokers()[0].address.to_string();
    Diagnosis::at(&broker, &[]).is(6, "not_a_name_server");
}

#[test]
fn a_name_server_without_tls_when_tls_is_on() {
    let cluster = Cluster::with_orders();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tls.toml");
    std::fs::write(&file, "tls = true\n").unwrap();
    let flags = ["--config", file.to_str().unwrap()];
    Diagnosis::of(&cluster, &flags).is(5, "tls_not_spoken");
}

#[test]
fn wrong_and_missing_credentials() {
    let account = Credentials::new("right", "secret-right").unwrap();
    let cluster = Cluster::start(|builder| builder.topic("orders", 1).account(account));
    let missing = Diagnosis::of(&cluster, &[]);
    missing.is(7, "credentials_refused");
    assert_eq!(missing.results("send"), ["skipped"]);
    let dir = tempfile::tempdir().unwrap();
    let with = |secret: &str| {
        let file = dir.path().join("acl.toml");
        let text = format!("access_key = \"right\"\nsecret_key = \"{secret}\"\n");
        std::fs::write(&file, text).unwrap();
        let ended = Diagnosis::of(&cluster, &["--config", file.to_str().unwrap()]);
        assert!(
            !ended.report.to_string().contains(secret),
            "a secret is printed"
        );
        ended
    };
    with("secret-wrong").is(7, "credentials_refused");
    let well = with("secret-right");
    assert_eq!(well.status, Some(0), "{:#}", well.report);
}

#[test]
fn no_right_to_publish_to_the_topic() {
    let account = Credentials::new("right", "secret-right").unwrap();
    let cluster =
        Cluster::start(|builder| builder.topic("orders", 1).account_for(account, ["another"]));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("acl.toml");
    let text = "access_key = \"right\"\nsecret_key = \"secret-right\"\n";
    std::fs::write(&file, text).unwrap();
    let denied = Diagnosis::of(&cluster, &["--config", file.to_str().unwrap()]);
    denied.is(11, "no_right_to_publish");
    assert_eq!(denied.results("credentials"), ["ok"]);
}

// "No route info of this topic": one phrase of the Java client for the causes below, and for a name server that is not
// reached (above).

#[test]
fn no_route_since_the_topic_does_not_exist() {
    let cluster = Cluster::start(|builder| builder.topic("oders", 1).auto_create_topics(false));
    let diagnosis = Diagnosis::of(&cluster, &[]);
    diagnosis.is(8, "topic_missing");
    let text = diagnosis.report.to_string();
    assert!(text.contains("is oders meant?"), "{text}");
}

#[test]
fn no_route_since_the_topic_is_yet_to_be_created() {
    let cluster = Cluster::start(|builder| builder.auto_create_topics(true).topic("oders", 1));
    let diagnosis = Diagnosis::of(&cluster, &[]);
    diagnosis.is(8, "topic_not_created_yet");
    let text = diagnosis.report.to_string();
    assert!(text.contains("is oders meant?"), "{text}");
    assert!(text.contains("create_topic is on"), "{text}");
    assert_eq!(cluster.inner.message_count("orders"), 0);
}

#[test]
fn no_route_since_the_name_server_has_just_been_started() {
    let cluster = Cluster::with_orders();
    cluster.wait(async {
        cluster.inner.stop_name_server(0).await.unwrap();
        let later = Registration::Withheld;
        cluster.inner.start_name_server(0, later).await.unwrap();
    });
    Diagnosis::of(&cluster, &[]).is(8, "no_broker_registered");
    cluster.inner.register_brokers();
    assert_eq!(Diagnosis::of(&cluster, &[]).status, Some(0));
}

#[test]
fn a_route_that_one_name_server_does_not_have() {
    let cluster = Cluster::start(|builder| builder.name_servers(2).topic("orders", 1));
    cluster.wait(async {
        cluster.inner.stop_name_server(1).await.unwrap();
        let later = Registration::Withheld;
        cluster.inner.start_name_server(1, later).await.unwrap();
    });
    Diagnosis::of(&cluster, &[]).is(8, "name_servers_disagree");
}

#[test]
fn no_queue_may_be_written_to() {
    let cluster = Cluster::with_orders();
    cluster.inner.create_topic("orders", 4, Permission::READ);
    let diagnosis = Diagnosis::of(&cluster, &[]);
    diagnosis.is(9, "not_writable");
    assert_eq!(diagnosis.results("send"), ["skipped"]);
}

#[test]
fn a_broker_without_master() {
    let cluster = Cluster::start(|builder| builder.slaves(1).topic("orders", 1));
    cluster.wait(async { cluster.inner.stop_broker("broker-a").await.unwrap() });
    Diagnosis::of(&cluster, &[]).is(10, "no_master");
}

#[test]
fn a_broker_that_does_not_listen_where_it_says() {
    let cluster = Cluster::with_orders();
    cluster.wait(async {
        cluster
            .inner
            .stop_broker_unnoticed("broker-b")
            .await
            .unwrap()
    });
    let diagnosis = Diagnosis::of(&cluster, &[]);
    diagnosis.is(10, "broker_unreachable");
    let broker = cluster.inner.brokers()[1].address.to_string();
    assert!(diagnosis.report.to_string().contains(&broker));
    assert_eq!(diagnosis.results("broker reachability"), ["ok", "wrong"]);
    assert_eq!(diagnosis.results("send"), ["ok"]);
}

#[test]
fn a_name_server_or_a_broker_that_is_not_ready_at_a_brokers_address() {
    for (code, words, cause) in [
        // As a name server answers a heartbeat.
        (
            ResponseCode::REQUEST_CODE_NOT_SUPPORTED,
            " request type 34 not supported",
            "not_a_broker",
        ),
        (
            ResponseCode::SERVICE_NOT_AVAILABLE,
            "not ready",
            "broker_refuses",
        ),
    ] {
        let cluster = Cluster::with_orders();
        for broker in ["broker-a", "broker-b"] {
            let faults = cluster.inner.faults(broker).unwrap();
            faults.arm(Fault::new(Condition::any(), Reaction::answer(code, words)));
        }
        let diagnosis = Diagnosis::of(&cluster, &[]);
        diagnosis.is(10, cause);
        assert_eq!(diagnosis.results("send"), ["skipped"]);
    }
}

#[test]
fn a_broker_that_takes_no_message_now() {
    let cluster = Cluster::with_orders();
    let faults = cluster.inner.faults("broker-a").unwrap();
    let full = Reaction::answer(
        ResponseCode::SERVICE_NOT_AVAILABLE,
        "service not available now",
    );
    faults.arm(Fault::new(Condition::sends(), full));
    let diagnosis = Diagnosis::of(&cluster, &[]);
    diagnosis.is(11, "send_failed");
    assert_eq!(diagnosis.results("send"), ["wrong", "ok"]);
}

#[test]
fn a_broker_that_lost_the_topic_which_the_name_server_still_knows() {
    let cluster = Cluster::with_orders();
    let faults = cluster.inner.faults("broker-a").unwrap();
    let gone = Reaction::answer(ResponseCode::TOPIC_NOT_EXIST, "topic[orders] not exist");
    faults.arm(Fault::new(Condition::sends(), gone));
    Diagnosis::of(&cluster, &[]).is(11, "topic_missing_on_broker");
}

#[test]
fn brokers_with_different_numbers_of_queues() {
    let cluster = Cluster::start(|builder| builder.brokers(2).auto_create_topics(false));
    let readable = Permission(6);
    let inner = &cluster.inner;
    inner
        .create_topic_on("broker-a", "orders", 4, readable)
        .unwrap();
    Diagnosis::of(&cluster, &[]).is(12, "uneven_queues");
    inner
        .create_topic_on("broker-b", "orders", 4, readable)
        .unwrap();
    assert_eq!(Diagnosis::of(&cluster, &[]).status, Some(0));
}

#[test]
fn a_broker_whose_clock_differs() {
    for offset in [-3_600_000, 3_600_000] {
        let cluster = Cluster::start(|builder| builder.topic("orders", 1).clock_offset(offset));
        Diagnosis::of(&cluster, &[]).is(13, "clock_differs");
    }
}

#[test]
fn a_broker_that_does_not_tell_its_clock_is_no_fault() {
    let cluster = Cluster::with_orders();
    for broker in ["broker-a", "broker-b"] {
        let faults = cluster.inner.faults(broker).unwrap();
        let info = Condition::code(RequestCode::GET_BROKER_RUNTIME_INFO);
        let refuse = Reaction::answer(ResponseCode::NO_PERMISSION, "for operators only");
        faults.arm(Fault::new(info, refuse));
    }
    let well = Diagnosis::of(&cluster, &[]);
    assert_eq!(well.status, Some(0), "{:#}", well.report);
    assert_eq!(well.results("clock"), ["skipped", "skipped"]);
}

#[test]
fn a_topic_that_no_message_can_have_is_bad_usage() {
    let ended = run(&mut command(&["doctor", "--topic", "a b"]));
    assert_eq!(ended.status, Some(2), "{ended:?}");
}

#[test]
fn a_proxy_that_tells_routes_but_no_brokers_is_no_fault() {
    let cluster = Cluster::with_orders();
    let faults = cluster.inner.name_server_faults(0).unwrap();
    let brokers = Condition::code(RequestCode::GET_BROKER_CLUSTER_INFO);
    let refuse = Reaction::answer(ResponseCode::REQUEST_CODE_NOT_SUPPORTED, "not supported");
    faults.arm(Fault::new(brokers, refuse));
    let well = Diagnosis::of(&cluster, &[]);
    assert_eq!(well.status, Some(0), "{:#}", well.report);
    assert_eq!(well.results("protocol"), ["ok"]);

    let route = Condition::code(RequestCode::GET_ROUTEINFO_BY_TOPIC);
    let missing = Reaction::answer(ResponseCode::TOPIC_NOT_EXIST, "No topic route info");
    faults.arm(Fault::new(route, missing));
    Diagnosis::of(&cluster, &[]).is(8, "topic_missing");
}
