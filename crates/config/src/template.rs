//! The templates: named sets of defaults for common uses.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::suggest::nearest;
use crate::value::Choice;

/// A named set of defaults; every other layer overrides it.
///
/// What each one sets is in [`Template::overrides`]; all else is [`Template::Default`]'s. Health-aware routing
/// (`send_latency_enable`) is on in all of them but [`Template::Testing`]: it keeps sends away from a broker that has
/// just failed, which every real use wants, while a test wants an even, predictable spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Template {
    /// The starting point: 3 s, two retries.
    #[default]
    Default,
    /// For a developer's machine: patient, few retries, debug logging.
    Development,
    /// For throughput: short budget, one retry, many sends under way in batches, random queues.
    HighPerformance,
    /// For messages whose order matters: one at a time per key, many retries, queues chosen by hash.
    OrderSequenced,
    /// For services: three retries, another broker when a replica or disk was late.
    Production,
    /// For tests: patient, no retries, group `TEST_PRODUCER`, queues in strict turn.
    Testing,
}

impl Choice for Template {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("default", Self::Default),
        ("development", Self::Development),
        ("dev", Self::Development),
        ("high_performance", Self::HighPerformance),
        ("high-performance", Self::HighPerformance),
        ("high_perf", Self::HighPerformance),
        ("high-perf", Self::HighPerformance),
        ("order_sequenced", Self::OrderSequenced),
        ("order-sequenced", Self::OrderSequenced),
        ("ordered", Self::OrderSequenced),
        ("production", Self::Production),
        ("prod", Self::Production),
        ("testing", Self::Testing),
        ("test", Self::Testing),
    ];
}

impl Template {
    /// All templates, by name.
    pub const ALL: [Self; 6] = [
        Self::Default,
        Self::Development,
        Self::HighPerformance,
        Self::OrderSequenced,
        Self::Production,
        Self::Testing,
    ];

    /// The template's name, as [`FromStr`] takes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Development => "development",
            Self::HighPerformance => "high_performance",
            Self::OrderSequenced => "order_sequenced",
            Self::Production => "production",
            Self::Testing => "testing",
        }
    }

    /// Other names that [`FromStr`] takes for it.
    pub fn aliases(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .iter()
            .filter(move |(name, template)| *template == self && *name != self.name())
            .map(|(name, _)| *name)
    }

    /// The settings in which the template differs from the default, as key and text.
    #[must_use]
    pub fn overrides(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Default => &[],
            Self::Development => &[
                ("send_msg_timeout", "5s"),
                ("retry_times", "1"),
                ("batch_size", "16"),
                ("debug_enabled", "true"),
                ("trace_message", "true"),
            ],
            Self::HighPerformance => &[
                ("send_msg_timeout", "1s"),
                ("retry_times", "1"),
                ("max_message_size", "2 MiB"),
                ("compress_msg_body_over_howmuch", "1 MiB"),
                ("async_send_semaphore", "50000"),
                ("auto_batch", "true"),
                ("batch_size", "64"),
                ("routing_strategy", "random"),
            ],
            Self::OrderSequenced => &[
                ("send_msg_timeout", "5s"),
                ("retry_times", "5"),
                ("ordered", "key"),
                ("batch_size", "1"),
                ("retry_another_broker_when_not_store_ok", "true"),
                ("routing_strategy", "message_hash"),
                ("trace_message", "true"),
            ],
            Self::Production => &[
                ("retry_times", "3"),
                ("retry_another_broker_when_not_store_ok", "true"),
            ],
            Self::Testing => &[
                ("producer_group", "TEST_PRODUCER"),
                ("send_msg_timeout", "10s"),
                ("retry_times", "0"),
                ("batch_size", "8"),
                ("send_latency_enable", "false"),
                ("debug_enabled", "true"),
                ("trace_message", "true"),
            ],
        }
    }

    /// The template's own text for `key`, if it differs from the default.
    pub(crate) fn value_of(self, key: &str) -> Option<&'static str> {
        self.overrides()
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, text)| *text)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The list of names as errors and documentation show it.
pub(crate) const CHOICES: &str = "default, development (dev), high_performance (high-perf), order_sequenced (ordered), \
     production (prod), testing (test)";

/// No template has this name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown template {name:?}{}; the templates are {CHOICES}", hint(.nearest))]
#[non_exhaustive]
pub struct UnknownTemplate {
    /// The name as given.
    pub name: String,
    /// The name that was probably meant.
    pub nearest: Option<&'static str>,
}

/// The suggestion's words, or none.
fn hint(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!(", did you mean {nearest}?"))
}

impl FromStr for Template {
    type Err = UnknownTemplate;

    /// Takes a name or an alias in any case.
    fn from_str(text: &str) -> Result<Self, UnknownTemplate> {
        let trimmed = text.trim();
        Self::NAMES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(trimmed))
            .map(|(_, template)| *template)
            .ok_or_else(|| UnknownTemplate {
                name: text.to_owned(),
                nearest: nearest(trimmed, Self::NAMES.iter().map(|(name, _)| *name)),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_aliases_are_read_in_any_case() {
        for (text, expected) in [
            ("default", Template::Default),
            ("DEFAULT", Template::Default),
            ("development", Template::Development),
            ("Dev", Template::Development),
            ("production", Template::Production),
            ("prod", Template::Production),
            ("HIGH_PERFORMANCE", Template::HighPerformance),
            ("high-perf", Template::HighPerformance),
            ("testing", Template::Testing),
            ("TEST", Template::Testing),
            ("ORDER_SEQUENCED", Template::OrderSequenced),
            ("ordered", Template::OrderSequenced),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn every_name_and_alias_leads_back_to_its_template() {
        for template in Template::ALL {
            assert_eq!(template.name().parse(), Ok(template));
            assert!(CHOICES.contains(template.name()), "{template}");
            for alias in template.aliases() {
                assert_eq!(alias.parse(), Ok(template), "{alias}");
            }
        }
    }

    #[test]
    fn an_unknown_name_is_an_error_with_the_choices() {
        let error = "produktion"
            .parse::<Template>()
            .expect_err("no such template");
        assert_eq!(
            error.to_string(),
            "unknown template \"produktion\", did you mean production?; the templates are default, development (dev), \
             high_performance (high-perf), order_sequenced (ordered), production (prod), testing (test)"
        );
    }
}
