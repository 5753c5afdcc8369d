//! The ways to choose a queue that need no code of the user's.

use std::{error::Error, fmt, str::FromStr};

/// How a queue is chosen when neither a queue nor a selector is given.
///
/// A message with a sharding key is routed by hash whatever the strategy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RoutingStrategy {
    /// Of two brokers drawn at random the one that is expected to answer sooner.
    LeastLatency,
    /// Of two brokers drawn at random the one with less under way.
    LeastLoad,
    /// By the sharding key, else the first of the message's keys, else at random.
    MessageHash,
    /// A usable queue at random.
    Random,
    /// The usable queues of a topic in turn.
    #[default]
    RoundRobin,
}

impl RoutingStrategy {
    /// Every strategy, in the order of their names.
    pub const ALL: [Self; 5] = [
        Self::LeastLatency,
        Self::LeastLoad,
        Self::MessageHash,
        Self::Random,
        Self::RoundRobin,
    ];

    /// The name in settings and statistics: `least_latency`, `least_load`,
    /// `message_hash`, `random`, `round_robin`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LeastLatency => "least_latency",
            Self::LeastLoad => "least_load",
            Self::MessageHash => "message_hash",
            Self::Random => "random",
            Self::RoundRobin => "round_robin",
        }
    }

    pub(crate) const fn to_bits(self) -> u8 {
        match self {
            Self::MessageHash => 0,
            Self::Random => 1,
            Self::RoundRobin => 2,
            Self::LeastLatency => 3,
            Self::LeastLoad => 4,
        }
    }

    pub(crate) const fn from_bits(bits: u8) -> Self {
        match bits {
            0 => Self::MessageHash,
            1 => Self::Random,
            3 => Self::LeastLatency,
            4 => Self::LeastLoad,
            _ => Self::RoundRobin,
        }
    }
}

impl fmt::Display for RoutingStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no strategy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownStrategy {
    name: String,
}

impl UnknownStrategy {
    /// What was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for UnknownStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown routing strategy {:?}, choose least_latency, least_load, message_hash, random \
             or round_robin",
            self.name
        )
    }
}

impl Error for UnknownStrategy {}

impl FromStr for RoutingStrategy {
    type Err = UnknownStrategy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.trim().to_ascii_lowercase().replace('-', "_");
        Self::ALL
            .into_iter()
            .find(|strategy| strategy.name() == name)
            .ok_or_else(|| UnknownStrategy {
                name: text.to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::RoutingStrategy;

    #[test]
    fn every_strategy_is_read_back_from_its_name() {
        for strategy in RoutingStrategy::ALL {
            assert_eq!(strategy.name().parse(), Ok(strategy));
            assert_eq!(strategy.name().to_uppercase().parse(), Ok(strategy));
            assert_eq!(RoutingStrategy::from_bits(strategy.to_bits()), strategy);
        }
    }

    #[test]
    fn an_unknown_strategy_names_the_choices() {
        let error = "fastest".parse::<RoutingStrategy>().unwrap_err();
        assert_eq!(error.name(), "fastest");
        assert!(error.to_string().contains("round_robin"));
    }
}
