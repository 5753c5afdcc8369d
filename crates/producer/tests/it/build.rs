//! What a builder refuses, before anything is opened.

use rocketmq_producer_core::{BuildError, Producer, create_producer};

use crate::support::chain;

fn refused(group: &str, name_servers: &str, settings: &[(&str, &str)]) -> String {
    let builder = Producer::builder(group).name_servers(name_servers);
    let error = builder
        .configure(|layers| layers.set_all(settings.iter().copied()))
        .build()
        .expect_err("the settings are wrong");
    assert!(matches!(error, BuildError::Configuration(_)), "{error:?}");
    chain(&error)
}

#[test]
fn a_wrong_setting_is_named_with_its_value_and_what_is_allowed() {
    let good = "127.0.0.1:9876";
    for (group, address, settings, words) in [
        ("", good, &[][..], &["producer_group", "\"\""][..]),
        ("a b", good, &[], &["producer_group", "a b", "allowed"]),
        (
            "DEFAULT_PRODUCER",
            good,
            &[],
            &["producer_group", "DEFAULT_PRODUCER"],
        ),
        ("g", "nonsense", &[], &["namesrv_addr", "nonsense"]),
        ("g", "host:99999", &[], &["namesrv_addr", "99999"]),
        (
            "g",
            good,
            &[("retry_time", "3")],
            &["retry_time", "retry_times"],
        ),
        (
            "g",
            good,
            &[("send_msg_timeout", "0s")],
            &["send_msg_timeout", "0s", "1ms to 1h"],
        ),
        (
            "g",
            good,
            &[("template", "prodution")],
            &["prodution", "production"],
        ),
        (
            "g",
            good,
            &[("transaction_timeout", "1s")],
            &["transaction_timeout", "transaction_check_timeout"],
        ),
    ] {
        let text = refused(group, address, settings);
        for word in words {
            assert!(text.contains(word), "{word:?} is missing in {text:?}");
        }
    }
}

#[test]
fn all_wrong_settings_are_reported_at_once() {
    let text = refused("a b", "nonsense", &[("retry_times", "many")]);
    for key in ["producer_group", "namesrv_addr", "retry_times"] {
        assert!(text.contains(key), "{key} is missing in {text:?}");
    }
}

#[test]
fn a_topic_that_cannot_be_sent_to_cannot_be_preheated() {
    for topic in ["", "a b", "SCHEDULE_TOPIC_XXXX"] {
        let builder = Producer::builder("g").name_servers("127.0.0.1:9876");
        let error = builder.preheat([topic]).build().expect_err("a bad topic");
        assert!(matches!(error, BuildError::Topic { .. }), "{error:?}");
    }
}

#[test]
fn building_needs_no_runtime_and_two_producers_have_different_ids() {
    let one = create_producer("g", "127.0.0.1:9876").unwrap();
    let two = create_producer("g", "127.0.0.1:9876").unwrap();
    assert_ne!(one.client_id(), two.client_id());
    assert_eq!(one.group(), "g");
}

#[test]
fn a_resolved_configuration_is_not_silently_kept_when_it_is_changed_on_the_builder() {
    let config = || {
        let producer = create_producer("g", "127.0.0.1:9876").unwrap();
        producer.config().clone()
    };
    let changed = Producer::from_config(config()).name_servers("10.0.0.1:9876");
    assert!(matches!(changed.build(), Err(BuildError::AlreadyResolved)));
    let kept = Producer::from_config(config()).preheat(["orders"]);
    assert_eq!(kept.build().unwrap().group(), "g");
}

#[test]
fn a_resolved_configuration_is_checked_again() {
    let mut config = create_producer("g", "127.0.0.1:9876")
        .unwrap()
        .config()
        .clone();
    config.retry_times = 1_000_000;
    let error = Producer::from_config(config).build().unwrap_err();
    assert!(chain(&error).contains("retry_times"), "{}", chain(&error));
}
