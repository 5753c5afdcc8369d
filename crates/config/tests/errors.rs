//! The text of every error: key, value, origin, what is allowed, the nearest name.
#![cfg(feature = "file")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::error::Error;

use proptest::prelude::*;
use rocketmq_producer_config::{ConfigProblem, ProducerConfig, ProducerConfigBuilder};

fn builder() -> ProducerConfigBuilder {
    ProducerConfig::builder().producer_group("g")
}

/// The problems of a configuration, one a line.
fn problems(builder: ProducerConfigBuilder) -> String {
    let error = builder.build().expect_err("a problem");
    error
        .problems()
        .iter()
        .map(|problem| format!("{problem}\n"))
        .collect()
}

/// Compares with the file of recorded texts; with `BLESS=1` set it records them instead.
fn assert_recorded(name: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/errors")
        .join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, text).expect("recorded");
    }
    let recorded = std::fs::read_to_string(&path).expect("recorded texts");
    for (line, expected) in text.lines().zip(recorded.lines()) {
        assert_eq!(line, expected);
    }
    assert_eq!(text.lines().count(), recorded.lines().count());
}

#[test]
fn values_that_a_setting_does_not_take() {
    let wrong = [
        ("producer_group", " "),
        ("producer_group", "DEFAULT_PRODUCER"),
        ("producer_group", "order service"),
        ("client_id", ""),
        ("client_id", "a b"),
        ("namesrv_addr", "https://discovery/nsaddr"),
        ("namesrv_addr", "http://user@discovery/nsaddr"),
        ("send_msg_timeout", "3000"),
        ("send_msg_timeout", "0s"),
        ("send_msg_timeout", "2h"),
        ("send_msg_timeout", "soon"),
        ("retry_times", "-1"),
        ("retry_times", "101"),
        ("retry_times", "99999999999"),
        ("retry_times", "two"),
        ("max_message_size", "0"),
        ("max_message_size", "16MiB"),
        ("max_message_size", "big"),
        ("heartbeat_broker_interval", "2m"),
        ("debug_enabled", "maybe"),
        ("routing_strategy", "ranbom"),
        ("routing_strategy", "least_latencies"),
        ("retry_response_codes", "215,10"),
        ("broker_share", "half"),
        ("broker_share", "1.5"),
        ("active_detector", "on"),
        ("header_encoding", "xml"),
        ("socks_proxy", "proxy"),
        ("socks_proxy", "proxy:1080;other:1080"),
        ("address_map", "172.17.0.2:10911"),
        ("address_map", "a=b;a=c"),
    ];
    let lines: String = wrong
        .into_iter()
        .map(|(key, value)| problems(builder().set(key, value)))
        .collect();
    assert_recorded("values.txt", &lines);
}

#[test]
fn problems_in_a_file_name_its_lines() {
    let file = r#"producer_group = "orders"
send_msg_timeout = 3000
retry_times = 1.5
retry_time = 3
sendMsgTimeout = "3s"
trace_message = true
namesrv_addr = ["a:1", "b:2"]
debug_enabled = "perhaps"
client_id = 5
max_message_size = 0x7fffffffffffffff

[producer]
retry_times = 3
"#;
    assert_recorded(
        "file.txt",
        &problems(ProducerConfig::builder().toml("/etc/rocketmq.toml", file)),
    );
}

#[test]
fn a_file_that_is_not_toml_names_the_line() {
    let text = problems(builder().toml("bad.toml", "retry_times = 1\nretry_times = \n"));
    assert!(
        text.starts_with("file bad.toml line 2 is not TOML: "),
        "{text}"
    );
    let text = problems(builder().toml("twice.toml", "retry_times = 1\nretry_times = 2\n"));
    assert!(
        text.starts_with("file twice.toml line 2 is not TOML: "),
        "{text}"
    );
}

