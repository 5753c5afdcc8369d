//! How each type of setting is read from text, bounded, and printed.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::duration::{format_duration, parse_duration};
use crate::options::ByteSize;

/// Why a text is refused as a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is not a value, or out of bounds: the reason in words.
    Invalid(String),
}

impl Refusal {
    /// A refusal in words.
    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid(reason.into())
    }
}

/// What a setting's text stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SettingKind {
    /// A whole number.
    Count,
    /// A time with units, such as `3s`.
    Duration,
    /// A number with or without a decimal point, such as `0.5`.
    Ratio,
    /// A number of bytes with or without a unit, such as `4MiB`.
    Size,
    /// `true` or `false`.
    Switch,
    /// Text.
    Text,
}

impl SettingKind {
    /// The unit that a value is counted in, as the reference shows it.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Duration => "time, unit written",
            Self::Ratio => "ratio",
            Self::Size => "bytes",
            Self::Switch => "switch",
            Self::Text => "text",
        }
    }
}

/// A type that settings have. `parse` and `render` are inverse: what is rendered reads back equal.
pub(crate) trait SettingValue: Sized {
    /// What bounds the values of one setting.
    type Limits;
    /// What the text stands for.
    const KIND: SettingKind;
    /// Whether a setting of this type needs a value.
    const REQUIRED: bool = true;

    /// Reads and bounds a value.
    fn parse(text: &str, limits: &Self::Limits) -> Result<Self, Refusal>;

    /// The value as text; `None` for an unset one.
    fn render(&self) -> Option<String>;

    /// Whether this build can do what the value asks for.
    fn check_build(&self) -> Result<(), Refusal> {
        Ok(())
    }

    /// The value in a build that cannot do what it asks for, when nobody gave it.
    fn or_substitute(self) -> Self {
        self
    }

    /// The value as it may be shown; `None` for an unset one.
    fn shown(&self) -> Option<String> {
        self.render()
    }

    /// The value when the setting is given nowhere and has no default; `None` if [`Self::REQUIRED`].
    fn unset() -> Option<Self> {
        None
    }
}

/// Checks a value against its bounds.
fn within<T: PartialOrd>(value: T, limits: &RangeInclusive<T>) -> Result<T, Refusal> {
    if value < *limits.start() {
        Err(Refusal::invalid("less than the least that is allowed"))
    } else if value > *limits.end() {
        Err(Refusal::invalid("more than the most that is allowed"))
    } else {
        Ok(value)
    }
}

impl SettingValue for Duration {
    type Limits = RangeInclusive<Self>;
    const KIND: SettingKind = SettingKind::Duration;

    fn parse(text: &str, limits: &Self::Limits) -> Result<Self, Refusal> {
        let duration = parse_duration(text).map_err(|error| Refusal::invalid(error.to_string()))?;
        within(duration, limits)
    }

    fn render(&self) -> Option<String> {
        Some(format_duration(*self))
    }
}

impl SettingValue for ByteSize {
    type Limits = RangeInclusive<Self>;
    const KIND: SettingKind = SettingKind::Size;

    fn parse(text: &str, limits: &Self::Limits) -> Result<Self, Refusal> {
        let size = text.parse::<Self>().map_err(|_| {
            Refusal::invalid(
                "not a size: a whole number with or without B, KiB or MiB, such as \"4MiB\"",
            )
        })?;
        within(size, limits)
    }

