//! The targets of the project, each beside the figure that the bench measured for it.

use super::sample::{Cell, Client, Run, Samples, Spread, Work};
use super::targets::Kind;

/// One target and its figure.
#[derive(Debug)]
pub(super) struct Goal {
    pub(super) what: String,
    /// How the aim is written: `at most 0.1` and the like.
    pub(super) aim: Aim,
    pub(super) measured: Spread,
    pub(super) unit: &'static str,
    /// If it says something about the peers: what the figure is for the floor.
    pub(super) floor: Option<Spread>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Aim {
    AtMost(f64),
    AtLeast(f64),
    /// No aim, only a figure.
    Shown,
}

impl Aim {
    pub(super) fn show(self, unit: &str) -> String {
        match self {
            Self::AtMost(aim) => format!("≤ {aim}{unit}"),
            Self::AtLeast(aim) => format!("≥ {aim}{unit}"),
            Self::Shown => "–".to_owned(),
        }
    }

    pub(super) fn reached_by(self, figure: &Spread) -> Option<Reached> {
        let (median, low, high) = (figure.median()?, figure.low()?, figure.high()?);
        let (by_median, by_interval) = match self {
            Self::AtMost(aim) => (median <= aim, low <= aim),
            Self::AtLeast(aim) => (median >= aim, high >= aim),
            Self::Shown => (true, true),
        };
        Some(match (by_median, by_interval) {
            (true, _) => Reached::ByMedian,
            (false, true) => Reached::ByInterval,
            (false, false) => Reached::Never,
        })
    }
}

impl Goal {
    /// A target is met when the interval over the rounds reaches it; whether its median does is said as well.
    pub(super) fn verdict(&self, enough_peers: bool) -> &'static str {
        if self.floor.is_some() && !enough_peers {
            return "no claim: fewer than two peers ran";
        }
        if self.aim == Aim::Shown {
            return "–";
        }
        let Some(reached) = self.aim.reached_by(&self.measured) else {
            return NOT_MEASURED;
        };
        let floor = self.floor.as_ref();
        match (reached, floor.and_then(|floor| self.aim.reached_by(floor))) {
            (Reached::Never, Some(Reached::Never)) => "**missed**, by the floor too",
            (reached, _) => reached.verdict(),
        }
    }
}

pub(super) const NOT_MEASURED: &str = "not measured";

/// How far the rounds reach an aim.
pub(super) enum Reached {
    ByMedian,
    ByInterval,
    Never,
}

impl Reached {
    pub(super) const fn verdict(self) -> &'static str {
        match self {
            Self::ByMedian => "met",
            Self::ByInterval => "met by the interval, not by the median",
            Self::Never => "**missed**",
        }
    }
}

/// Looks up figures of one body on one target.
struct Scope<'a> {
    samples: &'a Samples,
    target: &'a str,
    body: u32,
    peers: &'a [Client],
}

impl Scope<'_> {
    fn run(&self, round: usize, work: Work, in_flight: u32, client: Client) -> Option<&Run> {
        let cell = Cell {
            target: self.target.to_owned(),
            body: self.body,
            work,
            in_flight,
        };
        self.samples.get(round, &cell, client)
    }

    /// The best of the peers in a round: the lowest, or the highest.
    fn best(
        &self,
        round: usize,
        work: Work,
        in_flight: u32,
        field: fn(&Run) -> f64,
        lowest: bool,
    ) -> Option<f64> {
        let values = self.peers.iter().filter_map(|peer| {
            let run = self.run(round, work, in_flight, *peer)?;
            // Who loses messages sets no mark.
            (run.failed * 100 <= run.count * 2).then(|| field(run))
        });
        if lowest {
            values.min_by(f64::total_cmp)
        } else {
            values.max_by(f64::total_cmp)
        }
    }

    /// Ours over the best peer's, round by round, and the floor's.
    fn over_best(
        &self,
        work: Work,
        in_flight: u32,
        field: fn(&Run) -> f64,
        lowest: bool,
    ) -> OverBest {
        let of = |client| {
            self.samples.over_rounds(|round| {
                let figure = field(self.run(round, work, in_flight, client)?);
                Some(figure / self.best(round, work, in_flight, field, lowest)?)
            })
        };
        OverBest {
            ours: of(Client::Ours),
            floor: of(Client::Floor),
        }
    }

    /// Some function of ours and the floor's, round by round.
    fn with_floor(&self, work: Work, in_flight: u32, figure: impl Fn(&Run, &Run) -> f64) -> Spread {
        self.samples.over_rounds(|round| {
            let ours = self.run(round, work, in_flight, Client::Ours)?;
            Some(figure(
                ours,
                self.run(round, work, in_flight, Client::Floor)?,
            ))
        })
    }

    fn ours(&self, work: Work, in_flight: u32, figure: impl Fn(&Run) -> Option<f64>) -> Spread {
        self.samples
            .over_rounds(|round| figure(self.run(round, work, in_flight, Client::Ours)?))
    }

    fn auto_over_single(&self, in_flight: u32, field: fn(&Run) -> f64) -> Spread {
        self.samples.over_rounds(|round| {
            let auto = self.run(round, Work::Auto, in_flight, Client::Ours)?;
            let single = self.run(round, Work::Single, in_flight, Client::Ours)?;
            Some(field(auto) / field(single))
        })
    }
}