#[test]
fn a_file_is_read_and_a_missing_one_is_an_error_with_its_cause() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("producer.toml");
    std::fs::write(
        &path,
        "producer_group = \"from-file\"\nretry_times = 0x10\ncreate_topic = false\n",
    )
    .expect("written");
    let config = ProducerConfig::builder()
        .file(&path)
        .build()
        .expect("valid");
    assert_eq!(
        (
            config.producer_group.as_str(),
            config.retry_times,
            config.create_topic
        ),
        ("from-file", 16, false)
    );

    let error = builder()
        .file("/nowhere/producer.toml")
        .build()
        .expect_err("no such file");
    assert_eq!(
        error.to_string(),
        "cannot read the configuration file /nowhere/producer.toml"
    );
    assert!(
        error
            .source()
            .is_some_and(|cause| cause.is::<std::sync::Arc<std::io::Error>>())
    );
}

#[test]
fn problems_in_the_environment_name_the_variables() {
    let builder = ProducerConfig::builder().environment_from([
        ("ROCKETMQ_PRODUCER_PRODUCER_GRUOP", "g"),
        ("ROCKETMQ_PRODUCER_GROUP", "g"),
        ("ROCKETMQ_PRODUCER_RETRY_TIMES", "three"),
        ("ROCKETMQ_PRODUCER_SEND_MSG_TIMEOUT", "3000"),
        ("ROCKETMQ_PRODUCER_client_id", "x"),
        ("ROCKETMQ_PRODUCER_TLS_ENABLE", "true"),
        ("PYROCKETMQ_HEARTBEAT_BROKER_INTERVAL", "30s"),
        ("PYROCKETMQ_SEND_MSG_TIMEOUT", "30s"),
        ("PYROCKETMQ_POLL_NAME_SERVER_INTERVAL", "5"),
        ("PYROCKETMQ_BATCH_SIZE", "32"),
    ]);
    assert_recorded("environment.txt", &problems(builder));
}

#[test]
#[cfg(unix)]
fn a_variable_that_is_not_unicode_is_refused() {
    use std::ffi::{OsStr, OsString};
    use std::os::unix::ffi::OsStrExt;
    let text = problems(builder().environment_from([
        (
            OsString::from("ROCKETMQ_PRODUCER_CLIENT_ID"),
            OsStr::from_bytes(b"a\xffb").to_owned(),
        ),
        (
            OsStr::from_bytes(b"ROCKETMQ_PRODUCER_\xff").to_owned(),
            OsString::from("none of ours"),
        ),
    ]));
    assert_eq!(
        text,
        "client_id = \"a\u{fffd}b\" (environment variable ROCKETMQ_PRODUCER_CLIENT_ID): not Unicode text; allowed: 1 to \
         255 printable ASCII characters without spaces\n"
    );
}

#[test]
fn a_missing_group_says_how_to_give_it() {
    let error = ProducerConfig::builder().build().expect_err("no group");
    assert_eq!(
        error.to_string(),
        "producer_group must be given (in code, as ROCKETMQ_PRODUCER_PRODUCER_GROUP in the environment, or in a file); \
         allowed: 1 to 120 of a-z A-Z 0-9 % | _ -, and not DEFAULT_PRODUCER"
    );
}

#[test]
fn a_wrong_value_is_reported_even_when_a_stronger_one_hides_it() {
    let text = problems(
        builder()
            .toml("f.toml", "retry_times = \"x\"")
            .set("retry_times", "y")
            .retry_times(1),
    );
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn errors_are_small_and_cross_threads() {
    fn crosses<T: Clone + Send + Sync + 'static>() -> usize {
        size_of::<T>()
    }
    assert!(crosses::<rocketmq_producer_config::ConfigError>() <= 64);
}

