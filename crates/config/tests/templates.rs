//! Every template's values are those of the documented table.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use rocketmq_producer_config::{
    ByteSize, CompressionType, ConfigSource, DeliveryGuarantee, HeaderEncoding, Ordered,
    OrderedOnUnknown, ProducerConfig, RetryResponseCodes, RoutingStrategy, Template,
    create_custom_config, get_config,
};

fn config(template: Template) -> ProducerConfig {
    ProducerConfig::builder()
        .template(template)
        .producer_group("g")
        .build()
        .expect("a valid template")
}

/// The values in which templates differ: timeout, retries, other broker, latency-aware, debug, max message, in flight,
/// strategy.
type Row = (u64, u32, bool, bool, bool, u64, u32, RoutingStrategy);

fn row(config: &ProducerConfig) -> Row {
    (
        config.send_msg_timeout.as_secs(),
        config.retry_times,
        config.retry_another_broker_when_not_store_ok,
        config.send_latency_enable,
        config.debug_enabled,
        config.max_message_size.as_u64() >> 20,
        config.async_send_semaphore,
        config.routing_strategy,
    )
}

#[test]
fn templates_have_the_values_of_their_table() {
    use RoutingStrategy::{MessageHash, Random, RoundRobin};
    let table: [(Template, Row); 6] = [
        (
            Template::Default,
            (3, 2, false, true, false, 4, 10_000, RoundRobin),
        ),
        (
            Template::Development,
            (5, 1, false, true, true, 4, 10_000, RoundRobin),
        ),
        (
            Template::Production,
            (3, 3, true, true, false, 4, 10_000, RoundRobin),
        ),
        (
            Template::HighPerformance,
            (1, 1, false, true, false, 2, 50_000, Random),
        ),
        (
            Template::Testing,
            (10, 0, false, false, true, 4, 10_000, RoundRobin),
        ),
        (
            Template::OrderSequenced,
            (5, 5, true, true, false, 4, 10_000, MessageHash),
        ),
    ];
    assert_eq!(table.len(), Template::ALL.len());
    for (template, expected) in table {
        assert_eq!(row(&config(template)), expected, "{template}");
    }
}

#[test]
fn what_no_template_changes_is_the_same_in_all() {
    for template in Template::ALL {
        let config = config(template);
        assert_eq!(config.client_id, None);
        assert_eq!(config.namesrv_addr.to_string(), "localhost:9876");
        assert_eq!(config.delivery_guarantee, DeliveryGuarantee::AtLeastOnce);
        assert_eq!(config.retry_pause, Duration::from_millis(50));
        assert_eq!(config.retry_pause_max, Duration::from_millis(800));
        assert_eq!(config.retry_response_codes, RetryResponseCodes::default());
        assert_eq!(config.hedge_percentile, 0);
        assert_eq!(config.ordered_on_unknown, OrderedOnUnknown::Stop);
        assert_eq!(config.max_in_flight_bytes, ByteSize::mib(256));
        assert_eq!(config.broker_share.to_string(), "0.5");
        assert_eq!(config.active_detector, None);
        let over = match template {
            Template::HighPerformance => ByteSize::mib(1),
            _ => ByteSize::kib(4),
        };
        assert_eq!(config.compress_msg_body_over_howmuch, over, "{template}");
        #[cfg(feature = "zlib")]
        assert_eq!(config.compress_type, Some(CompressionType::Zlib));
        assert_eq!(config.compress_level, 5);
        assert_eq!(config.oneway_rate, 0);
        assert_eq!(config.property_margin, ByteSize::bytes(512));
        assert_eq!(config.default_topic_queue_nums, 4);
        assert!(config.create_topic);
        assert_eq!(config.poll_name_server_interval, Duration::from_secs(30));
        assert_eq!(
            config.update_topic_route_info_interval,
            Duration::from_secs(30)
        );
        assert_eq!(config.route_timeout, Duration::from_secs(30));
        assert_eq!(config.route_retention, Duration::from_secs(600));
        assert_eq!(config.heartbeat_broker_interval, Duration::from_secs(30));
        assert_eq!(config.header_encoding, HeaderEncoding::default());
        assert_eq!(config.connect_timeout, Duration::from_secs(3));
        assert_eq!(config.request_timeout, Duration::from_secs(3));
    }
}

#[test]
fn only_the_template_for_order_sends_one_at_a_time() {
    for template in Template::ALL {
        let expected = match template {
            Template::OrderSequenced => Ordered::Key,
            _ => Ordered::None,
        };
        assert_eq!(config(template).ordered, expected, "{template}");
    }
}

#[test]
fn only_testing_carries_a_group() {
    for template in Template::ALL {
        let built = ProducerConfig::builder().template(template).build();
        match template {
            Template::Testing => {
                let config = built.expect("a group");
                assert_eq!(config.producer_group, "TEST_PRODUCER");
                let group = config
                    .entries()
                    .into_iter()
                    .find(|entry| entry.key == "producer_group")
                    .expect("listed");
                assert_eq!(group.source, ConfigSource::Template(Template::Testing));
            }
            _ => assert!(built.is_err(), "{template} has a group"),
        }
    }
}

#[test]
fn get_config_takes_names_and_aliases() {
    for (name, template) in [
        ("default", Template::Default),
        ("dev", Template::Development),
        ("PROD", Template::Production),
        ("High-Perf", Template::HighPerformance),
        ("test", Template::Testing),
        ("ordered", Template::OrderSequenced),
    ] {
        let config = get_config(name)
            .expect(name)
            .producer_group("g")
            .build()
            .expect(name);
        assert_eq!(config.template, template, "{name}");
    }
}

#[test]
fn get_config_refuses_an_unknown_name_at_once() {
    let error = get_config("produciton").expect_err("no such template");
    assert_eq!(
        error.to_string(),
        "template = \"produciton\" (code): not one of the choices, did you mean production?; allowed: default, \
         development (dev), high_performance (high-perf), order_sequenced (ordered), production (prod), testing (test)"
    );
}

#[test]
fn a_custom_config_is_the_default_with_overrides() {
    let config = create_custom_config("orders", "a:1;b:2", [("retry_times", "7")]).expect("valid");
    assert_eq!(config.producer_group, "orders");
    assert_eq!(config.namesrv_addr.to_string(), "a:1;b:2");
    assert_eq!(config.retry_times, 7);
    assert_eq!(config.template, Template::Default);
    assert!(create_custom_config("orders", "a:1", [("colour", "red")]).is_err());
}