/// Figures over the best peer's.
struct OverBest {
    ours: Spread,
    floor: Spread,
}

const RATE: fn(&Run) -> f64 = |run| run.msgs_per_s;
const CPU: fn(&Run) -> f64 = |run| run.cpu_us_per_msg;
const P50: fn(&Run) -> f64 = |run| run.p50_us;
const P999: fn(&Run) -> f64 = |run| run.p999_us;

/// Every target that the samples say something about.
pub(super) fn goals(
    samples: &Samples,
    targets: &[(String, Kind)],
    bodies: &[u32],
    peers: &[Client],
) -> Vec<Goal> {
    let mut goals = Vec::new();
    for (target, kind) in targets {
        for &body in bodies {
            let scope = Scope {
                samples,
                target,
                body,
                peers,
            };
            let place = format!("{target}, {body} B");
            singles(&scope, *kind, &place, &mut goals);
            one_at_a_time(&scope, &place, &mut goals);
            batches(&scope, *kind, &place, &mut goals);
            if *kind == Kind::Null && body == 256 {
                start_and_memory(&scope, &place, &mut goals);
            }
        }
        tails(samples, target, peers, &mut goals);
    }
    goals
}

fn add(goals: &mut Vec<Goal>, what: String, aim: Aim, unit: &'static str, measured: Spread) {
    push(goals, what, aim, unit, measured, None);
}

/// A figure over the best peer's.
fn add_over_best(goals: &mut Vec<Goal>, what: String, aim: Aim, over_best: OverBest) {
    let OverBest { ours, floor } = over_best;
    push(goals, what, aim, " ×", ours, Some(floor));
}

/// Leaves out what was not measured.
fn push(
    goals: &mut Vec<Goal>,
    what: String,
    aim: Aim,
    unit: &'static str,
    measured: Spread,
    floor: Option<Spread>,
) {
    if measured.median().is_some() {
        goals.push(Goal {
            what,
            aim,
            measured,
            unit,
            floor,
        });
    }
}

fn singles(scope: &Scope<'_>, kind: Kind, place: &str, goals: &mut Vec<Goal>) {
    for in_flight in [64, 1024] {
        let what = |figure: &str| format!("{place}, {in_flight} in flight: {figure}");
        let cpu = scope.over_best(Work::Single, in_flight, CPU, true);
        let rate = scope.over_best(Work::Single, in_flight, RATE, false);
        match kind {
            Kind::Null => {
                let text = what("CPU per message over the best peer's");
                add_over_best(goals, text, Aim::AtMost(0.1), cpu);
                let text = what("throughput over the best peer's");
                add_over_best(goals, text, Aim::AtLeast(8.0), rate);
            }
            Kind::Real => {
                let text = what("CPU per message over the best peer's");
                add_over_best(goals, text, Aim::Shown, cpu);
                let text = what("throughput over the best peer's");
                add_over_best(goals, text, Aim::AtLeast(2.0), rate);
                let of_floor = scope.with_floor(Work::Single, in_flight, |ours, floor| {
                    ours.msgs_per_s / floor.msgs_per_s
                });
                let text = what("throughput over the floor's");
                add(goals, text, Aim::AtLeast(0.95), " ×", of_floor);
                let above = scope.with_floor(Work::Single, in_flight, |ours, floor| {
                    ours.cpu_us_per_msg - floor.cpu_us_per_msg
                });
                let text = what("CPU per message above the floor's");
                add(goals, text, Aim::AtMost(2.0), " µs", above);
            }
        }
    }
}

