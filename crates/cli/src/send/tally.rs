//! Outcomes counted, and the one line that sums them up.

use std::fmt;
use std::time::Duration;

use rocketmq_producer::{SendReceipt, SendStatus};

use crate::exit::Exit;
use crate::latency::{Latencies, human, nanos};
use crate::ledger::Outcome;

/// What became of all messages.
#[derive(Debug)]
pub(crate) struct Tally {
    acked: u64,
    /// Of the acknowledged ones, those with a status other than `SEND_OK`.
    weak: u64,
    rejected: u64,
    unknown: u64,
    not_sent: u64,
    /// Requests that were stored and got no reply.
    unanswered: u64,
    /// Messages that break a rule; they count as not sent too.
    invalid: u64,
    /// Lines that are no message.
    refused: u64,
    /// Sends given up on at the second interrupt; what became of them was not waited for.
    abandoned: u64,
    /// Whether the input could not be read to its end.
    input_broken: bool,
    latency: Latencies,
    elapsed: Duration,
}

impl Tally {
    pub(crate) fn new(latency: Latencies) -> Self {
        Self {
            acked: 0,
            weak: 0,
            rejected: 0,
            unknown: 0,
            not_sent: 0,
            unanswered: 0,
            invalid: 0,
            refused: 0,
            abandoned: 0,
            input_broken: false,
            latency,
            elapsed: Duration::ZERO,
        }
    }

    pub(crate) fn acked(&mut self, receipt: &SendReceipt) {
        let is_ok = receipt.status() == SendStatus::SendOk;
        self.count_acked(is_ok, nanos(receipt.latency()));
    }

    fn count_acked(&mut self, is_ok: bool, latency_nanos: u64) {
        self.acked += 1;
        self.weak += u64::from(!is_ok);
        self.latency.record_nanos(latency_nanos, 1);
    }

    pub(crate) fn not_acked(&mut self, outcome: Outcome, is_invalid: bool) {
        match outcome {
            Outcome::Acked => {}
            Outcome::Rejected => self.rejected += 1,
            Outcome::Unknown => self.unknown += 1,
            Outcome::NotSent => self.not_sent += 1,
        }
        self.invalid += u64::from(is_invalid);
    }

    pub(crate) fn unanswered(&mut self) {
        self.unanswered += 1;
    }

    pub(crate) fn refused(&mut self) {
        self.refused += 1;
    }

    pub(crate) fn input_broken(&mut self) {
        self.input_broken = true;
    }

    pub(crate) fn abandoned(&mut self, sends: usize) {
        self.abandoned += sends as u64;
    }

    pub(crate) fn ended(&mut self, elapsed: Duration) {
        self.elapsed = elapsed;
    }

    /// Messages that got no receipt.
    pub(crate) fn failed(&self) -> u64 {
        self.rejected + self.unknown + self.not_sent + self.abandoned
    }

    pub(crate) fn acked_count(&self) -> u64 {
        self.acked
    }

    /// Acknowledged messages per second.
    pub(crate) fn per_second(&self) -> f64 {
        self.acked as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    pub(crate) fn latency(&self) -> &Latencies {
        &self.latency
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// 0 only if every message was acknowledged, and every request answered; 2 if any input was wrong.
    pub(crate) fn exit(&self) -> Exit {
        let bad_input = self.refused > 0 || self.invalid > 0 || self.input_broken;
        let input = if bad_input {
            Exit::BadInput
        } else {
            Exit::Success
        };
        Exit::success_if(self.failed() + self.unanswered == 0).and(input)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            acked,
            rejected,
            unknown,
            not_sent,
            ..
        } = self;
        write!(
            f,
            "{acked} acked, {rejected} rejected, {unknown} unknown, {not_sent} not sent"
        )?;
        for (count, what) in [
            (self.abandoned, "abandoned"),
            (self.weak, "acked with less than SEND_OK"),
            (self.unanswered, "without a reply"),
            (
                self.refused,
                if self.refused == 1 {
                    "line refused"
                } else {
                    "lines refused"
                },
            ),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        // Without an acknowledged message there is nothing that was measured.
        if self.acked == 0 {
            return Ok(());
        }
        write!(
            f,
            "; {:.0} messages/s, p50 {}, p99 {}",
            self.per_second(),
            human(self.latency.at(0.5)),
            human(self.latency.at(0.99)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally() -> Tally {
        let mut tally = Tally::new(Latencies::new().unwrap());
        tally.count_acked(true, 2_000_000);
        tally.ended(Duration::from_millis(10));
        tally
    }

    #[test]
    fn the_status_is_0_only_if_every_message_was_acknowledged() {
        assert_eq!(tally().exit(), Exit::Success);
        let empty = Tally::new(Latencies::new().unwrap());
        assert_eq!(empty.exit(), Exit::Success);
        for outcome in [Outcome::Rejected, Outcome::Unknown, Outcome::NotSent] {
            let mut tally = tally();
            tally.not_acked(outcome, false);
            assert_eq!(tally.exit(), Exit::Failed, "{outcome:?}");
        }
        let mut tally = tally();
        tally.abandoned(1);
        assert_eq!(tally.exit(), Exit::Failed);
    }

    #[test]
    fn a_weaker_status_is_acknowledged_and_told_apart() {
        let mut tally = tally();
        tally.count_acked(false, 1);
        assert_eq!(tally.exit(), Exit::Success);
        assert!(tally.to_string().contains("2 acked,"), "{tally}");
        assert!(
            tally.to_string().contains("1 acked with less than SEND_OK"),
            "{tally}"
        );
    }

    #[test]
    fn bad_input_wins() {
        let mut refused = tally();
        refused.refused();
        refused.not_acked(Outcome::Unknown, false);
        assert_eq!(refused.exit(), Exit::BadInput);
        let mut invalid = tally();
        invalid.not_acked(Outcome::NotSent, true);
        assert_eq!(invalid.exit(), Exit::BadInput);
        let mut broken = tally();
        broken.input_broken();
        assert_eq!(broken.exit(), Exit::BadInput);
    }

    #[test]
    fn the_summary_is_one_line_with_every_outcome() {
        assert_eq!(
            tally().to_string(),
            "1 acked, 0 rejected, 0 unknown, 0 not sent; 100 messages/s, p50 2.00 ms, p99 2.00 ms"
        );
    }

    #[test]
    fn no_figure_is_shown_where_nothing_was_measured() {
        let mut tally = Tally::new(Latencies::new().unwrap());
        tally.not_acked(Outcome::NotSent, false);
        assert_eq!(
            tally.to_string(),
            "0 acked, 0 rejected, 0 unknown, 1 not sent"
        );
    }
}
