//! `serve`: a cluster that other processes can send to.

use std::io::{BufRead as _, BufReader};

use crate::harness::{Process, command, run, run_with};

/// A cluster in a process of its own, and the address that it printed.
fn serve(flags: &[&str]) -> (Process, String, usize) {
    let mut process = Process::start(command(&["serve"]).args(flags));
    let mut brokers = 0;
    let stdout = process.0.stdout.take().unwrap();
    for line in BufReader::new(stdout).lines() {
        let line = line.unwrap();
        match line.split_once(' ') {
            Some(("broker", _)) => brokers += 1,
            Some(("namesrv", address)) => return (process, address.to_owned(), brokers),
            _ => panic!("{line}"),
        }
    }
    panic!("no address: {:?}", process.status());
}

#[test]
fn another_process_can_send_once_the_address_is_printed() {
    let (process, address, brokers) = serve(&["--brokers", "2", "--topic", "orders:3"]);
    assert_eq!(brokers, 2);
    let route = run(&mut command(&["route", "orders", "--namesrv", &address]));
    assert!(
        route.stdout.contains("orders: 6 usable queues"),
        "{route:?}"
    );
    for topic in ["orders", "made-on-demand"] {
        let arguments = ["send", "--topic", topic, "--namesrv", &address];
        let ended = run_with(&mut command(&arguments), b"one\ntwo\n");
        assert_eq!(ended.status, Some(0), "{ended:?}");
    }
    drop(process);
}

#[test]
fn topics_are_not_made_on_demand_if_that_is_off() {
    let (_process, address, _) = serve(&["--auto-create", "off"]);
    let arguments = ["send", "--topic", "new", "--namesrv", &address];
    let ended = run_with(&mut command(&arguments), b"one\n");
    assert_eq!(ended.status, Some(1), "{ended:?}");
}

#[test]
fn with_a_certificate_only_clients_with_tls_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let file = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let cert = file("cert.pem", signed.cert.pem());
    let key = file("key.pem", signed.signing_key.serialize_pem());
    let (_process, address, _) = serve(&["--tls-cert", &cert, "--tls-key", &key]);
    let send = |settings: &[(&str, &str)]| {
        let arguments = ["send", "--topic", "t", "--namesrv", &address];
        let mut command = command(&arguments);
        run_with(command.envs(settings.iter().copied()), b"one\n").status
    };
    let tls = [
        ("ROCKETMQ_PRODUCER_TLS", "true"),
        ("ROCKETMQ_PRODUCER_TLS_CA", &cert),
    ];
    assert_eq!(send(&tls), Some(0));
    assert_eq!(send(&[]), Some(1));
}

#[cfg(unix)]
#[test]
fn it_ends_well_when_told_to() {
    for signal in ["INT", "TERM"] {
        let (mut process, _, _) = serve(&["--null"]);
        process.signal(signal);
        assert_eq!(process.status(), Some(0), "{signal}");
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let ended = run(&mut command(&["serve", "--port", &port]));
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.stderr.contains(&port), "{ended:?}");
}
