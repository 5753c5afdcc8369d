//! Layers of given values, and how one configuration comes out of them.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::{ConfigError, ConfigProblem};
use crate::options::Zeroizing;
use crate::settings::{ProducerConfig, find, settings};
use crate::source::ConfigSource;
use crate::suggest::nearest_key;
use crate::template::Template;
use crate::value::SettingValue;

/// Collects values from templates, files, the environment and code, in any order of calls.
///
/// Precedence, from weak to strong: the default, the template, files, the environment, code (and flags). Within a layer
/// the later call wins. Calls never fail: everything wrong is kept and reported together by [`build`](Self::build).
///
/// ```
/// use std::time::Duration;
/// use rocketmq_producer_config::{ProducerConfig, Template};
///
/// let config = ProducerConfig::builder()
///     .template(Template::Production)
///     .environment_from([("ROCKETMQ_PRODUCER_RETRY_TIMES", "5")])
///     .producer_group("order-service")
///     .set("send_msg_timeout", "2s")
///     .build()?;
/// assert_eq!(config.retry_times, 5);
/// assert_eq!(config.send_msg_timeout, Duration::from_secs(2));
/// # Ok::<(), rocketmq_producer_config::ConfigError>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until it is built"]
pub struct ProducerConfigBuilder {
    file: Layer,
    environment: Layer,
    code: Layer,
    /// What is wrong beside the values in the layers: unknown names, unreadable files, values replaced since.
    problems: Vec<Found>,
    /// How many values and problems came so far.
    count: usize,
}

/// A problem, with its place among all that was given.
#[derive(Debug, Clone)]
struct Found {
    place: usize,
    problem: ConfigProblem,
}

/// The values of one layer by key.
type Layer = BTreeMap<&'static str, Given>;

/// A value given for a setting.
#[derive(Clone)]
struct Given {
    /// The text in its printed form, or what is wrong with it. It may be a secret.
    text: Result<Zeroizing<String>, ConfigProblem>,
    source: ConfigSource,
    /// Its place among all that was given.
    place: usize,
    /// Whether a stronger layer hides what is wrong with it.
    foreign: bool,
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given")
            .field("source", &self.source)
            .field("problem", &self.text.as_ref().err())
            .finish_non_exhaustive()
    }
}

impl ProducerConfigBuilder {
    /// Sets a setting by its key, as a file would.
    pub fn set(self, key: &str, value: &str) -> Self {
        self.give(key, value.to_owned(), ConfigSource::Code)
    }

    /// Sets a setting as [`set`](Self::set) does, on behalf of the command line flag `flag`, which errors and
    /// [`ProducerConfig::entries`] then name.
    pub fn set_by_flag(self, flag: &str, key: &str, value: &str) -> Self {
        self.give(key, value.to_owned(), ConfigSource::Flag(flag.into()))
    }

    /// Sets several settings by key.
    pub fn set_all<K: AsRef<str>, V: AsRef<str>>(
        mut self,
        overrides: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        for (key, value) in overrides {
            self = self.set(key.as_ref(), value.as_ref());
        }
        self
    }

    /// Sets the name servers' addresses: [`namesrv_addr`](Self::namesrv_addr) under its other common name.
    pub fn name_servers(self, addresses: &str) -> Self {
        self.namesrv_addr(addresses)
    }

    /// Resolves the layers and checks the result.
    ///
    /// # Errors
    /// Every problem that was found: values out of bounds, unknown or not yet available settings, files that can't be
    /// read, a missing producer group.
    pub fn build(self) -> Result<ProducerConfig, ConfigError> {
        let mut found = self.problems.clone();
        for layer in [&self.file, &self.environment, &self.code] {
            found.extend(layer.iter().filter_map(|(key, given)| {
                let hidden = given.foreign && self.code.contains_key(key);
                let problem = given.text.as_ref().err().filter(|_| !hidden)?.clone();
                Some(Found {
                    place: given.place,
                    problem,
                })
            }));
        }
        found.sort_by_key(|found| (found.problem.layer(), found.place));
        let mut problems: Vec<_> = found.into_iter().map(|found| found.problem).collect();
        let resolved = Resolved::new(self);
        problems.extend(resolved.missing());
        ConfigError::check(problems)?;
        ProducerConfig::assemble(&resolved)
    }

    /// Takes a value for `key`.
    pub(crate) fn give(mut self, key: &str, text: String, source: ConfigSource) -> Self {
        let shown = Zeroizing::new(text.clone());
        self.insert(key, &shown, Ok(text), source, false);
        self
    }

    /// Takes a value that was given as `shown` and means `text`; `foreign` if the place it comes from isn't ours.
    pub(crate) fn insert(
        &mut self,
        key: &str,
        shown: &str,
        text: Result<String, crate::value::Refusal>,
        source: ConfigSource,
        foreign: bool,
    ) {
        let Some(setting) = find(key) else {
            self.note(unknown(key, source));
            return;
        };
        let text = text
            .map(Zeroizing::new)
            .and_then(|text| (setting.check)(&text).map(Zeroizing::new))
            .map_err(|refusal| ConfigProblem::refused(setting, shown, source.clone(), refusal));
        let layer = match source {
            ConfigSource::File { .. } => &mut self.file,
            ConfigSource::Environment(_) => &mut self.environment,
            _ => &mut self.code,
        };
        let replaced = layer.insert(
            setting.key,
            Given {
                text,
                source,
                place: self.count,
                foreign,
            },
        );
        self.count += 1;
        // A value of ours that is wrong stays wrong, even when another one takes its place.
        if let Some(Given {
            text: Err(problem),
            place,
            foreign: false,
            ..
        }) = replaced
        {
            self.problems.push(Found { place, problem });
        }
    }

