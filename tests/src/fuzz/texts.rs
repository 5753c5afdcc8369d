//! Texts: property strings, ids, sizes, durations, addresses.

use std::collections::BTreeMap;
use std::time::Duration;

use rocketmq_producer::config::{NameServerAddresses, format_duration, parse_duration};
use rocketmq_producer::remoting::message::{OffsetMessageId, Properties, RecallHandle};
use rocketmq_producer::remoting::{AddressMap, ByteSize};
use rocketmq_producer::routing::{DiscoveryUrl, NameServerSource};

use super::Verdict;
use super::corpus::Corpus;

pub(super) const PROPERTY_TOKENS: &[&[u8]] = &[
    b"\x01",
    b"\x02",
    b"\x01\x01",
    b"\x02\x02",
    b"\x01\x02",
    b"k\x01v\x02",
    b"KEYS\x01a b\x02",
    b"WAIT",
    b"WAIT\x01true\x02",
    b" ",
    b"\x00",
    b"\xc3\xa9",
    b"\xf0\x9f\x98\x80",
    b"\xff",
];

pub(super) const NUMBER_TOKENS: &[&[u8]] = &[
    b"0",
    b"9",
    b"00",
    b"18446744073709551615",
    b"18446744073709551616",
    b"340282366920938463463374607431768211456",
    b"KiB",
    b"kb",
    b"MiB",
    b"GB",
    b"b",
    b"d",
    b"h",
    b"m",
    b"min",
    b"s",
    b"ms",
    b"us",
    b"ns",
    b" ",
    b"\t",
    b"+",
    b"-",
    b".",
    b"F",
    b"f",
    b"G",
    b"\xc2\xb5",
    b"\xd9\xa3",
    b"0000000000000000",
];

pub(super) const HANDLE_TOKENS: &[&[u8]] = &[
    b"djEg", b"djIg", b"=", b"==", b"-", b"_", b"+", b"/", b"IA==", b"ICAg", b"MTIz", b"A", b"\n",
    b"\xff",
];

pub(super) const ADDRESS_TOKENS: &[&[u8]] = &[
    b";",
    b",",
    b":",
    b":9876",
    b":0",
    b":65535",
    b":65536",
    b":+1",
    b"[::1]",
    b"[fe80::1%eth0]:1",
    b"]",
    b"[",
    b"%",
    b"localhost",
    b"10.0.0.1:9876",
    b"a:1;",
    b" ",
    b"\t",
    b"\xc3\xa9",
    b"\xcd\x85",
    b"http://",
    b"http://h/p?q",
    b"MQ_INST_1_a.",
    b"=",
    b"a=b",
    b"a:1=b:2",
    b"A",
];

pub(super) fn properties_seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    let mut seeds = corpus.texts_of(|text| text.contains(&1) && std::str::from_utf8(text).is_ok());
    seeds.push(b"KEYS\x01a b\x02TAGS\x01t\x02WAIT\x01true\x02".to_vec());
    seeds
}

pub(super) fn offset_id_seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    corpus.texts_of(|text| {
        std::str::from_utf8(text).is_ok_and(|text| text.parse::<OffsetMessageId>().is_ok())
    })
}

pub(super) fn recall_handle_seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    let mut seeds = corpus.texts_of(|text| {
        std::str::from_utf8(text).is_ok_and(|text| text.parse::<RecallHandle>().is_ok())
    });
    seeds.push(b"djEgdG9waWMgYnJva2VyLTAgMTc2MDAwMDAwMDAwMCA3RjAwMDAwMTBFODAxOEI0".to_vec());
    seeds.push(b"djEgYSBiIGMgZA==".to_vec());
    seeds
}

pub(super) fn byte_size_seeds(_: &Corpus) -> Vec<Vec<u8>> {
    texts(&["4MiB", "512 kb", "1024", "0 B", "17179869183GiB", " 1 GB "])
}

pub(super) fn duration_seeds(_: &Corpus) -> Vec<Vec<u8>> {
    texts(&[
        "3s",
        "500ms",
        "1h 5min",
        "1d2h3m4s5ms6us7ns",
        "10 min",
        "0s",
    ])
}

pub(super) fn addresses_seeds(_: &Corpus) -> Vec<Vec<u8>> {
    texts(&[
        "localhost:9876",
        "10.0.0.1:9876;10.0.0.2:9876",
        "[::1]:9876, [fe80::1%eth0]:9876",
        " a:1 ;b_c-d.e:65535,, a:1",
    ])
}

