//! The flags that set the producer's settings, and the configuration that comes out of them.

use std::path::PathBuf;

use clap::Args;
use rocketmq_producer::config::{
    ConfigError, ConfigProblem, ProducerConfig, ProducerConfigBuilder,
};

/// Group of a command that nobody gave a name.
const DEFAULT_GROUP: &str = "rocketmq-producer-cli";

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings (a flag wins over the environment, a file, a template)")]
pub(crate) struct SettingsArgs {
    /// Name servers: host:port, several separated by `;`; NAMESRV_ADDR unless given.
    #[arg(long, value_name = "ADDR")]
    pub(crate) namesrv: Option<String>,
    /// Producer group; rocketmq-producer-cli unless something sets it.
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Option<String>,
    /// TOML file with settings.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Settings to start from: default, development, high_performance, order_sequenced, production, testing.
    #[arg(long, value_name = "NAME")]
    pub(crate) template: Option<String>,
    /// Budget of a whole send, retries included, such as 500ms or 3s; a bare number is milliseconds.
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<String>,
    /// Attempts beyond the first.
    #[arg(long, value_name = "N")]
    pub(crate) retries: Option<String>,
}

impl SettingsArgs {
    /// The configuration of these flags, the environment, the file and the template; `more` are
    /// flags of one command: flag, key, value.
    pub(crate) fn resolve(
        &self,
        more: &[(&str, &str, String)],
    ) -> Result<ProducerConfig, ConfigError> {
        let mut builder = ProducerConfig::builder();
        if let Some(path) = &self.config {
            builder = builder.file(path);
        }
        let mut builder = self.flags(builder.environment());
        for (flag, key, value) in more {
            builder = builder.set_by_flag(flag, key, value);
        }
        with_default_group(builder)
    }

    fn flags(&self, mut builder: ProducerConfigBuilder) -> ProducerConfigBuilder {
        let timeout = self.timeout.as_ref().map(|text| with_unit(text));
        for (flag, key, value) in [
            ("--namesrv", "namesrv_addr", &self.namesrv),
            ("--group", "producer_group", &self.group),
            ("--template", "template", &self.template),
            ("--timeout", "send_msg_timeout", &timeout),
            ("--retries", "retry_times", &self.retries),
        ] {
            if let Some(value) = value {
                builder = builder.set_by_flag(flag, key, value);
            }
        }
        builder
    }
}

/// A tool needs no group to be given: it takes one of its own where no layer has one.
fn with_default_group(builder: ProducerConfigBuilder) -> Result<ProducerConfig, ConfigError> {
    let lacks_group = |problem: &ConfigProblem| matches!(problem, ConfigProblem::Missing { key, .. } if *key == "producer_group");
    match builder.clone().build() {
        Err(error) if error.problems().iter().any(lacks_group) => builder
            .set_by_flag("--group (default)", "producer_group", DEFAULT_GROUP)
            .build(),
        outcome => outcome,
    }
}

/// On this command line a bare number is milliseconds, as in RocketMQ's own settings.
pub(crate) fn with_unit(text: &str) -> String {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("{text}ms")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn build(args: &SettingsArgs) -> Result<ProducerConfig, ConfigError> {
        with_default_group(args.flags(ProducerConfig::builder()))
    }

    #[test]
    fn a_group_of_its_own_is_taken_where_no_layer_has_one() {
        let args = SettingsArgs::default();
        assert_eq!(build(&args).unwrap().producer_group, DEFAULT_GROUP);
        let args = SettingsArgs {
            group: Some("mine".into()),
            ..args
        };
        assert_eq!(build(&args).unwrap().producer_group, "mine");
        let args = SettingsArgs {
            group: None,
            template: Some("testing".into()),
            ..args
        };
        assert_eq!(build(&args).unwrap().producer_group, "TEST_PRODUCER");
    }

    #[test]
    fn the_group_taken_does_not_hide_what_else_is_wrong() {
        let args = SettingsArgs {
            retries: Some("many".into()),
            timeout: Some("soon".into()),
            ..SettingsArgs::default()
        };
        let error = build(&args).unwrap_err();
        assert_eq!(error.problems().len(), 2, "{error}");
        assert!(error.to_string().contains("flag --retries"), "{error}");
    }

    #[test]
    fn a_bare_number_is_milliseconds() {
        for (text, expected) in [("1500", 1500), ("2s", 2000), ("250ms", 250)] {
            let args = SettingsArgs {
                timeout: Some(text.into()),
                ..SettingsArgs::default()
            };
            let config = build(&args).unwrap();
            assert_eq!(config.send_msg_timeout, Duration::from_millis(expected));
        }
    }
}
