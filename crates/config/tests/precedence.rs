//! Which layer wins, and that the listing says so.
#![cfg(feature = "file")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use rocketmq_producer_config::{ConfigSource, ProducerConfig, ProducerConfigBuilder, Template};

const NONE: [(&str, &str); 0] = [];

fn source(config: &ProducerConfig, key: &str) -> String {
    config
        .entries()
        .into_iter()
        .find(|entry| entry.key == key)
        .expect("a setting")
        .source
        .to_string()
}

/// Each layer sets the settings that it alone, or it and the stronger ones, give.
fn layers() -> [fn(ProducerConfigBuilder) -> ProducerConfigBuilder; 4] {
    [
        |builder| builder.template(Template::Production),
        |builder| {
            builder.toml(
                "rocketmq.toml",
                "# comment\nretry_times = 4\nsend_msg_timeout = \"4s\"\n\nasync_send_semaphore = 4\n",
            )
        },
        |builder| {
            builder.environment_from([
                ("ROCKETMQ_PRODUCER_SEND_MSG_TIMEOUT", "5s"),
                ("ROCKETMQ_PRODUCER_ASYNC_SEND_SEMAPHORE", "5"),
                ("PATH", "/bin"),
            ])
        },
        |builder| builder.producer_group("orders").async_send_semaphore(6),
    ]
}

#[test]
fn stronger_layers_win_in_whatever_order_they_are_given() {
    let mut forwards = ProducerConfig::builder();
    let mut backwards = ProducerConfig::builder();
    for layer in layers() {
        forwards = layer(forwards);
    }
    for layer in layers().into_iter().rev() {
        backwards = layer(backwards);
    }
    let config = forwards.build().expect("valid");
    assert_eq!(config, backwards.build().expect("valid"));
    assert_eq!(config.retry_times, 4, "a file beats the template");
    assert_eq!(
        config.send_msg_timeout,
        Duration::from_secs(5),
        "the environment beats a file"
    );
    assert_eq!(config.async_send_semaphore, 6, "code beats the environment");
    assert!(
        config.retry_another_broker_when_not_store_ok,
        "the template beats the default"
    );

    assert_eq!(source(&config, "retry_times"), "file rocketmq.toml line 2");
    assert_eq!(
        source(&config, "send_msg_timeout"),
        "environment variable ROCKETMQ_PRODUCER_SEND_MSG_TIMEOUT"
    );
    assert_eq!(source(&config, "async_send_semaphore"), "code");
    assert_eq!(
        source(&config, "retry_another_broker_when_not_store_ok"),
        "template production"
    );
    assert_eq!(source(&config, "connect_timeout"), "default");
}

#[test]
fn within_a_layer_the_later_call_wins() {
    let config = ProducerConfig::builder()
        .producer_group("g")
        .set("retry_times", "3")
        .retry_times(4)
        .set_by_flag("--retries", "retry_times", "5")
        .build()
        .expect("valid");
    assert_eq!(config.retry_times, 5);
    assert_eq!(source(&config, "retry_times"), "flag --retries");
}

#[test]
fn the_template_can_be_chosen_in_every_layer() {
    let file = || {
        ProducerConfig::builder()
            .producer_group("g")
            .toml("f.toml", "template = \"development\"\n")
    };
    let environment = || file().environment_from([("ROCKETMQ_PRODUCER_TEMPLATE", "PROD")]);
    assert_eq!(
        file().build().expect("valid").template,
        Template::Development
    );
    let config = environment().build().expect("valid");
    assert_eq!(
        (config.template, config.retry_times),
        (Template::Production, 3)
    );
    assert_eq!(
        source(&config, "template"),
        "environment variable ROCKETMQ_PRODUCER_TEMPLATE"
    );
    assert_eq!(
        environment()
            .template(Template::Default)
            .build()
            .expect("valid")
            .template,
        Template::Default
    );
}

