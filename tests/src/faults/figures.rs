//! The figures of one case, out of what became of each message.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rocketmq_producer::{Attempt, Delivery, SendFailure};

use super::load::Sent;

/// Width of the bins in which rates are looked at.
const BIN: Duration = Duration::from_millis(100);
/// The first dial and the JVM's first messages are not what is measured.
const WARM_UP: Duration = Duration::from_secs(2);
/// Bins that make up a look at a broker's share.
const SHARE_BINS: usize = 5;
/// Part of its earlier share from which a broker counts as fully used.
const FULL: f64 = 0.8;
/// Part of its earlier rate of attempts from which a broker counts as avoided.
const AVOIDED: f64 = 0.1;

/// When what was wrong with which broker. Times count from the beginning of the load.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Window {
    /// The bad broker, if the fault is that of one.
    pub broker: Option<String>,
    /// When the fault began.
    pub begun: Duration,
    /// When the fault was lifted: the broker let go on, or started again.
    pub lifted: Duration,
    /// When the broker was registered and answered again, or the fault was over.
    pub back: Duration,
    /// When the producer's own view of the bad broker first changed.
    pub suspected: Option<Duration>,
    /// When the load ended.
    pub end: Duration,
}

/// One message, reduced to what figures need.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Observed {
    /// Its sharding key.
    pub key: Option<u32>,
    /// When `send` was called.
    pub begun: Duration,
    /// When it returned.
    pub ended: Duration,
    /// Where it is stored, or what is known about it.
    pub outcome: Result<Place, Delivery>,
    /// Its attempts, in order.
    pub tries: Vec<Try>,
}

/// Broker and queue.
pub type Place = (String, i32);

/// One attempt.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Try {
    /// The broker's name.
    pub broker: String,
    /// When it began.
    pub begun: Duration,
    /// When it ended.
    pub ended: Duration,
    /// Whether it failed.
    pub failed: bool,
}

impl From<&Sent> for Observed {
    fn from(sent: &Sent) -> Self {
        let attempts: Vec<_> = match &sent.outcome {
            Ok(receipt) => receipt.attempts().collect(),
            Err(error) => error.attempts().iter().collect(),
        };
        // Waiting for a broker's return is listed too, but nothing was tried then.
        let is_wait = |failure: &SendFailure| matches!(failure, SendFailure::BrokerAway { .. });
        let tried = |attempt: &&Attempt| !attempt.failure().is_some_and(is_wait);
        let tries = attempts.into_iter().filter(tried).map(|attempt| {
            let begun = sent.begun + attempt.began_after();
            Try {
                broker: attempt.broker().to_owned(),
                begun,
                ended: begun + attempt.elapsed(),
                failed: attempt.failure().is_some(),
            }
        });
        Self {
            key: sent.key,
            begun: sent.begun,
            ended: sent.ended,
            outcome: match &sent.outcome {
                Ok(receipt) => {
                    let queue = receipt.queue();
                    Ok((queue.broker_name().to_string(), queue.queue_id()))
                }
                Err(error) => Err(error.delivery()),
            },
            tries: tries.collect(),
        }
    }
}

/// The figures of one case.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Figures {
    /// Messages acknowledged.
    pub acked: usize,
    /// Messages that failed: not sent, rejected, unknown.
    pub failed: [usize; 3],
    /// Longest single send.
    pub longest: Duration,
    /// From the first failed attempt, or the producer's own suspicion, until a tenth of the usual attempts go to the
    /// bad broker.
    pub avoided: Option<Duration>,
    /// Attempts at the bad broker after that, while it was bad: probes, and a last resort.
    pub tried_later: usize,
    /// Failed attempts at the bad broker in all.
    pub failed_tries: usize,
    /// Longest time under half the rate.
    pub dip: Duration,
    /// From the broker's return until it has its share again.
    pub recovered: Option<Duration>,
    /// From the broker's return until the next acknowledgement by it.
    pub first_ack: Option<Duration>,
    /// How long after their deadline failed sends ended: 99th percentile and maximum.
    pub late: Option<(Duration, Duration)>,
    /// How long before their deadline the earliest of the failed sends ended.
    pub early: Option<Duration>,
    /// Only with sharding keys.
    pub keyed: Option<Keyed>,
}