proptest! {
    #[test]
    fn no_file_or_variable_makes_it_panic(
        text in ".{0,200}",
        key in "[a-z_]{1,30}",
        value in "\\PC{0,40}",
    ) {
        let _ = builder().toml("any.toml", &text).build();
        let _ = builder().toml("any.toml", &format!("{key} = {value}\n")).build();
        let variable = format!("ROCKETMQ_PRODUCER_{key}");
        let variables = [(variable, value.clone()), ("NAMESRV_ADDR".to_owned(), value)];
        let _ = builder().environment_from(variables).build();
    }

    #[test]
    fn every_known_key_with_any_value_is_taken_or_refused_by_name(
        index in 0..rocketmq_producer_config::settings().len(),
        value in ".{0,40}",
    ) {
        let setting = rocketmq_producer_config::settings()[index];
        let key = setting.key;
        // With what some settings must have beside them.
        let builder = || match key {
            "access_key" => builder().secret_key("s"),
            "secret_key" => builder().access_key("a"),
            "security_token" => builder().access_key("a").secret_key("s"),
            "tls_cert" => builder().tls(true).tls_key("key.pem"),
            "tls_key" => builder().tls(true).tls_cert("cert.pem"),
            "tls_ca" | "tls_server_name" => builder().tls(true),
            "socks_user" => builder().socks_proxy("proxy:1080").socks_password("s"),
            "socks_password" => builder().socks_proxy("proxy:1080").socks_user("u"),
            _ => builder(),
        };
        match builder().set(key, &value).build() {
            Ok(config) => {
                let entry = config.entries().into_iter().find(|entry| entry.key == key).expect("listed");
                // No response codes at all are shown as nothing.
                let Some(shown) = entry.value else { return Ok(()) };
                if setting.secret {
                    prop_assert_eq!(shown, "******");
                    return Ok(());
                }
                let again = builder().set(key, &shown).build().expect("what is shown reads back");
                prop_assert_eq!(again, config);
            }
            Err(error) => prop_assert!(error.to_string().starts_with(key), "{}", error),
        }
    }
}

#[test]
fn settings_that_belong_together_are_missed_by_name() {
    for (given, missing) in [
        (&[("access_key", "hush")][..], &["secret_key"][..]),
        (&[("secret_key", "hush")], &["access_key"]),
        (&[("security_token", "hush")], &["access_key"]),
        (&[("tls", "true"), ("tls_cert", "c")], &["tls_key"]),
        (&[("tls", "true"), ("tls_key", "k")], &["tls_cert"]),
        (&[("tls_ca", "ca")], &["tls"]),
        (&[("tls_server_name", "mq")], &["tls"]),
        (&[("tls", "false"), ("tls_ca", "ca")], &[]),
        (
            &[("socks_proxy", "p:1"), ("socks_user", "u")],
            &["socks_password"],
        ),
        (
            &[("socks_proxy", "p:1"), ("socks_password", "hush")],
            &["socks_user"],
        ),
        (
            &[("socks_user", "u"), ("socks_password", "hush")],
            &["socks_proxy"],
        ),
    ] {
        let outcome = builder().set_all(given.iter().copied()).build();
        let problems = match &outcome {
            Ok(_) => Vec::new(),
            Err(error) => error.problems().to_vec(),
        };
        let found: Vec<_> = problems
            .iter()
            .map(|problem| match problem {
                ConfigProblem::Incomplete { key, .. } => *key,
                other => panic!("{given:?}: {other}"),
            })
            .collect();
        assert_eq!(found, missing, "{given:?}");
        assert!(!format!("{problems:?}").contains("hush"));
    }
}

#[test]
fn a_secret_shows_nowhere_however_wrong_it_is() {
    for wrong in ["", " hush", "hu\nsh"] {
        let layers = builder()
            .access_key("hush-access")
            .secret_key("hush-hush")
            .set("secret_key", wrong);
        assert!(!format!("{layers:?}{layers:#?}").contains("hu"));
        let error = layers.build().expect_err("not a key");
        let text = format!("{error} {error:?}");
        assert!(!text.contains("hu") && text.contains("******"), "{text}");
    }
    let config = builder()
        .access_key("hush-access")
        .secret_key("hush-hush")
        .security_token("hush")
        .build()
        .expect("valid");
    let mut text = format!("{config:?}{config:#?}{:?}", config.connection_options());
    for entry in config.entries() {
        text.push_str(&format!("{entry}{entry:?}"));
    }
    assert!(!text.contains("hush"), "{text}");
}