#[test]
fn namesrv_addr_is_read_below_the_specific_variables() {
    let addresses = |variables: &[(&str, &str)]| {
        let config = ProducerConfig::builder()
            .producer_group("g")
            .environment_from(variables.iter().copied())
            .build()
            .expect("valid");
        (
            config.namesrv_addr.to_string(),
            source(&config, "namesrv_addr"),
        )
    };
    let (shared, old, new) = (
        ("NAMESRV_ADDR", "shared:1"),
        ("PYROCKETMQ_NAMESRV_ADDR", "old:1"),
        ("ROCKETMQ_PRODUCER_NAMESRV_ADDR", "new:1"),
    );
    let from = |variable: &str| format!("environment variable {variable}");
    assert_eq!(
        addresses(&[shared]),
        ("shared:1".to_owned(), from(shared.0))
    );
    assert_eq!(addresses(&[shared, old]), ("old:1".to_owned(), from(old.0)));
    assert_eq!(
        addresses(&[shared, old, new]),
        ("new:1".to_owned(), from(new.0))
    );
    assert_eq!(
        addresses(&[("NAMESRV_ADDR", " ")]),
        ("localhost:9876".to_owned(), "default".to_owned())
    );
}

#[test]
fn a_namesrv_addr_that_is_not_for_us_does_no_harm_when_it_is_overridden() {
    let shared = [("NAMESRV_ADDR", "https://discovery/nsaddr")];
    let builder = ProducerConfig::builder()
        .producer_group("g")
        .environment_from(shared);
    let error = builder.clone().build().expect_err("not over TLS");
    assert_eq!(
        error.to_string(),
        "namesrv_addr = \"https://discovery/nsaddr\" (environment variable NAMESRV_ADDR): pages that tell name \
         servers are asked over http:// only; allowed: host:port, several separated by ;, or http://host:port/path"
    );
    assert!(builder.name_servers("a:1").build().is_ok());
}

#[test]
fn old_variables_are_read_with_times_in_milliseconds() {
    let config = ProducerConfig::builder()
        .environment_from([
            ("PYROCKETMQ_PRODUCER_GROUP", "moved"),
            ("PYROCKETMQ_CLIENT_ID", "10.0.0.1#77"),
            ("PYROCKETMQ_NAMESRV_ADDR", "a:1;b:2"),
            ("PYROCKETMQ_SEND_MSG_TIMEOUT", "2500"),
            ("PYROCKETMQ_RETRY_TIMES", "4"),
            ("PYROCKETMQ_RETRY_ANOTHER_BROKER_WHEN_NOT_STORE_OK", "True"),
            ("PYROCKETMQ_MAX_MESSAGE_SIZE", "1048576"),
            ("PYROCKETMQ_DEFAULT_TOPIC_QUEUE_NUMS", "8"),
            ("PYROCKETMQ_POLL_NAME_SERVER_INTERVAL", "10000"),
            ("PYROCKETMQ_UPDATE_TOPIC_ROUTE_INFO_INTERVAL", "20000"),
            ("PYROCKETMQ_HEARTBEAT_BROKER_INTERVAL", "15000"),
            ("PYROCKETMQ_ASYNC_SEND_SEMAPHORE", "99"),
            ("PYROCKETMQ_SEND_LATENCY_ENABLE", "false"),
            ("PYROCKETMQ_DEBUG_ENABLED", "true"),
            ("PYROCKETMQ_ROUTING_STRATEGY", "message_hash"),
            ("PYROCKETMQ_CONSUMER_GROUP", "not ours"),
        ])
        .build()
        .expect("valid");
    let values: Vec<String> = config
        .entries()
        .into_iter()
        .filter(|entry| matches!(&entry.source, ConfigSource::Environment(variable) if variable.starts_with("PYROCKETMQ_")))
        .map(|entry| format!("{} = {}", entry.key, entry.value.unwrap_or_default()))
        .collect();
    assert_eq!(
        values,
        [
            "producer_group = moved",
            "client_id = 10.0.0.1#77",
            "namesrv_addr = a:1;b:2",
            "send_msg_timeout = 2s500ms",
            "retry_times = 4",
            "retry_another_broker_when_not_store_ok = true",
            "max_message_size = 1 MiB",
            "default_topic_queue_nums = 8",
            "poll_name_server_interval = 10s",
            "update_topic_route_info_interval = 20s",
            "heartbeat_broker_interval = 15s",
            "async_send_semaphore = 99",
            "send_latency_enable = false",
            "debug_enabled = true",
            "routing_strategy = message_hash",
        ]
    );
}