/// What became of sharding keys.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Keyed {
    /// Keys of which acknowledged messages are in more than one queue.
    pub moved: usize,
    /// Failed sends of keys that do not belong to the bad broker.
    pub others_failed: usize,
    /// Longest send of those keys.
    pub others_longest: Duration,
    /// Longest time under half their rate.
    pub others_dip: Duration,
}

impl Figures {
    /// Works the figures out.
    #[must_use]
    pub fn of(sent: &[Observed], window: &Window, rate: f64, budget: Duration) -> Self {
        let mut figures = Self::default();
        let mut lateness: Vec<i64> = Vec::new();
        for one in sent {
            match &one.outcome {
                Ok(_) => figures.acked += 1,
                Err(delivery) => {
                    let place = match delivery {
                        Delivery::NotSent => 0,
                        Delivery::Rejected => 1,
                        _ => 2,
                    };
                    figures.failed[place] += 1;
                    let took = one.ended.saturating_sub(one.begun);
                    lateness.push(micros(took) - micros(budget));
                }
            }
            figures.longest = figures.longest.max(one.ended.saturating_sub(one.begun));
        }
        lateness.sort_unstable();
        if let (Some(least), Some(most)) = (lateness.first(), lateness.last()) {
            let rank = (lateness.len() * 99).div_ceil(100) - 1;
            let late = |micros: i64| Duration::from_micros(u64::try_from(micros).unwrap_or(0));
            let p99 = lateness.get(rank).copied().unwrap_or(*most);
            figures.late = Some((late(p99), late(*most)));
            figures.early = Some(late(-least));
        }
        figures.dip = dip(sent, window, rate, |_| true);
        if let Some(broker) = &window.broker {
            figures.avoidance(sent, window, broker);
            figures.recovery(sent, window, broker);
        }
        figures.keyed = keyed(sent, window, rate);
        figures
    }

    fn avoidance(&mut self, sent: &[Observed], window: &Window, broker: &str) {
        let tries = || sent.iter().flat_map(|one| &one.tries);
        let at_it = || tries().filter(|one| one.broker == broker);
        // It may answer before it is seen to be back.
        let answers = at_it().filter(|one| !one.failed && one.begun >= window.lifted);
        let until = answers.map(|one| one.begun).chain([window.back]).min();
        let until = until.unwrap_or(window.back);
        let bad = |at: Duration| at >= window.begun && at < until;
        let failed = || at_it().filter(|one| one.failed && bad(one.ended));
        self.failed_tries = failed().count();
        let first_failed = failed().map(|one| one.ended).min();
        let signs = first_failed.into_iter().chain(window.suspected);
        let Some(sign) = signs.min() else { return };
        let before = |one: &&Try| one.begun >= WARM_UP && one.begun < window.begun;
        let usual = per_bin(
            at_it().filter(before).count(),
            window.begun.saturating_sub(WARM_UP),
        );
        let mut bins = vec![0_usize; bin(window.back) + 1];
        let mut last = vec![Duration::ZERO; bins.len()];
        for one in at_it().filter(|one| one.begun >= sign && bad(one.begun)) {
            let place = bin(one.begun);
            bins[place] += 1;
            last[place] = last[place].max(one.begun);
        }
        let least = (usual * AVOIDED).max(2.0);
        let busy = bins.iter().rposition(|count| *count as f64 >= least);
        let left = busy.map_or(sign, |place| last[place]);
        self.avoided = Some(left.saturating_sub(sign));
        let later = |one: &&Try| one.begun > left && bad(one.begun);
        self.tried_later = at_it().filter(later).count();
    }

