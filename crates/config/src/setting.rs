//! One setting as data: what the file and environment readers, error messages and the reference are made from.

use crate::source::HIDDEN;
use crate::value::{Refusal, SettingKind};

/// Prefix of the environment variables; the rest is the key in upper case.
pub const ENVIRONMENT_PREFIX: &str = "ROCKETMQ_PRODUCER_";
/// Prefix of the variables of pyrocketmq, read as aliases; the rest is the key in upper case.
pub const OLD_ENVIRONMENT_PREFIX: &str = "PYROCKETMQ_";

/// One setting: its names, its default, what it takes.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Setting {
    /// The key in files and in `set`.
    pub key: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// What the value's text stands for.
    pub kind: SettingKind,
    /// The default of [`Template::Default`](crate::Template::Default), as text; `None` if there is none.
    pub default: Option<&'static str>,
    /// The default as the reference shows it.
    pub default_doc: &'static str,
    /// What it takes, with the bounds.
    pub allowed: &'static str,
    /// Java's name of it, if Java has it.
    pub java_name: Option<&'static str>,
    /// Whether pyrocketmq has it, under the same key.
    pub(crate) old: bool,
    /// Whether a configuration without it is refused.
    pub required: bool,
    /// Whether its value is hidden wherever settings are shown.
    pub secret: bool,
    /// Reads and bounds a text and gives it back in its printed form.
    pub(crate) check: fn(&str) -> Result<String, Refusal>,
}

impl Setting {
    /// The environment variable that sets it.
    #[must_use]
    pub fn env_name(&self) -> String {
        format!("{ENVIRONMENT_PREFIX}{}", self.key.to_ascii_uppercase())
    }

    /// The variable that set it for pyrocketmq (durations there are milliseconds), if it had it.
    #[must_use]
    pub fn old_env_name(&self) -> Option<String> {
        self.old
            .then(|| format!("{OLD_ENVIRONMENT_PREFIX}{}", self.key.to_ascii_uppercase()))
    }

    /// A value as errors may show it.
    pub(crate) fn shown(&self, text: &str) -> String {
        if self.secret {
            HIDDEN.to_owned()
        } else {
            text.to_owned()
        }
    }
}
