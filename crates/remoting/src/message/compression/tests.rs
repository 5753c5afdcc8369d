//! What Java wrote is read, what is written comes back, and nothing grows beyond its limit.

use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

const LIMIT: ByteSize = ByteSize::mib(16);

fn available() -> impl Iterator<Item = CompressionType> {
    let all = CompressionType::ALL.into_iter();
    all.filter(|kind| kind.is_available())
}

fn compressed(kind: CompressionType, level: u32, body: &[u8]) -> Option<Vec<u8>> {
    let compressor = Compressor::new(kind, level).unwrap();
    compressor.compress(body).unwrap()
}

/// Bytes that no codec makes smaller.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

fn entries() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/compression.json");
    let text = std::fs::read_to_string(path).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    file["entries"].as_array().unwrap().clone()
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.map(byte).collect()
}

fn kind_of(entry: &Value) -> CompressionType {
    let name = entry["name"].as_str().unwrap();
    name.split('-').next().unwrap().parse().unwrap()
}

#[test]
fn what_javas_compressors_wrote_is_read() {
    let mut read = 0;
    for entry in entries() {
        let Some(repeat) = entry["plain"]["repeat"].as_str() else {
            continue;
        };
        let length = usize::try_from(entry["plain"]["length"].as_u64().unwrap()).unwrap();
        let plain: Vec<u8> = repeat.bytes().cycle().take(length).collect();
        let kind = kind_of(&entry);
        if let Some(flag) = entry["sysFlag"].as_i64() {
            assert_eq!(i64::from(kind.sys_flag()), flag, "{entry}");
        }
        if kind.is_available() {
            let bytes = unhex(entry["hex"].as_str().unwrap());
            assert_eq!(kind.decompress(&bytes, LIMIT).unwrap(), plain, "{entry}");
            read += 1;
        }
    }
    assert!(read >= 3 * available().count(), "only {read} were read");
}

#[test]
fn what_java_refuses_is_refused() {
    for entry in entries() {
        let (Some(name), Some(hex)) = (entry["type"].as_str(), entry["hex"].as_str()) else {
            continue;
        };
        let kind: CompressionType = name.parse().unwrap();
        if entry["result"]["error"].is_null() || !kind.is_available() {
            continue;
        }
        let bytes = if hex.contains("times") {
            vec![0x71; 2000]
        } else {
            unhex(hex)
        };
        let error = kind.decompress(&bytes, LIMIT).unwrap_err();
        assert!(matches!(error, CompressionError::Codec { .. }), "{entry}");
    }
}

#[test]
fn a_flag_names_the_type_as_in_java() {
    let of = CompressionType::of_sys_flag;
    for entry in entries() {
        let name = entry["name"].as_str().unwrap();
        if let Some(flag) = name.strip_prefix("type-of-sysflag-0x") {
            let flag = i32::from_str_radix(flag, 16).unwrap() | COMPRESSED;
            let kind: CompressionType = entry["result"].as_str().unwrap().parse().unwrap();
            assert_eq!(of(flag).unwrap(), Some(kind), "{name}");
        }
    }
    for kind in CompressionType::ALL {
        assert_eq!(of(kind.sys_flag()).unwrap(), Some(kind));
        assert_eq!(of(kind.sys_flag() & !COMPRESSED).unwrap(), None);
        assert_eq!(kind.name().to_uppercase().parse(), Ok(kind));
    }
    assert_eq!(of(0x0).unwrap(), None);
    assert!(matches!(
        of(0x401),
        Err(CompressionError::UnknownType { flag: 0x401 })
    ));
}

#[test]
fn names_that_are_none_are_refused_with_the_choices() {
    let error = "gzip".parse::<CompressionType>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown compression \"gzip\"; known are lz4, zlib and zstd"
    );
    assert!("".parse::<CompressionType>().is_err());
}