    fn recovery(&mut self, sent: &[Observed], window: &Window, broker: &str) {
        let acked = || {
            sent.iter()
                .filter_map(|one| Some((one.ended, &one.outcome.as_ref().ok()?.0)))
        };
        let by_it = |at: &(Duration, &String)| at.1 == broker;
        let first = acked().filter(by_it).map(|(at, _)| at);
        let first = first.filter(|at| *at >= window.back).min();
        self.first_ack = first.map(|at| at - window.back);
        let before = |(at, _): &(Duration, &String)| *at >= WARM_UP && *at < window.begun;
        let all = acked().filter(before).count();
        let its = acked().filter(before).filter(by_it).count();
        if all == 0 || its == 0 {
            return;
        }
        let usual = its as f64 / all as f64;
        let mut bins = vec![(0_usize, 0_usize); bin(window.end) + 1];
        for (at, name) in acked().filter(|(at, _)| *at >= window.back && *at < window.end) {
            let place = &mut bins[bin(at)];
            place.0 += 1;
            place.1 += usize::from(name == broker);
        }
        let begin = bin(window.back);
        let back = (begin..).zip(bins.get(begin..).unwrap_or_default().windows(SHARE_BINS));
        let mut full = back.filter(|(_, bins)| {
            let all: usize = bins.iter().map(|bin| bin.0).sum();
            let its: usize = bins.iter().map(|bin| bin.1).sum();
            all > 0 && its as f64 >= usual * FULL * all as f64
        });
        self.recovered = full.next().map(|(place, _)| {
            // Not before the first acknowledgement that it rests on.
            let begins = BIN * u32::try_from(place).unwrap_or(u32::MAX);
            begins
                .saturating_sub(window.back)
                .max(self.first_ack.unwrap_or_default())
        });
    }

    /// Failed sends in all.
    #[must_use]
    pub fn all_failed(&self) -> usize {
        self.failed.iter().sum()
    }
}

fn keyed(sent: &[Observed], window: &Window, rate: f64) -> Option<Keyed> {
    let mut places: BTreeMap<u32, BTreeSet<&Place>> = BTreeMap::new();
    for one in sent {
        let queues = places.entry(one.key?).or_default();
        queues.extend(&one.outcome);
    }
    let bad = |queues: &BTreeSet<&Place>| {
        let mut brokers = queues.iter().map(|place| &place.0);
        window.broker.is_none() || brokers.any(|name| Some(name) == window.broker.as_ref())
    };
    let others: BTreeSet<u32> = places
        .iter()
        .filter_map(|(key, queues)| (!bad(queues)).then_some(*key))
        .collect();
    let is_other = |one: &Observed| one.key.is_some_and(|key| others.contains(&key));
    let of_others = || sent.iter().filter(|one| is_other(one));
    let share = others.len() as f64 / places.len().max(1) as f64;
    let took = of_others().map(|one| one.ended.saturating_sub(one.begun));
    Some(Keyed {
        moved: places.values().filter(|queues| queues.len() > 1).count(),
        others_failed: of_others().filter(|one| one.outcome.is_err()).count(),
        others_longest: took.max().unwrap_or_default(),
        others_dip: if others.is_empty() {
            Duration::ZERO
        } else {
            dip(sent, window, rate * share, is_other)
        },
    })
}

/// The longest time in which less than half the rate was acknowledged.
fn dip(
    sent: &[Observed],
    window: &Window,
    rate: f64,
    concerns: impl Fn(&Observed) -> bool,
) -> Duration {
    let mut bins = vec![0_usize; bin(window.end) + 1];
    for one in sent
        .iter()
        .filter(|one| one.outcome.is_ok() && concerns(one))
    {
        if let Some(count) = bins.get_mut(bin(one.ended)) {
            *count += 1;
        }
    }
    let half = rate * BIN.as_secs_f64() / 2.0;
    let (mut longest, mut run) = (0_u32, 0_u32);
    // The last bin is not full.
    let whole = bins.len().saturating_sub(1);
    for count in bins.iter().take(whole).skip(bin(WARM_UP)) {
        run = if (*count as f64) < half { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    BIN * longest
}

fn bin(at: Duration) -> usize {
    usize::try_from(at.as_millis() / BIN.as_millis()).unwrap_or(usize::MAX)
}

fn per_bin(count: usize, over: Duration) -> f64 {
    count as f64 / (over.as_secs_f64() / BIN.as_secs_f64()).max(1.0)
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
