//! A codec that was left out of the build is refused where it is asked for, and never by default.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use rocketmq_producer_config::{CompressionType, ProducerConfig, create_custom_config};

fn config(settings: &[(&str, &str)]) -> ProducerConfig {
    create_custom_config("g", "a:1", settings.iter().copied()).expect("valid")
}

#[test]
fn a_codec_is_taken_if_the_build_has_it_and_refused_with_its_feature_otherwise() {
    for kind in CompressionType::ALL {
        let given = [("compress_type", kind.name()), ("compress_level", "7")];
        if kind.is_available() {
            let config = config(&given);
            assert_eq!(config.compress_type, Some(kind));
            let compressor = config.compressor().expect("compresses");
            assert_eq!((compressor.kind(), compressor.level()), (kind, 7));
            continue;
        }
        let error = create_custom_config("g", "a:1", given).expect_err("left out");
        assert_eq!(
            error.to_string(),
            format!(
                "compress_type = \"{kind}\" (code): not in this build, which lacks the cargo feature \"{kind}\"; \
                 allowed: zlib, lz4, zstd or none"
            )
        );
    }
}

#[test]
fn a_codec_that_was_left_out_is_refused_from_the_environment_and_by_hand_too() {
    let Some(kind) = CompressionType::ALL
        .into_iter()
        .find(|kind| !kind.is_available())
    else {
        return;
    };
    let variable = ("ROCKETMQ_PRODUCER_COMPRESS_TYPE", kind.name());
    let error = ProducerConfig::builder()
        .producer_group("g")
        .environment_from([variable])
        .build()
        .expect_err("left out");
    assert!(error.to_string().contains(variable.0), "{error}");
    let mut config = config(&[]);
    config.compress_type = Some(kind);
    let error = config.validate().expect_err("left out");
    assert!(error.to_string().contains("(code)"), "{error}");
}

#[test]
fn without_zlib_nothing_is_compressed_by_default() {
    let config = config(&[]);
    let zlib = CompressionType::Zlib;
    assert_eq!(config.compress_type, zlib.is_available().then_some(zlib));
    assert_eq!(config.compressor().is_some(), zlib.is_available());
}

#[test]
fn none_turns_it_off() {
    assert!(config(&[("compress_type", "NONE")]).compressor().is_none());
}