#[test]
fn a_codec_that_was_left_out_names_its_feature() {
    for kind in CompressionType::ALL {
        let (made, read) = (Compressor::new(kind, 5), kind.decompress(b"", LIMIT));
        if kind.is_available() {
            assert_eq!(made.unwrap().kind(), kind);
            continue;
        }
        for error in [made.unwrap_err(), read.unwrap_err()] {
            let text = error.to_string();
            assert!(text.contains(&format!("feature \"{kind}\"")), "{text}");
        }
    }
}

#[test]
fn a_body_that_does_not_get_smaller_is_left_as_it_is() {
    for kind in available() {
        for len in [0, 1, 2, 100, 5000, 100_000] {
            assert_eq!(compressed(kind, 9, &noise(len)), None, "{kind} {len}");
        }
    }
}

#[test]
fn a_small_text_that_unfolds_to_a_huge_body_stops_at_the_limit() {
    let plain = vec![b'a'; 8 << 20];
    for kind in available() {
        let bytes = compressed(kind, 5, &plain).unwrap();
        assert!(bytes.len() < plain.len() / 100, "{kind}: {}", bytes.len());
        let limit = ByteSize::bytes(plain.len() as u64);
        assert_eq!(kind.decompress(&bytes, limit).unwrap().len(), plain.len());
        let less = ByteSize::bytes(plain.len() as u64 - 1);
        let error = kind.decompress(&bytes, less).unwrap_err();
        assert!(matches!(error, CompressionError::TooLarge { .. }), "{kind}");
    }
}

#[test]
fn levels_trade_time_for_size() {
    let plain: Vec<u8> = (0..60_000_u32)
        .flat_map(|number| (number / 7 % 977).to_string().into_bytes())
        .collect();
    for kind in available().filter(|kind| *kind != CompressionType::Lz4) {
        let (fast, small) = (compressed(kind, 1, &plain), compressed(kind, 9, &plain));
        assert!(small.unwrap().len() < fast.unwrap().len(), "{kind}");
    }
    let beyond = Compressor::new(CompressionType::ALL[0], 99);
    if let Ok(compressor) = beyond {
        assert_eq!(compressor.level(), Compressor::MAX_LEVEL);
    }
}

/// The header bytes by which readers of any age know a zlib stream of Java's level, and blocks that Java can read.
#[test]
fn forms_are_those_of_java() {
    let plain = b"0123456789abcdef".repeat(256);
    for (kind, begin) in [
        (CompressionType::Zlib, &[0x78, 0x5e][..]),
        // Version 1, independent blocks, no checksums.
        (CompressionType::Lz4, &[0x04, 0x22, 0x4d, 0x18, 0x60]),
        (CompressionType::Zstd, &[0x28, 0xb5, 0x2f, 0xfd]),
    ] {
        if kind.is_available() {
            let bytes = compressed(kind, 5, &plain).unwrap();
            assert!(bytes.starts_with(begin), "{kind}: {bytes:02x?}");
        }
    }
}

proptest! {
    #[test]
    fn every_body_comes_back_as_it_was(
        piece in prop::collection::vec(any::<u8>(), 1..300),
        times in 1_usize..200,
        tail in prop::collection::vec(any::<u8>(), 0..2000),
        level in 1_u32..=9,
    ) {
        let mut body = piece.repeat(times);
        body.extend(tail);
        for kind in available() {
            if let Some(bytes) = compressed(kind, level, &body) {
                prop_assert!(bytes.len() < body.len());
                prop_assert_eq!(&kind.decompress(&bytes, LIMIT).unwrap(), &body);
            }
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic_or_exceed_its_limit(
        bytes in prop::collection::vec(any::<u8>(), 0..500),
        at in 0_usize..200,
        body in prop::collection::vec(0_u8..4, 500..2000),
    ) {
        for kind in available() {
            let limit = ByteSize::bytes(1000);
            let mut broken = compressed(kind, 5, &body).unwrap();
            if let Some(byte) = broken.get_mut(at) {
                *byte ^= bytes.first().copied().unwrap_or(1);
            }
            for bytes in [&bytes, &broken] {
                if let Ok(plain) = kind.decompress(bytes, limit) {
                    prop_assert!(plain.len() <= 1000);
                }
            }
        }
    }
}
