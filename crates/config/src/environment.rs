//! The environment as a layer: our variables, pyrocketmq's as aliases, and RocketMQ's `NAMESRV_ADDR`.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use tracing::warn;

use crate::builder::ProducerConfigBuilder;
use crate::error::ConfigProblem;
use crate::setting::{ENVIRONMENT_PREFIX, OLD_ENVIRONMENT_PREFIX, Setting};
use crate::settings::find;
use crate::source::ConfigSource;
use crate::suggest::nearest_key;
use crate::value::{Refusal, SettingKind};

/// RocketMQ's own variable for the name servers, shared by all of its tools.
const NAMESRV_ADDR: &str = "NAMESRV_ADDR";

impl ProducerConfigBuilder {
    /// Reads the process's environment; see [`environment_from`](Self::environment_from).
    pub fn environment(self) -> Self {
        self.environment_from(std::env::vars_os())
    }

    /// Reads the environment from `variables`:
    ///
    /// - `ROCKETMQ_PRODUCER_<KEY>` sets the setting of that key; one that no setting has is an error.
    /// - `PYROCKETMQ_<KEY>` is read for the settings that pyrocketmq had, with a warning; times are milliseconds there.
    ///   It counts only where the new variable is absent; variables of pyrocketmq's other parts are left alone.
    /// - `NAMESRV_ADDR` gives the name servers where neither of the two does, unless it is blank.
    pub fn environment_from<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        // Sorted, so that problems come in the same order on every run.
        let variables: BTreeMap<String, Result<String, String>> = variables
            .into_iter()
            .filter_map(|(name, value)| {
                // A name that isn't Unicode is none of ours.
                let name = name.as_ref().to_str()?.to_owned();
                let value = value.as_ref();
                let value = value
                    .to_str()
                    .map(str::to_owned)
                    .ok_or_else(|| value.to_string_lossy().into_owned());
                Some((name, value))
            })
            .collect();
        for (name, value) in &variables {
            if let Some(rest) = name.strip_prefix(ENVIRONMENT_PREFIX) {
                self.ours(name, rest, value);
            } else if let Some(rest) = name.strip_prefix(OLD_ENVIRONMENT_PREFIX) {
                let ours = format!("{ENVIRONMENT_PREFIX}{rest}");
                let overridden = variables.contains_key(&ours);
                self.old(name, rest, value, &ours, overridden);
            }
        }
        if let Some(value) = variables.get(NAMESRV_ADDR) {
            let specific = [ENVIRONMENT_PREFIX, OLD_ENVIRONMENT_PREFIX]
                .iter()
                .any(|prefix| variables.contains_key(&format!("{prefix}{NAMESRV_ADDR}")));
            let blank = value.as_ref().is_ok_and(|value| value.trim().is_empty());
            if !specific && !blank {
                self.take(NAMESRV_ADDR, "namesrv_addr", value, unicode, true);
            }
        }
        self
    }

    /// Takes one of our variables.
    fn ours(&mut self, name: &str, rest: &str, value: &Result<String, String>) {
        let key = rest.to_ascii_lowercase();
        match find(&key) {
            // Variables have one spelling, so that two of them can't mean the same setting.
            Some(setting) if setting.env_name() == name => {
                self.take(name, &key, value, unicode, false)
            }
            _ => {
                let nearest = nearest_variable(rest);
                self.note(ConfigProblem::UnknownVariable {
                    variable: name.to_owned(),
                    nearest,
                });
            }
        }
    }

    /// Takes one of pyrocketmq's variables, if it is a setting of its producer.
    fn old(
        &mut self,
        name: &str,
        rest: &str,
        value: &Result<String, String>,
        ours: &str,
        overridden: bool,
    ) {
        let key = rest.to_ascii_lowercase();
        let Some(setting) =
            find(&key).filter(|setting| setting.old_env_name().as_deref() == Some(name))
        else {
            return;
        };
        if overridden {
            warn!(
                variable = name,
                winner = ours,
                "an old environment variable is ignored, the new one is set too"
            );
            return;
        }
        warn!(
            variable = name,
            instead = ours,
            "an old environment variable is read, use the new name"
        );
        let read = if setting.kind == SettingKind::Duration {
            millis
        } else {
            unicode
        };
        self.take(name, setting.key, value, read, false);
    }

    /// Takes a variable's value for `key`.
    fn take(
        &mut self,
        name: &str,
        key: &str,
        value: &Result<String, String>,
        read: fn(&str) -> Result<String, Refusal>,
        foreign: bool,
    ) {
        let source = ConfigSource::Environment(name.into());
        match value {
            Ok(text) => self.insert(key, text, read(text), source, foreign),
            Err(lossy) => self.insert(
                key,
                lossy,
                Err(Refusal::invalid("not Unicode text")),
                source,
                foreign,
            ),
        }
    }
}

/// Text as it is.
fn unicode(text: &str) -> Result<String, Refusal> {
    Ok(text.to_owned())
}

/// A time in whole milliseconds, as pyrocketmq has it.
fn millis(text: &str) -> Result<String, Refusal> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(format!("{text}ms"))
    } else {
        Err(Refusal::invalid(
            "not a whole number of milliseconds, which this old variable takes",
        ))
    }
}

/// The nearest of our variables to the one that ends with `rest`.
fn nearest_variable(rest: &str) -> Option<String> {
    find(nearest_key(rest)?).map(Setting::env_name)
}
