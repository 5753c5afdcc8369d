//! Configuration files.

use rocketmq_producer::config::{ConfigEntry, ProducerConfig, settings};

use super::Verdict;
use super::corpus::Corpus;

/// What errors name as the file.
const FILE: &str = "fuzz.toml";
pub(super) const TOKENS: &[&[u8]] = &[
    b"\n",
    b" = ",
    b"\"",
    b"'",
    b"\"\"\"",
    b"#",
    b"[",
    b"]",
    b"[[a]]",
    b"{ a = 1 }",
    b".",
    b"\\u0041",
    b"\\U0010ffff",
    b"0x10",
    b"1_000",
    b"-0",
    b"nan",
    b"1979-05-27",
    b"true",
    b"\"3s\"",
    b"\"4 MiB\"",
    b"template = \"production\"\n",
    b"producer_group = \"g\"\n",
    b"namesrv_addr = \"[fe80::1%e]:1\"\n",
    b"retry_times = ",
    b"send_msg_timeout = ",
    b"secret_key = \"s\"\n",
    b"\xc3\xa9",
    b"\x00",
    b"\r",
];

pub(super) fn seeds(_: &Corpus) -> Vec<Vec<u8>> {
    let group = "producer_group = \"orders\"\n";
    let mut seeds: Vec<Vec<u8>> = [
        "namesrv_addr = \"10.0.0.1:9876;[fe80::1%eth0]:9876\"\nsend_msg_timeout = \"2s\"\n",
        "template = \"high-perf\"\nretry_times = 5\ncreate_topic = false\n",
        "max_message_size = 1_048_576\nproperty_margin = \"1 KiB\"\nheader_encoding = \"json\"\n",
        "client_id = \"c-1\"\nrouting_strategy = \"message_hash\"\n",
    ]
    .iter()
    .map(|text| format!("{group}{text}").into_bytes())
    .collect();
    // All settings with their defaults, as a listing shows them.
    let defaults = settings().iter().filter_map(|setting| {
        let default = setting.default?;
        Some(format!("{} = \"{default}\"\n", setting.key))
    });
    seeds.push(format!("{group}{}", defaults.collect::<String>()).into_bytes());
    seeds
}

pub(super) fn toml(input: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(input);
    let config = match ProducerConfig::builder().toml(FILE, &text).build() {
        Ok(config) => config,
        Err(error) => {
            let shown = error.to_string();
            assert!(!shown.trim().is_empty());
            let unprintable = shown.chars().find(|c| c.is_control() && *c != '\n');
            assert_eq!(unprintable, None, "{shown:?} cannot be shown");
            return Verdict::Refused;
        }
    };
    assert_eq!(config.validate().map_err(|error| error.to_string()), Ok(()));
    let entries = config.entries();
    assert_eq!(entries.len(), settings().len());

    let given = |entry: &ConfigEntry| Some((entry.key, entry.value.clone()?));
    let again = ProducerConfig::builder()
        .set_all(entries.iter().filter_map(given))
        .build()
        .expect("the listing of a configuration can be given again");
    assert_eq!(values(&again), values(&config), "given again by key");

    let listing: Vec<_> = entries.iter().map(ToString::to_string).collect();
    let again = ProducerConfig::builder()
        .toml(FILE, &listing.join("\n"))
        .build()
        .expect("the listing of a configuration is a file");
    assert_eq!(values(&again), values(&config), "given again as a file");

    // Neither of these may panic.
    let _ = config.routing_options();
    let _ = config.connection_options();
    Verdict::Accepted
}

fn values(config: &ProducerConfig) -> Vec<(&'static str, Option<String>)> {
    let entries = config.entries();
    entries.into_iter().map(|e| (e.key, e.value)).collect()
}