#[test]
fn a_new_variable_wins_over_its_old_name() {
    let config = ProducerConfig::builder()
        .producer_group("g")
        .environment_from([
            ("PYROCKETMQ_RETRY_TIMES", "not even a number"),
            ("ROCKETMQ_PRODUCER_RETRY_TIMES", "9"),
        ])
        .build()
        .expect("the old one does not count");
    assert_eq!(config.retry_times, 9);
}

#[test]
fn an_old_variable_leaves_a_warning() {
    use std::io;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("one thread").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let _ = ProducerConfig::builder().environment_from([
            ("PYROCKETMQ_RETRY_TIMES", "1"),
            ("PYROCKETMQ_DEBUG_ENABLED", "1"),
            ("ROCKETMQ_PRODUCER_DEBUG_ENABLED", "1"),
        ]);
    });
    let log = String::from_utf8(log.0.lock().expect("one thread").clone()).expect("text");
    let lines: Vec<&str> = log.lines().map(str::trim_start).collect();
    assert_eq!(
        lines,
        [
            "WARN rocketmq_producer_config::environment: an old environment variable is ignored, the new one is set too \
             variable=\"PYROCKETMQ_DEBUG_ENABLED\" winner=\"ROCKETMQ_PRODUCER_DEBUG_ENABLED\"",
            "WARN rocketmq_producer_config::environment: an old environment variable is read, use the new name \
             variable=\"PYROCKETMQ_RETRY_TIMES\" instead=\"ROCKETMQ_PRODUCER_RETRY_TIMES\"",
        ]
    );
}

#[test]
fn every_setting_is_listed_once_and_reads_back_equal() {
    let config = ProducerConfig::builder()
        .template(Template::HighPerformance)
        .producer_group("g")
        .client_id("host#1")
        .namesrv_addr("a:1;b:2")
        .send_msg_timeout(Duration::from_micros(1_234_567))
        .build()
        .expect("valid");
    let entries = config.entries();
    let keys: Vec<_> = entries.iter().map(|entry| entry.key).collect();
    let settings: Vec<_> = rocketmq_producer_config::settings()
        .iter()
        .map(|setting| setting.key)
        .collect();
    assert_eq!(keys, settings);

    // The listing is a valid file with the same meaning.
    let file: String = entries.iter().map(|entry| format!("{entry}\n")).collect();
    let again = ProducerConfig::builder()
        .toml("listing.toml", &file)
        .build()
        .expect("valid");
    let values = |config: &ProducerConfig| {
        config
            .entries()
            .into_iter()
            .map(|entry| entry.value)
            .collect::<Vec<_>>()
    };
    assert_eq!(values(&again), values(&config));
}

#[test]
fn a_field_changed_by_hand_shows_as_code_and_is_checked_again() {
    let mut config = ProducerConfig::builder()
        .producer_group("g")
        .environment_from(NONE)
        .build()
        .expect("valid");
    assert!(config.validate().is_ok());
    config.retry_times = 50;
    assert_eq!(source(&config, "retry_times"), "code");
    assert!(config.validate().is_ok());
    config.retry_times = 101;
    config.send_msg_timeout = Duration::ZERO;
    let error = config.validate().expect_err("out of bounds");
    assert_eq!(
        error.to_string(),
        "2 problems in the configuration: send_msg_timeout = \"0s\" (code): less than the least that is allowed; \
         allowed: 1ms to 1h; retry_times = \"101\" (code): more than the most that is allowed; allowed: 0 to 100"
    );
}
