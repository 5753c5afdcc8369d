//! What goes wrong when: drawn from a seed, so that it can be drawn again.

use std::fmt;
use std::time::Duration;

use crate::fuzz::random::Random;

/// What things happen to. Each has its own sequence of mishaps; those of different lanes overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lane {
    /// A broker, counted from 0.
    Broker(usize),
    /// All name servers.
    NameServers,
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broker(index) => write!(f, "broker {index}"),
            Self::NameServers => f.write_str("name servers"),
        }
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Sends are answered with `SYSTEM_BUSY`.
    Busy,
    /// Some connections are reset: before a request is carried out, after it, or amid traffic.
    Cut,
    /// Some answers are followed by themselves, or by answers that nobody asked for; behind a proxy only half of them
    /// comes.
    Echo,
    /// Some answers are random bytes.
    Garble,
    /// Sends are answered with `GO_AWAY`.
    GoAway,
    /// What is sent is lost without a word.
    HalfOpen,
    /// Killed and started again.
    Kill,
    /// Ended in good order and started again.
    Shutdown,
    /// Answers come late.
    Slow,
    /// Stopped, and let go on.
    Stop,
    /// Some answers are lost.
    Swallow,
    /// Sends are answered with `SERVICE_NOT_AVAILABLE`.
    Unavailable,
    /// Dead, but the name servers do not notice.
    Vanish,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mishap {
    /// When the one before it is over, so long nothing happens.
    pub pause: Duration,
    /// What happens.
    pub kind: Kind,
    /// How long.
    pub lasts: Duration,
}

impl fmt::Display for Mishap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pause, kind, lasts } = self;
        write!(
            f,
            "+{:.1} s {kind:?} {:.1} s",
            pause.as_secs_f64(),
            lasts.as_secs_f64()
        )
    }
}

/// The mishaps of one lane in one round: as many as fit into `length`, calm at the beginning.
#[must_use]
pub fn draw(seed: u64, round: u64, lane: Lane, kinds: &[Kind], length: Duration) -> Vec<Mishap> {
    let number = match lane {
        Lane::NameServers => 0,
        Lane::Broker(index) => u64::try_from(index).unwrap_or(0) + 1,
    };
    let mut random = Random::of_input("soak", seed, round * 64 + number);
    let mut between = |least: u64, most: u64| {
        let spread = usize::try_from(most - least).unwrap_or(0);
        least + u64::try_from(random.below(spread)).unwrap_or(0)
    };
    let (pauses, lengths) = match lane {
        Lane::Broker(_) => ((300, 2_500), (200, 3_500)),
        Lane::NameServers => ((1_000, 6_000), (500, 5_000)),
    };
    let (mut mishaps, mut time) = (Vec::new(), Duration::ZERO);
    while !kinds.is_empty() {
        let pause = Duration::from_millis(between(pauses.0, pauses.1));
        let lasts = Duration::from_millis(between(lengths.0, lengths.1));
        let place = between(0, u64::try_from(kinds.len()).unwrap_or(1));
        time += pause + lasts;
        let kind = usize::try_from(place)
            .ok()
            .and_then(|place| kinds.get(place));
        let Some(kind) = kind.copied().filter(|_| time < length) else {
            break;
        };
        mishaps.push(Mishap { pause, kind, lasts });
    }
    mishaps
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 3] = [Kind::Busy, Kind::Kill, Kind::Stop];
    const LENGTH: Duration = Duration::from_secs(60);

    #[test]
    fn a_schedule_is_the_same_for_its_seed_and_another_for_others() {
        let drawn = |seed, round, lane| draw(seed, round, lane, &KINDS, LENGTH);
        let one = drawn(1, 0, Lane::Broker(0));
        assert!(one.len() > 3);
        assert_eq!(one, drawn(1, 0, Lane::Broker(0)));
        assert_ne!(one, drawn(2, 0, Lane::Broker(0)));
        assert_ne!(one, drawn(1, 1, Lane::Broker(0)));
        assert_ne!(one, drawn(1, 0, Lane::Broker(1)));
        let took: Duration = one.iter().map(|m| m.pause + m.lasts).sum();
        assert!(took < LENGTH);
    }

    #[test]
    fn every_kind_has_its_turn() {
        let all: Vec<Kind> = (0..20)
            .flat_map(|seed| draw(seed, 0, Lane::Broker(0), &KINDS, LENGTH))
            .map(|mishap| mishap.kind)
            .collect();
        assert!(KINDS.iter().all(|kind| all.contains(kind)), "{all:?}");
    }
}
