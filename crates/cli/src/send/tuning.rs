//! The flags of `send` that say how messages travel: in batches, compressed.

use clap::Args;
use rocketmq_producer::config::ProducerConfig;
use rocketmq_producer::remoting::message::CompressionType;

use crate::args::Switch;
use crate::settings::with_unit;

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "How messages travel")]
pub(crate) struct TuningArgs {
    /// Whether messages under way at the same time share requests; on if nothing is said, as configured without it.
    #[arg(long, value_enum, value_name = "SWITCH", num_args = 0..=1, require_equals = true, default_missing_value = "on")]
    pub(crate) auto_batch: Option<Switch>,
    /// How long such a batch waits for more messages, such as 5ms; a bare number is milliseconds.
    #[arg(long, value_name = "TIME")]
    pub(crate) linger: Option<String>,
    /// The most messages of such a batch.
    #[arg(long, value_name = "N")]
    pub(crate) batch_size: Option<String>,
    /// How bodies are compressed: zlib, lz4, zstd or none.
    #[arg(long, value_name = "TYPE")]
    pub(crate) compress: Option<String>,
    /// The size of body from which it is compressed, such as 1KiB.
    #[arg(long, value_name = "BYTES")]
    pub(crate) compress_over: Option<String>,
    /// How hard is tried, from 1, the fastest, to 9, the smallest.
    #[arg(long, value_name = "LEVEL")]
    pub(crate) compress_level: Option<String>,
}

/// Flags that do not go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Conflict {
    #[error("{flag} needs automatic batches, which are off: add --auto-batch")]
    NoBatches { flag: &'static str },
    #[error("--auto-batch can put nothing together with --concurrency 1")]
    OneAtATime,
    #[error("--auto-batch does not go with --request: a request never shares a batch")]
    Requests,
    #[error("{flag} needs compression, which is off: give a type with --compress")]
    NotCompressed { flag: &'static str },
    #[error("--compress-level does not go with lz4, which has no levels")]
    NoLevels,
}

impl TuningArgs {
    /// The settings that are given: flag, key, value.
    pub(crate) fn settings(&self) -> Vec<(&'static str, &'static str, String)> {
        let switch = self.auto_batch.map(|it| (it == Switch::On).to_string());
        let linger = self.linger.as_ref().map(|text| with_unit(text));
        let flags = [
            ("--auto-batch", "auto_batch", switch),
            ("--linger", "batch_linger", linger),
            ("--batch-size", "batch_size", self.batch_size.clone()),
            ("--compress", "compress_type", self.compress.clone()),
            (
                "--compress-over",
                "compress_msg_body_over_howmuch",
                self.compress_over.clone(),
            ),
            (
                "--compress-level",
                "compress_level",
                self.compress_level.clone(),
            ),
        ];
        let given = flags.into_iter();
        given
            .filter_map(|(flag, key, value)| Some((flag, key, value?)))
            .collect()
    }

    /// Refuses flags that would do nothing beside the others and the rest of the configuration.
    pub(crate) fn check(
        &self,
        config: &ProducerConfig,
        concurrency: u32,
        requests: bool,
    ) -> Result<(), Conflict> {
        let given = |flag, value: &Option<String>| value.as_ref().map(|_| flag);
        let needs_batches =
            given("--linger", &self.linger).or_else(|| given("--batch-size", &self.batch_size));
        match needs_batches {
            Some(flag) if !config.auto_batch => return Err(Conflict::NoBatches { flag }),
            _ => {}
        }
        if self.auto_batch == Some(Switch::On) {
            if concurrency == 1 {
                return Err(Conflict::OneAtATime);
            }
            if requests {
                return Err(Conflict::Requests);
            }
        }
        let level = given("--compress-level", &self.compress_level);
        match (
            level.or_else(|| given("--compress-over", &self.compress_over)),
            config.compress_type,
        ) {
            (Some(flag), None) => Err(Conflict::NotCompressed { flag }),
            (Some(_), Some(CompressionType::Lz4)) if level.is_some() => Err(Conflict::NoLevels),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::SettingsArgs;

    fn check(tuning: &TuningArgs, concurrency: u32, requests: bool) -> Result<(), Conflict> {
        let config = SettingsArgs::default().resolve(&tuning.settings()).unwrap();
        tuning.check(&config, concurrency, requests)
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn each_flag_sets_its_setting() {
        let tuning = TuningArgs {
            auto_batch: Some(Switch::On),
            linger: some("5"),
            batch_size: some("100"),
            compress: some("zstd"),
            compress_over: some("1KiB"),
            compress_level: some("9"),
        };
        let config = SettingsArgs::default().resolve(&tuning.settings()).unwrap();
        assert!(config.auto_batch);
        assert_eq!(config.batch_linger.as_millis(), 5);
        assert_eq!(config.batch_size, 100);
        assert_eq!(config.compress_type, Some(CompressionType::Zstd));
        assert_eq!(config.compress_msg_body_over_howmuch.as_u64(), 1024);
        assert_eq!(config.compress_level, 9);
        assert_eq!(tuning.check(&config, 64, false), Ok(()));
        let off = TuningArgs {
            auto_batch: Some(Switch::Off),
            compress: some("none"),
            ..TuningArgs::default()
        };
        let config = SettingsArgs::default().resolve(&off.settings()).unwrap();
        assert_eq!((config.auto_batch, config.compress_type), (false, None));
        assert_eq!(TuningArgs::default().settings(), []);
    }

    #[test]
    fn flags_that_would_do_nothing_are_refused() {
        let linger = TuningArgs {
            linger: some("5ms"),
            ..TuningArgs::default()
        };
        let flag = "--linger";
        assert_eq!(check(&linger, 64, false), Err(Conflict::NoBatches { flag }));
        let batched = TuningArgs {
            auto_batch: Some(Switch::On),
            ..linger
        };
        assert_eq!(check(&batched, 64, false), Ok(()));
        assert_eq!(check(&batched, 1, false), Err(Conflict::OneAtATime));
        assert_eq!(check(&batched, 64, true), Err(Conflict::Requests));
        let level = TuningArgs {
            compress_level: some("9"),
            ..TuningArgs::default()
        };
        assert_eq!(check(&level, 64, false), Ok(()));
        let with = |compress| TuningArgs {
            compress: some(compress),
            ..level.clone()
        };
        assert_eq!(check(&with("lz4"), 64, false), Err(Conflict::NoLevels));
        let flag = "--compress-level";
        assert_eq!(
            check(&with("none"), 64, false),
            Err(Conflict::NotCompressed { flag })
        );
    }
}
