//! Runs a target over the inputs of a seed.

use std::cell::RefCell;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::time::Duration;

use tokio::time::Instant;

use super::bytes::to_hex;
use super::mutate::Mutator;
use super::{Target, Verdict};

/// Inputs between two looks at the clock.
const ROUND: u64 = 1024;
/// Inputs that a failing one is shortened with, at most.
const SHORTENINGS: usize = 20_000;

/// How much to feed.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "arguments of a test program")]
pub struct Plan {
    /// What the inputs are made from, beside the target.
    pub seed: u64,
    /// The first input.
    pub start: u64,
    /// How many inputs.
    pub iterations: u64,
    /// Stop after this time, if that is sooner.
    pub time: Option<Duration>,
}

/// What came of a run without failure.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Report {
    /// Inputs fed.
    pub inputs: u64,
    /// Inputs that the decoder took.
    pub accepted: u64,
    /// The time it took.
    pub elapsed: Duration,
    /// The longest time that one input took, making it included.
    pub slowest: Duration,
    /// The number of that input.
    pub slowest_iteration: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        write!(
            f,
            "{} inputs, {} accepted, {seconds:.1} s, {:.0} inputs/s, slowest {:.1} ms (iteration {})",
            self.inputs,
            self.accepted,
            self.inputs as f64 / seconds.max(1e-9),
            self.slowest.as_secs_f64() * 1e3,
            self.slowest_iteration,
        )
    }
}

/// An input for which something does not hold.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The target's name.
    pub target: &'static str,
    /// Seed of the run.
    pub seed: u64,
    /// Number of the input.
    pub iteration: u64,
    /// The input.
    pub input: Vec<u8>,
    /// A shorter one that fails too, though perhaps otherwise.
    pub shortened: Vec<u8>,
    /// What the panic said, and where.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (target, seed, iteration) = (self.target, self.seed, self.iteration);
        writeln!(f, "{target}: {}", self.message)?;
        writeln!(f, "  seed {seed}, iteration {iteration}")?;
        writeln!(f, "  input     {}", to_hex(&self.input))?;
        writeln!(f, "  shortened {}", to_hex(&self.shortened))?;
        write!(
            f,
            "  again: fuzz {target} --seed {seed} --start {iteration} --iterations 1"
        )
    }
}

impl std::error::Error for Failure {}

/// Feeds the inputs of a plan.
///
/// # Errors
/// The first [`Failure`].
pub fn run(target: &'static Target, seeds: &[Vec<u8>], plan: Plan) -> Result<Report, Box<Failure>> {
    let mutator = Mutator::new(target.name, plan.seed, seeds, target.tokens);
    let begun = Instant::now();
    let mut report = Report {
        inputs: 0,
        accepted: 0,
        elapsed: Duration::ZERO,
        slowest: Duration::ZERO,
        slowest_iteration: plan.start,
    };
    let mut input = Vec::new();
    let mut before = begun;
    for iteration in plan.start..plan.start.saturating_add(plan.iterations) {
        if report.inputs.is_multiple_of(ROUND) && plan.time.is_some_and(|t| begun.elapsed() >= t) {
            break;
        }
        mutator.make(iteration, &mut input);
        match feed(target, &input) {
            Ok(Verdict::Accepted) => report.accepted += 1,
            Ok(Verdict::Refused) => {}
            Err(message) => {
                return Err(Box::new(Failure {
                    target: target.name,
                    seed: plan.seed,
                    iteration,
                    shortened: shorten(target, &input),
                    input,
                    message,
                }));
            }
        }
        report.inputs += 1;
        let now = Instant::now();
        if now - before > report.slowest {
            report.slowest = now - before;
            report.slowest_iteration = iteration;
        }
        before = now;
    }
    report.elapsed = begun.elapsed();
    Ok(report)
}

/// Feeds one input.
///
/// # Errors
/// What the panic said, if a property does not hold.
pub fn feed(target: &Target, input: &[u8]) -> Result<Verdict, String> {
    keep_panics_quiet();
    CAUGHT.with_borrow_mut(|caught| *caught = Some(String::new()));
    // Checks share nothing between inputs, so there is nothing that a panic could leave broken.
    let result = panic::catch_unwind(AssertUnwindSafe(|| (target.check)(input)));
    let message = CAUGHT.take().unwrap_or_default();
    result.map_err(|_| message)
}

thread_local! {
    /// Where the panic of the input under way goes; nothing while there is no input.
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Panics of inputs are reported with the input, not printed; others go on being printed.
fn keep_panics_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let is_ours = CAUGHT.try_with(|caught| {
                let mut caught = caught.try_borrow_mut().ok()?;
                *caught.as_mut()? = info.to_string();
                Some(())
            });
            if !matches!(is_ours, Ok(Some(()))) {
                usual(info);
            }
        }));
    });
}

/// Leaves out pieces, long ones first, as long as the input still fails.
fn shorten(target: &Target, input: &[u8]) -> Vec<u8> {
    let mut best = input.to_vec();
    let mut left = SHORTENINGS;
    let mut length = best.len() / 2;
    while length > 0 {
        let mut at = 0;
        while at < best.len() && left > 0 {
            left -= 1;
            let mut shorter = best.clone();
            shorter.drain(at..(at + length).min(best.len()));
            if feed(target, &shorter).is_err() {
                best = shorter;
            } else {
                at += length;
            }
        }
        length /= 2;
    }
    best
}
