//! Names that are understood but belong to features of later versions: naming one is an error that says so.

use crate::suggest::nearest;

/// A name kept for a later feature.
struct Reserved {
    /// The key; one that ends with `*` stands for every key that begins so.
    key: &'static str,
    /// The feature, as the error names it.
    feature: &'static str,
}

const RESERVED: &[Reserved] = &[];

/// The feature that `key` belongs to, when it is a reserved one.
pub(crate) fn reserved_feature(key: &str) -> Option<&'static str> {
    RESERVED
        .iter()
        .find(|reserved| match reserved.key.strip_suffix('*') {
            Some(prefix) => key.starts_with(prefix),
            None => key == reserved.key,
        })
        .map(|reserved| reserved.feature)
}

/// The nearest name among the usable keys.
pub(crate) fn nearest_key(key: &str) -> Option<&'static str> {
    let settings = crate::settings::settings();
    // Java's name of a setting is as good as a typo of ours.
    settings
        .iter()
        .find(|setting| {
            setting
                .java_name
                .is_some_and(|java| java.eq_ignore_ascii_case(key))
        })
        .map(|setting| setting.key)
        .or_else(|| shortened(key))
        .or_else(|| nearest(key, settings.iter().map(|setting| setting.key)))
}

/// The key of which `key` is the beginning or the end, such as `group` of `producer_group`, if one stands out.
fn shortened(key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase();
    let is_part = |full: &str| {
        let rest = full.strip_suffix(&key).or_else(|| full.strip_prefix(&key));
        rest.is_some_and(|rest| rest.starts_with('_') || rest.ends_with('_'))
    };
    // Of several the one with the fewest words beside, if there is only one such.
    let words = |full: &&str| full.split('_').count();
    let fitting = crate::settings::settings()
        .iter()
        .map(|setting| setting.key);
    let mut fitting: Vec<_> = fitting.filter(|full| is_part(full)).collect();
    fitting.sort_by_key(words);
    match fitting.as_slice() {
        [] => None,
        [first, second, ..] if words(first) == words(second) => None,
        [first, ..] => Some(first),
    }
}

/// Every reserved key, with the feature it waits for; a trailing `*` stands for any ending.
pub fn reserved_keys() -> impl Iterator<Item = (&'static str, &'static str)> {
    RESERVED
        .iter()
        .map(|reserved| (reserved.key, reserved.feature))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_usable_setting_is_reserved() {
        for setting in crate::settings::settings() {
            assert_eq!(reserved_feature(setting.key), None, "{}", setting.key);
        }
    }

    #[test]
    fn every_setting_of_the_older_producer_is_usable_or_reserved() {
        for key in [
            "producer_group",
            "client_id",
            "namesrv_addr",
            "send_msg_timeout",
            "retry_times",
            "retry_another_broker_when_not_store_ok",
            "compress_msg_body_over_howmuch",
            "max_message_size",
            "default_topic_queue_nums",
            "poll_name_server_interval",
            "update_topic_route_info_interval",
            "heartbeat_broker_interval",
            "batch_size",
            "batch_split_type",
            "async_send_semaphore",
            "send_latency_enable",
            "trace_message",
            "debug_enabled",
            "routing_strategy",
        ] {
            let usable =
                crate::settings::find(key).is_some_and(|setting| setting.old_env_name().is_some());
            assert!(usable != reserved_feature(key).is_some(), "{key}");
        }
    }

    #[test]
    fn java_names_lead_to_ours() {
        assert_eq!(nearest_key("sendMsgTimeout"), Some("send_msg_timeout"));
        assert_eq!(nearest_key("retryTimesWhenSendFailed"), Some("retry_times"));
    }

    #[test]
    fn a_part_of_one_key_leads_to_it() {
        assert_eq!(nearest_key("group"), Some("producer_group"));
        assert_eq!(nearest_key("namesrv"), Some("namesrv_addr"));
        assert_eq!(
            nearest_key("timeout"),
            None,
            "several settings are timeouts"
        );
        assert_eq!(nearest_key(""), None);
    }
}
