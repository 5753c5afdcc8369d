//! The nearest valid name for a mistyped one.

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

/// The candidate nearest to `name` by edit distance, if it is near enough to be meant: within a third of the name's
/// length, at least two edits. Case does not count.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let name = name.to_ascii_lowercase();
    // A name far longer than any key can't be near one: don't spend quadratic time on it.
    if name.len() > 200 {
        return None;
    }
    let limit = (name.chars().count() / 3).max(2);
    candidates
        .into_iter()
        .map(|candidate| (distance(&name, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(edits, _)| *edits <= limit)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace, swap two neighbours) that turn `left` into `right`.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    // Three rows suffice: the row before the previous one is what a swap of neighbours looks back to.
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.iter().enumerate() {
        let mut current = vec![i + 1];
        for (j, r) in right.iter().enumerate() {
            let replace = previous[j] + usize::from(l != r);
            let mut best = replace.min(previous[j + 1] + 1).min(current[j] + 1);
            if i > 0 && j > 0 && *l == right[j - 1] && left[i - 1] == *r {
                best = best.min(before[j - 1] + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut previous, current);
    }
    previous[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        for (left, right, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("retry", "retyr", 1),
            ("kitten", "sitting", 3),
            ("same", "same", 0),
        ] {
            assert_eq!(distance(left, right), edits, "{left} {right}");
        }
    }

    #[test]
    fn nearest_finds_typos_and_refuses_strangers() {
        let keys = ["send_msg_timeout", "retry_times", "client_id"];
        assert_eq!(nearest("send_msg_timout", keys), Some("send_msg_timeout"));
        assert_eq!(nearest("RETRY_TIME", keys), Some("retry_times"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(nearest(&"x".repeat(10_000), keys), None);
    }

    #[test]
    fn every_setting_of_the_older_producer_is_usable() {
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
            assert!(usable, "{key}");
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