fn one_at_a_time(scope: &Scope<'_>, place: &str, goals: &mut Vec<Goal>) {
    let what = |figure: &str| format!("{place}, one at a time: {figure}");
    let p50 = scope.with_floor(Work::Single, 1, |ours, floor| ours.p50_us / floor.p50_us);
    add(
        goals,
        what("median over the floor's"),
        Aim::AtMost(1.1),
        " ×",
        p50,
    );
    let cpu = scope.with_floor(Work::Single, 1, |ours, floor| {
        ours.cpu_us_per_msg / floor.cpu_us_per_msg
    });
    let text = what("CPU per message over the floor's");
    add(goals, text, Aim::AtMost(1.5), " ×", cpu);
    let p999 = scope.over_best(Work::Single, 1, P999, true);
    let text = what("p99.9 over the best peer's");
    add_over_best(goals, text, Aim::AtMost(1.0), p999);
    let auto = scope.auto_over_single(1, P50);
    let text = what("median with automatic batches over that without");
    add(goals, text, Aim::AtMost(1.05), " ×", auto);
}

fn batches(scope: &Scope<'_>, kind: Kind, place: &str, goals: &mut Vec<Goal>) {
    let what = |figure: &str| format!("{place}, batches of 32: {figure}");
    let cpu = scope.over_best(Work::Batch, 1024, CPU, true);
    let text = what("CPU per message over the best peer's");
    add_over_best(goals, text, Aim::AtMost(0.25), cpu);
    let rate = scope.with_floor(Work::Batch, 1024, |ours, floor| {
        ours.msgs_per_s / floor.msgs_per_s
    });
    let aim = match kind {
        Kind::Real => Aim::AtLeast(0.9),
        Kind::Null => Aim::Shown,
    };
    add(goals, what("throughput over the floor's"), aim, " ×", rate);
    for in_flight in [64, 1024] {
        let gain = scope.auto_over_single(in_flight, RATE);
        let aim = match (kind, in_flight) {
            (Kind::Real, 1024) => Aim::AtLeast(3.0),
            _ => Aim::Shown,
        };
        let text = format!(
            "{place}, {in_flight} in flight: throughput with automatic batches over that without"
        );
        add(goals, text, aim, " ×", gain);
    }
}

fn start_and_memory(scope: &Scope<'_>, place: &str, goals: &mut Vec<Goal>) {
    let first = scope.ours(Work::Single, 64, |run| run.first_ack_ms);
    let text = format!("{place}: from `main` to the first acknowledgement");
    add(goals, text, Aim::AtMost(5.0), " ms", first);
    let memory = scope.ours(Work::Single, 1024, |run| run.rss_mib);
    let text = format!("{place}, 1024 in flight: resident memory");
    add(goals, text, Aim::AtMost(12.0), " MiB", memory);
}

fn tails(samples: &Samples, target: &str, peers: &[Client], goals: &mut Vec<Goal>) {
    for &peer in peers {
        let ours = samples.over_rounds(|round| {
            let ours = samples.tail(round, target, Client::Ours, peer)?;
            Some(ours.p999_us / samples.tail(round, target, peer, peer)?.p999_us)
        });
        // The floor has no open loop.
        let floor = Spread::of(Vec::new());
        let text = format!(
            "{target}, 256 B, open loop at half the maximum of {}: p99.9 over its",
            peer.name()
        );
        add_over_best(goals, text, Aim::AtMost(1.0), OverBest { ours, floor });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goal(aim: Aim, values: &[f64]) -> Goal {
        beside(aim, values, &[])
    }

    fn beside(aim: Aim, values: &[f64], floor: &[f64]) -> Goal {
        Goal {
            what: String::new(),
            aim,
            measured: Spread::of(values.to_vec()),
            unit: "",
            floor: Some(Spread::of(floor.to_vec())),
        }
    }

    #[test]
    fn a_target_is_met_when_the_interval_reaches_it() {
        let at_most = |values: &[f64]| goal(Aim::AtMost(0.1), values).verdict(true);
        assert_eq!(at_most(&[0.09, 0.1, 0.2]), "met");
        assert!(at_most(&[0.09, 0.11, 0.2]).starts_with("met by the interval"));
        assert_eq!(at_most(&[0.11, 0.12, 0.2]), "**missed**");
        assert_eq!(
            goal(Aim::AtLeast(8.0), &[7.0, 9.0, 9.5]).verdict(true),
            "met"
        );
        assert_eq!(at_most(&[]), "not measured");
    }

    #[test]
    fn a_miss_says_whether_the_floor_misses_too() {
        let verdict = |floor: &[f64]| beside(Aim::AtLeast(2.0), &[1.5], floor).verdict(true);
        assert_eq!(verdict(&[1.7, 1.8, 1.9]), "**missed**, by the floor too");
        assert_eq!(verdict(&[1.7, 1.8, 2.1]), "**missed**");
        assert_eq!(verdict(&[]), "**missed**");
    }

    #[test]
    fn nothing_is_claimed_against_one_peer_alone() {
        let verdict = goal(Aim::AtMost(0.1), &[0.01]).verdict(false);
        assert!(verdict.starts_with("no claim"), "{verdict}");
    }
}