    /// Notes something wrong that is not a setting's value.
    pub(crate) fn note(&mut self, problem: ConfigProblem) {
        self.problems.push(Found {
            place: self.count,
            problem,
        });
        self.count += 1;
    }
}

/// The problem of a key that no usable setting has.
fn unknown(key: &str, origin: ConfigSource) -> ConfigProblem {
    ConfigProblem::UnknownKey {
        key: key.to_owned(),
        origin,
        nearest: nearest_key(key),
    }
}

/// The layers with the template chosen.
#[derive(Debug)]
pub(crate) struct Resolved {
    layers: ProducerConfigBuilder,
    template: Template,
}

impl Resolved {
    fn new(layers: ProducerConfigBuilder) -> Self {
        let template = layers
            .winner("template")
            .and_then(|given| given.text.as_ref().ok())
            .and_then(|name| name.parse().ok())
            .unwrap_or_default();
        Self { layers, template }
    }

    /// The value of a setting.
    pub(crate) fn value<T: SettingValue>(
        &self,
        key: &'static str,
        limits: &T::Limits,
    ) -> Result<T, ConfigError> {
        let setting = find(key);
        let winner = self.layers.winner(key);
        let text = match winner {
            Some(given) => Some(
                given
                    .text
                    .as_ref()
                    .map(|text| text.as_str())
                    .map_err(|problem| ConfigError::from(problem.clone()))?,
            ),
            None => self.template.value_of(key).or_else(|| setting?.default),
        };
        match text {
            Some(text) => match T::parse(text, limits) {
                Ok(value) if winner.is_none() => Ok(value.or_substitute()),
                Ok(value) => Ok(value),
                Err(refusal) => Err(match setting {
                    Some(setting) => {
                        ConfigProblem::refused(setting, text, self.source(key), refusal).into()
                    }
                    None => unknown(key, self.source(key)).into(),
                }),
            },
            None => T::unset().ok_or_else(|| match setting {
                Some(setting) => missing(setting).into(),
                None => unknown(key, self.source(key)).into(),
            }),
        }
    }

    /// Where the value of a setting comes from.
    pub(crate) fn source(&self, key: &str) -> ConfigSource {
        match self.layers.winner(key) {
            Some(given) => given.source.clone(),
            None if self.template.value_of(key).is_some() => ConfigSource::Template(self.template),
            None => ConfigSource::Default,
        }
    }

    /// The problems of required settings that nothing gives.
    fn missing(&self) -> impl Iterator<Item = ConfigProblem> {
        settings()
            .iter()
            .filter(|setting| {
                setting.required
                    && self.layers.winner(setting.key).is_none()
                    && self.template.value_of(setting.key).is_none()
            })
            .map(missing)
    }
}

fn missing(setting: &crate::Setting) -> ConfigProblem {
    ConfigProblem::Missing {
        key: setting.key,
        variable: setting.env_name(),
        allowed: setting.allowed,
    }
}

impl ProducerConfigBuilder {
    /// What the strongest layer gives for `key`.
    fn winner(&self, key: &str) -> Option<&Given> {
        [&self.code, &self.environment, &self.file]
            .into_iter()
            .find_map(|layer| layer.get(key))
    }
}

/// Starts from the template called `name` (any case, aliases too): `get_config("prod")`.
///
/// Templates carry no producer group (only `testing` does), so what comes back is a builder to complete.
///
/// # Errors
/// An unknown name, with the choices.
pub fn get_config(name: &str) -> Result<ProducerConfigBuilder, ConfigError> {
    let builder = ProducerConfig::builder().set("template", name);
    match builder.code.get("template") {
        Some(Given {
            text: Err(problem), ..
        }) => Err(problem.clone().into()),
        _ => Ok(builder),
    }
}

/// A configuration from the default template, a producer group, name servers, and settings by key.
///
/// ```
/// let config = rocketmq_producer_config::create_custom_config(
///     "order-service",
///     "10.0.0.1:9876;10.0.0.2:9876",
///     [("retry_times", "3"), ("routing_strategy", "random")],
/// )?;
/// assert_eq!(config.retry_times, 3);
/// # Ok::<(), rocketmq_producer_config::ConfigError>(())
/// ```
///
/// # Errors
/// Every problem in what was given.
pub fn create_custom_config<K: AsRef<str>, V: AsRef<str>>(
    producer_group: &str,
    namesrv_addr: &str,
    overrides: impl IntoIterator<Item = (K, V)>,
) -> Result<ProducerConfig, ConfigError> {
    ProducerConfig::builder()
        .producer_group(producer_group)
        .namesrv_addr(namesrv_addr)
        .set_all(overrides)
        .build()
}
