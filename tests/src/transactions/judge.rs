//! The judge: what consumers see against what the local steps did.

use std::collections::BTreeMap;
use std::fmt;

use rocketmq_producer::LocalTransactionState;
use xtask::apache::ReadMessage;

use super::{Evidence, Journals, Plan, truth};

/// Complaints that are kept; the rest is counted.
const MOST_COMPLAINTS: usize = 20;

/// Why a message is there more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Cause {
    /// An attempt whose answer did not come had stored a half message too.
    RetriedHalf,
    /// The process was killed after it began and before it knew the end.
    Kill,
    /// The broker was told the end, and its answer did not come.
    UnansweredEnd,
    /// A broker asked more than once, or for what was settled.
    RepeatedCheck,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RetriedHalf => "half message sent again",
            Self::Kill => "process killed before it knew the end",
            Self::UnansweredEnd => "end told without an answer",
            Self::RepeatedCheck => "asked for again",
        })
    }
}

impl Evidence {
    /// What explains a second copy.
    fn cause(&self) -> Option<Cause> {
        if self.doubtful_halves > 0 {
            Some(Cause::RetriedHalf)
        } else if self.begun && !self.has_end {
            Some(Cause::Kill)
        } else if self.is_unconfirmed {
            Some(Cause::UnansweredEnd)
        } else if self.checks > 0 {
            Some(Cause::RepeatedCheck)
        } else {
            None
        }
    }
}

/// What the judge found.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Judgement {
    /// Transactions with a half message.
    pub halves: usize,
    /// Of those, which are to be seen.
    pub committed: usize,
    /// Of those, which are not to be seen.
    pub rolled_back: usize,
    /// Transactions that were asked for.
    pub checked: usize,
    /// Questions put to checkers.
    pub checks: u64,
    /// Transactions whose half message got no receipt, their processes living on.
    pub failures: u64,
    /// Messages that consumers see, copies included.
    pub seen: usize,
    /// Copies beyond the first of each, by cause.
    pub duplicates: BTreeMap<Cause, usize>,
    /// What is wrong, at most 20 of it.
    pub complaints: Vec<String>,
    /// How much is wrong in all.
    pub wrong: usize,
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} half messages with a receipt ({} without): {} committed, {} rolled back; {} asked for, {} questions to checkers",
            self.halves, self.failures, self.committed, self.rolled_back, self.checked, self.checks
        )?;
        let copies: usize = self.duplicates.values().sum();
        writeln!(f, "{} seen, {copies} of them a second time:", self.seen)?;
        for (cause, count) in &self.duplicates {
            writeln!(f, "  {count} {cause}")?;
        }
        write!(f, "{} broken promises", self.wrong)?;
        for complaint in &self.complaints {
            write!(f, "\n  {complaint}")?;
        }
        Ok(())
    }
}

impl Judgement {
    fn complain(&mut self, complaint: String) {
        if self.complaints.len() < MOST_COMPLAINTS {
            self.complaints.push(complaint);
        }
        self.wrong += 1;
    }
}

/// Judges what was read against what the processes noted.
#[must_use]
pub fn judge(plan: &Plan, journals: &Journals, messages: &[ReadMessage]) -> Judgement {
    let mut found = Judgement {
        seen: messages.len(),
        checks: journals.checks(),
        failures: journals.failures(),
        ..Judgement::default()
    };
    let mut copies: BTreeMap<u64, usize> = BTreeMap::new();
    for message in messages {
        match super::sender::number_of(&message.body) {
            Some((seed, number)) if seed == plan.seed => *copies.entry(number).or_default() += 1,
            _ => found.complain(format!("{} was sent by nobody", message.msg_id)),
        }
    }
    for number in 0..journals.begun() {
        let evidence = journals.of(number);
        let seen = copies.remove(&number).unwrap_or(0);
        found.halves += usize::from(evidence.has_half);
        found.checked += usize::from(evidence.checks > 0);
        let is_done = truth(plan.seed, number) == LocalTransactionState::Commit;
        if evidence.has_half {
            found.committed += usize::from(is_done);
            found.rolled_back += usize::from(!is_done);
        }
        if !is_done && seen > 0 {
            found.complain(format!("{number} was rolled back and is seen {seen} times"));
        }
        if is_done && evidence.has_half && seen == 0 {
            found.complain(format!(
                "{number} was committed and is not seen: {evidence:?}"
            ));
        }
        if seen > 1 {
            match evidence.cause() {
                _ if plan.is_calm => {
                    found.complain(format!("{number} is seen {seen} times: {evidence:?}"));
                }
                Some(cause) => *found.duplicates.entry(cause).or_default() += seen - 1,
                None => found.complain(format!(
                    "{number} is seen {seen} times, and nothing explains it: {evidence:?}"
                )),
            }
        }
    }
    for number in copies.keys() {
        found.complain(format!("{number} is seen and was never begun"));
    }
    found
}