    fn render(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl SettingValue for u32 {
    type Limits = RangeInclusive<Self>;
    const KIND: SettingKind = SettingKind::Count;

    fn parse(text: &str, limits: &Self::Limits) -> Result<Self, Refusal> {
        let text = text.trim();
        match text.parse::<Self>() {
            Ok(count) => within(count, limits),
            Err(error) if *error.kind() == std::num::IntErrorKind::PosOverflow => {
                Err(Refusal::invalid("more than the most that is allowed"))
            }
            Err(_) => Err(Refusal::invalid("not a whole number")),
        }
    }

    fn render(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl SettingValue for f64 {
    type Limits = RangeInclusive<Self>;
    const KIND: SettingKind = SettingKind::Ratio;

    fn parse(text: &str, limits: &Self::Limits) -> Result<Self, Refusal> {
        match text.trim().parse::<Self>() {
            Ok(ratio) if ratio.is_nan() => Err(Refusal::invalid("not a number")),
            Ok(ratio) => within(ratio, limits),
            Err(_) => Err(Refusal::invalid("not a number, such as \"0.5\"")),
        }
    }

    fn render(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// `off` stands for none.
impl SettingValue for Option<Duration> {
    type Limits = RangeInclusive<Duration>;
    const KIND: SettingKind = SettingKind::Duration;
    const REQUIRED: bool = false;

    fn parse(text: &str, limits: &Self::Limits) -> Result<Self, Refusal> {
        if text.trim().eq_ignore_ascii_case("off") {
            return Ok(None);
        }
        Duration::parse(text, limits).map(Some)
    }

    fn render(&self) -> Option<String> {
        Some(self.map_or_else(|| "off".to_owned(), format_duration))
    }

    fn unset() -> Option<Self> {
        Some(None)
    }
}

impl SettingValue for bool {
    type Limits = ();
    const KIND: SettingKind = SettingKind::Switch;

    fn parse(text: &str, _limits: &()) -> Result<Self, Refusal> {
        let text = text.trim();
        if ["true", "1", "yes", "on"]
            .iter()
            .any(|word| word.eq_ignore_ascii_case(text))
        {
            Ok(true)
        } else if ["false", "0", "no", "off"]
            .iter()
            .any(|word| word.eq_ignore_ascii_case(text))
        {
            Ok(false)
        } else {
            Err(Refusal::invalid("neither true nor false"))
        }
    }

    fn render(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// Text under a rule of its own.
pub(crate) type TextRule = fn(&str) -> Result<(), Refusal>;

impl SettingValue for String {
    type Limits = TextRule;
    const KIND: SettingKind = SettingKind::Text;

    fn parse(text: &str, rule: &TextRule) -> Result<Self, Refusal> {
        rule(text).map(|()| text.to_owned())
    }

    fn render(&self) -> Option<String> {
        Some(self.clone())
    }
}

impl SettingValue for Option<String> {
    type Limits = TextRule;
    const KIND: SettingKind = SettingKind::Text;
    const REQUIRED: bool = false;

    fn parse(text: &str, rule: &TextRule) -> Result<Self, Refusal> {
        rule(text).map(|()| Some(text.to_owned()))
    }

    fn render(&self) -> Option<String> {
        self.clone()
    }

    fn unset() -> Option<Self> {
        Some(None)
    }
}

/// A setting that takes one of a few names, in any case.
pub(crate) trait Choice: Copy + PartialEq + 'static {
    /// The names, each with its value; the first name of a value is the one printed.
    const NAMES: &'static [(&'static str, Self)];

    /// The cargo feature that this choice needs, if this build lacks it.
    fn missing_feature(self) -> Option<&'static str> {
        None
    }

    /// What stands for it where its feature is missing and nobody asked for it.
    fn without_feature(self) -> Self {
        self
    }
}

impl<T: Choice> SettingValue for T {
    type Limits = ();
    const KIND: SettingKind = SettingKind::Text;

    fn parse(text: &str, _limits: &()) -> Result<Self, Refusal> {
        let text = text.trim();
        if let Some((_, value)) = T::NAMES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text))
        {
            return Ok(*value);
        }
        let nearest = crate::suggest::nearest(text, T::NAMES.iter().map(|(name, _)| *name));
        Err(Refusal::invalid(match nearest {
            Some(name) => format!("not one of the choices, did you mean {name}?"),
            None => "not one of the choices".to_owned(),
        }))
    }

    fn render(&self) -> Option<String> {
        T::NAMES
            .iter()
            .find(|(_, value)| value == self)
            .map(|(name, _)| (*name).to_owned())
    }

    fn check_build(&self) -> Result<(), Refusal> {
        let Some(feature) = self.missing_feature() else {
            return Ok(());
        };
        Err(Refusal::invalid(format!(
            "not in this build, which lacks the cargo feature {feature:?}"
        )))
    }

    fn or_substitute(self) -> Self {
        if self.missing_feature().is_some() {
            self.without_feature()
        } else {
            self
        }
    }
}

/// A value that a caller hands to a setter, as the text that the one reader of settings takes.
pub(crate) trait IntoText {
    /// The text; empty when there is none, which every reader refuses.
    fn into_text(self) -> String;
}

impl<T: SettingValue> IntoText for T {
    fn into_text(self) -> String {
        self.render().unwrap_or_default()
    }
}

impl IntoText for &str {
    fn into_text(self) -> String {
        self.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trips<T: SettingValue + PartialEq + std::fmt::Debug>(value: &T, limits: &T::Limits) {
        let text = value.render().expect("a set value");
        assert_eq!(T::parse(&text, limits).as_ref(), Ok(value), "{text}");
    }

    proptest! {
        #[test]
        fn printed_values_read_back_equal(seconds in any::<u64>(), nanos in 0u32..1_000_000_000, bytes in any::<u64>(), count in any::<u32>(), switch in any::<bool>(), ratio in 0.0..=1.0f64) {
            round_trips(&Duration::new(seconds, nanos), &(Duration::ZERO..=Duration::MAX));
            round_trips(&ByteSize::bytes(bytes), &(ByteSize::bytes(0)..=ByteSize::bytes(u64::MAX)));
            round_trips(&ByteSize::kib(bytes >> 12), &(ByteSize::bytes(0)..=ByteSize::bytes(u64::MAX)));
            round_trips(&count, &(0..=u32::MAX));
            round_trips(&switch, &());
            round_trips(&ratio, &(0.0..=1.0));
            round_trips(&Some(Duration::new(seconds, nanos)), &(Duration::ZERO..=Duration::MAX));
            round_trips(&None::<Duration>, &(Duration::ZERO..=Duration::MAX));
        }
    }

    #[test]
    fn every_choice_reads_back_equal() {
        fn check<T: Choice + std::fmt::Debug>() {
            for (_, value) in T::NAMES {
                round_trips(value, &());
            }
        }
        check::<crate::Template>();
        check::<crate::options::RoutingStrategy>();
        check::<crate::options::HeaderEncoding>();
        check::<Option<crate::options::CompressionType>>();
        check::<crate::delivery::DeliveryGuarantee>();
        check::<crate::delivery::BatchSplit>();
        check::<crate::delivery::Ordered>();
        check::<crate::delivery::OrderedOnUnknown>();
        check::<crate::delivery::WeakHalf>();
    }

    #[test]
    fn switches_take_the_usual_words() {
        for (text, expected) in [
            ("true", true),
            ("TRUE", true),
            ("1", true),
            ("on", true),
            ("no", false),
            ("Off", false),
            ("0", false),
        ] {
            assert_eq!(bool::parse(text, &()), Ok(expected), "{text}");
        }
        assert!(bool::parse("", &()).is_err());
        assert!(bool::parse("2", &()).is_err());
    }
}
