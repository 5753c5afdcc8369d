//! Settings that belong to what several producers share, rather than to one of them.

use crate::settings::ProducerConfig;
use crate::source::ConfigSource;

/// The settings of a client context: name servers, routes, connections, heartbeats. A producer in a shared context has
/// them from there.
pub const CONTEXT_SETTINGS: &[&str] = &[
    "access_key",
    "active_detector",
    "address_map",
    "broker_share",
    "client_id",
    "connect_timeout",
    "connections_per_broker",
    "create_topic",
    "danger_accept_invalid_certs",
    "default_topic_queue_nums",
    "header_encoding",
    "heartbeat_broker_interval",
    "namesrv_addr",
    "namesrv_discovery_interval",
    "namesrv_discovery_timeout",
    "poll_name_server_interval",
    "request_timeout",
    "route_retention",
    "route_timeout",
    "secret_key",
    "security_token",
    "socks_password",
    "socks_proxy",
    "socks_user",
    "stats_reset_interval",
    "tls",
    "tls_ca",
    "tls_cert",
    "tls_key",
    "tls_min_version",
    "tls_server_name",
    "update_topic_route_info_interval",
    "vip_channel",
];

impl ProducerConfig {
    /// Takes over the [`CONTEXT_SETTINGS`] of a shared context.
    ///
    /// # Errors
    /// The keys of those that were given here with another value: in a file, the environment or code, not merely by a
    /// template. All are taken over even then.
    pub fn join_context(&mut self, context: &Self) -> Result<(), Vec<&'static str>> {
        let entries = self.entries();
        let is_given = |key: &str| {
            let entry = entries.iter().find(|entry| entry.key == key);
            entry.is_some_and(|entry| {
                !matches!(
                    entry.source,
                    ConfigSource::Default | ConfigSource::Template(_)
                )
            })
        };
        let mut refused = Vec::new();
        for key in CONTEXT_SETTINGS {
            if self.take_over(key, context) && is_given(key) {
                refused.push(*key);
            }
        }
        self.adopt_instance();
        if refused.is_empty() {
            Ok(())
        } else {
            Err(refused)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Template;

    fn config(settings: &[(&str, &str)]) -> ProducerConfig {
        crate::create_custom_config("g", "a:1", settings.iter().copied()).expect("valid")
    }

    #[test]
    fn settings_of_a_context_are_sorted_settings() {
        assert!(CONTEXT_SETTINGS.is_sorted());
        for key in CONTEXT_SETTINGS {
            assert!(crate::settings::find(key).is_some(), "{key}");
        }
    }

    #[test]
    fn what_belongs_to_the_context_comes_from_there_with_its_source() {
        let context = config(&[("request_timeout", "7s"), ("retry_times", "9")]);
        let mut producer = config(&[("retry_times", "1")]);
        assert_eq!(producer.join_context(&context), Ok(()));
        assert_eq!(producer.request_timeout.as_secs(), 7);
        assert_eq!(producer.retry_times, 1);
        assert!(producer.is_given("request_timeout"));
        assert!(producer.validate().is_ok());
    }

    #[test]
    fn another_value_than_the_contexts_is_refused_if_it_was_given() {
        let context = config(&[("client_id", "c")]);
        let mut same = config(&[("client_id", "c")]);
        assert_eq!(same.join_context(&context), Ok(()));
        let mut other = config(&[("client_id", "d"), ("tls", "true")]);
        assert_eq!(other.join_context(&context), Err(vec!["client_id", "tls"]));
        assert_eq!(other.client_id.as_deref(), Some("c"));
        let builder = ProducerConfig::builder().template(Template::Production);
        let mut template = builder
            .producer_group("g")
            .name_servers("a:1")
            .build()
            .expect("valid");
        assert_eq!(template.join_context(&context), Ok(()));
    }
}