pub(super) fn source_seeds(_: &Corpus) -> Vec<Vec<u8>> {
    texts(&[
        "a:1;b:2",
        "http://MQ_INST_123_abc.mq.example.com:8080",
        "http://host/rocketmq/nsaddr?x=1",
        "http://[::1]:80/p",
    ])
}

pub(super) fn address_map_seeds(_: &Corpus) -> Vec<Vec<u8>> {
    texts(&[
        "172.17.0.2:10911=localhost:30911; 172.17.0.3=mq.example.com",
        "a=b; a:1=c:9, b=d; [::1]=A; A:2=[0::2]:7",
        "[fe80::1%eth0]=[::2]",
    ])
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

pub(super) fn properties(input: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(input);
    let properties = Properties::parse(&text);
    assert!(properties.wire_len() <= text.len() + 1);
    assert_eq!(Properties::parse(properties.as_wire()), properties);

    // Java's reader, as its source describes it.
    let mut java = BTreeMap::new();
    for piece in text.split('\u{2}') {
        match piece.find('\u{1}') {
            Some(at) if at > 0 && at + 1 < piece.len() => {
                java.insert(&piece[..at], &piece[at + 1..]);
            }
            _ => {}
        }
    }
    assert_eq!(properties.iter().collect::<BTreeMap<_, _>>(), java);
    assert_eq!(properties.iter().count(), java.len(), "a name occurs twice");
    assert_eq!(properties.is_empty(), java.is_empty());

    let mut copy = Properties::new();
    let mut rest = properties.clone();
    for (name, value) in java.iter().take(32) {
        assert_eq!(properties.get(name), Some(*value));
        if copy.set(name, value).is_ok() {
            assert_eq!(copy.get(name), Some(*value));
        }
        // A name that only begins like a piece is not there.
        let longer = format!("{name}\u{1}{}", value.split('\u{1}').next().unwrap_or(""));
        assert_eq!(rest.get(&longer), None);
        assert!(!rest.remove(&longer), "{longer:?} was never there");
        assert!(rest.remove(name));
        assert_eq!(rest.get(name), None);
    }
    assert_eq!(rest.iter().count(), java.len().saturating_sub(32));
    assert_eq!(Properties::parse(copy.as_wire()), copy);
    Verdict::of(!java.is_empty())
}

pub(super) fn offset_id(input: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(input);
    let Ok(id) = text.parse::<OffsetMessageId>() else {
        return Verdict::Refused;
    };
    let written = id.to_string();
    assert!(written.eq_ignore_ascii_case(&text));
    assert_eq!(written, text.to_ascii_uppercase());
    for text in [written, text.to_ascii_lowercase()] {
        assert_eq!(text.parse().as_ref(), Ok(&id));
    }
    Verdict::Accepted
}

pub(super) fn recall_handle(input: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(input);
    let Ok(handle) = text.parse::<RecallHandle>() else {
        return Verdict::Refused;
    };
    assert_eq!(handle.as_str(), text);
    assert_eq!(handle.to_string().parse().as_ref(), Ok(&handle));
    let parts = [handle.topic(), handle.broker_name(), handle.message_id()];
    assert!(
        parts
            .iter()
            .all(|part| !part.is_empty() && !part.contains(' '))
    );
    // Java writes padding and no more than five parts, which those that it reads may have.
    let [topic, broker, id] = parts;
    let again = RecallHandle::new(topic, broker, handle.deliver_at(), id).expect("its own parts");
    assert_eq!(again.deliver_at(), handle.deliver_at());
    assert_eq!(
        [again.topic(), again.broker_name(), again.message_id()],
        parts
    );
    Verdict::Accepted
}

pub(super) fn byte_size(input: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(input);
    let Ok(size) = text.parse::<ByteSize>() else {
        return Verdict::Refused;
    };
    assert_eq!(size.to_string().parse(), Ok(size));
    let text = text.trim();
    for text in [text.to_ascii_uppercase(), text.to_ascii_lowercase()] {
        assert_eq!(text.parse(), Ok(size));
    }
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text.strip_prefix(digits).map(|u| u.trim().to_lowercase());
    let factor: u128 = match unit.as_deref() {
        Some("" | "b") => 1,
        Some("kib") => 1 << 10,
        Some("mib") => 1 << 20,
        Some("gib") => 1 << 30,
        Some("kb") => 1000,
        Some("mb") => 1_000_000,
        Some("gb") => 1_000_000_000,
        _ => panic!("{text:?} was taken for {size}"),
    };
    let number: Option<u128> = digits.trim_start_matches('0').parse().ok();
    assert_eq!(u128::from(size.as_u64()), number.unwrap_or(0) * factor);
    Verdict::Accepted
}

pub(super) fn duration(input: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(input);
    let Ok(duration) = parse_duration(&text) else {
        return Verdict::Refused;
    };
    let written = format_duration(duration);
    assert_eq!(parse_duration(&written), Ok(duration));
    assert_eq!(format_duration(duration), written);
    assert_eq!(sum_of_pieces(&text), duration.as_nanos(), "{text:?}");
    Verdict::Accepted
}

/// What the pieces of a text in the right form add up to, in nanoseconds.
fn sum_of_pieces(text: &str) -> u128 {
    let dense: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let mut sum = 0;
    let mut rest = dense.as_str();
    while !rest.is_empty() {
        let after_digits = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = &rest[..rest.len() - after_digits.len()];
        let after_unit = after_digits.trim_start_matches(|c: char| !c.is_ascii_digit());
        let unit = match &after_digits[..after_digits.len() - after_unit.len()] {
            "d" => Duration::from_secs(24 * 3600),
            "h" => Duration::from_secs(3600),
            "m" | "min" => Duration::from_secs(60),
            "s" => Duration::from_secs(1),
            "ms" => Duration::from_millis(1),
            "us" => Duration::from_micros(1),
            "ns" => Duration::from_nanos(1),
            other => panic!("{other:?} is no unit"),
        };
        let number: u128 = digits.parse().expect("digits that fit");
        sum += number * unit.as_nanos();
        rest = after_unit;
    }
    sum
}

pub(super) fn addresses(input: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(input);
    let Ok(addresses) = text.parse::<NameServerAddresses>() else {
        return Verdict::Refused;
    };
    assert!((1..=NameServerAddresses::MAX).contains(&addresses.len()));
    assert_eq!(addresses.iter().len(), addresses.len());
    assert_eq!(addresses.to_string().parse().as_ref(), Ok(&addresses));

    let mut seen = Vec::new();
    for piece in text.split([';', ',']).map(str::trim) {
        if !piece.is_empty() && !seen.contains(&piece) {
            seen.push(piece);
        }
    }
    assert!(
        addresses.iter().map(AsRef::as_ref).eq(seen),
        "in order, each once"
    );
    for address in addresses.iter() {
        let alone: NameServerAddresses = address.parse().expect("each is an address");
        assert_eq!(alone.to_string(), address.as_ref());
        let (host, port) = address.rsplit_once(':').expect("each has a port");
        assert!(!host.is_empty());
        assert!(port.parse::<u16>().is_ok_and(|port| port > 0));
    }
    Verdict::Accepted
}

pub(super) fn name_server_source(input: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(input);
    let Ok(source) = text.parse::<NameServerSource>() else {
        return Verdict::Refused;
    };
    assert_eq!(source.to_string().parse().as_ref(), Ok(&source));
    assert!(source.addresses().is_some() != source.page().is_some());
    let instance = source.instance();
    assert!(instance.is_none_or(|name| name.len() <= 64 && text.contains(name)));
    if let Some(page) = source.page() {
        assert!(page.to_string().len() <= DiscoveryUrl::MAX_LENGTH);
        assert!(page.target().starts_with('/') && page.address().starts_with(page.authority()));
        let server: NameServerAddresses = page.address().parse().expect("a host and a port");
        assert_eq!(server.len(), 1);
        // Its units are pages of the same server.
        let unit = page.with_unit("unit");
        assert!(unit.is_ok_and(|unit| unit.address() == page.address()) || text.len() > 2000);
    }
    Verdict::Accepted
}

pub(super) fn address_map(input: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(input);
    let Ok(map) = text.parse::<AddressMap>() else {
        return Verdict::Refused;
    };
    assert!(map.len() <= AddressMap::MAX);
    let written = map.to_string();
    assert_eq!(written.parse().as_ref(), Ok(&map), "{written}");

    let rules = written.split(';').filter_map(|rule| rule.split_once('='));
    let mut count = 0;
    for (advertised, reachable) in rules {
        count += 1;
        let reached = map.reachable(advertised);
        if let Some(reached) = reached {
            assert_eq!(reached, reachable, "what the rule says, and no other one");
        } else {
            // A rule for a host, which has no port.
            let reached = map.reachable(&format!("{advertised}:65535"));
            let exact = format!("{advertised}:65535=");
            let expected = format!("{reachable}:65535");
            assert!(written.contains(&exact) || reached.as_deref() == Some(&expected));
        }
    }
    assert_eq!(count, map.len(), "each rule is written once");
    Verdict::of(!map.is_empty())
}
