//! Outcomes of explicit batches.

use std::error::Error;
use std::fmt;

use crate::config::routing::remoting::Delivery;
use crate::config::routing::remoting::message::batch::NotBatchable;
use crate::error::SendError;
use crate::receipt::SendReceipt;

/// A rule that the messages of one [`send_batch`](crate::Producer::send_batch) break, so that none of them is sent.
///
/// Positions are those of the messages as given, from 0. Java: `MessageBatch.generateFromList`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchRule {
    /// There is no message.
    #[error("the batch has no message")]
    Empty,
    /// A message is of another topic than the first.
    #[error("message number {index} (from 0) is of another topic than the first")]
    Topic {
        /// The message.
        index: usize,
    },
    /// A message has another `WAIT` than the first.
    #[error("message number {index} (from 0) has another WAIT than the first")]
    Wait {
        /// The message.
        index: usize,
    },
    /// A message is of a kind that is sent by itself.
    #[error("message number {index} (from 0) cannot be in a batch")]
    Kind {
        /// The message.
        index: usize,
        /// What stands against it.
        #[source]
        reason: NotBatchable,
    },
}

/// Some or all messages of a batch got no receipt.
///
/// [`results`](Self::results) says of every message what became of it, in the order given.
#[derive(Clone)]
pub struct BatchError {
    rule: Option<BatchRule>,
    results: Vec<Result<SendReceipt, SendError>>,
}

impl BatchError {
    pub(crate) const fn of_rule(
        rule: BatchRule,
        results: Vec<Result<SendReceipt, SendError>>,
    ) -> Self {
        let rule = Some(rule);
        Self { rule, results }
    }

    pub(crate) const fn of_results(results: Vec<Result<SendReceipt, SendError>>) -> Self {
        let rule = None;
        Self { rule, results }
    }

    /// The error with each result, and its position, turned into another.
    pub(crate) fn map_results(
        self,
        map: impl Fn(usize, Result<SendReceipt, SendError>) -> Result<SendReceipt, SendError>,
    ) -> Self {
        let results = self.results.into_iter().enumerate();
        Self {
            rule: self.rule,
            results: results.map(|(index, result)| map(index, result)).collect(),
        }
    }

    /// The rule that the messages break together; then nothing was sent.
    #[must_use]
    pub const fn rule(&self) -> Option<&BatchRule> {
        self.rule.as_ref()
    }

    /// What became of every message, in the order given.
    pub fn results(&self) -> &[Result<SendReceipt, SendError>] {
        &self.results
    }

    /// As [`results`](Self::results).
    pub fn into_results(self) -> Vec<Result<SendReceipt, SendError>> {
        self.results
    }

    /// The messages without a receipt: their positions, from 0, and why.
    pub fn failed(&self) -> impl Iterator<Item = (usize, &SendError)> {
        let results = self.results.iter().enumerate();
        results.filter_map(|(index, result)| Some((index, result.as_ref().err()?)))
    }
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.results.len();
        if self.rule.is_some() {
            return write!(f, "batch of {all} messages refused, nothing was sent");
        }
        let count = |delivery| {
            let failed = self.failed();
            failed
                .filter(|(_, error)| error.delivery() == delivery)
                .count()
        };
        write!(
            f,
            "{} of {all} messages got no receipt: {} not sent, {} rejected, {} possibly stored",
            self.failed().count(),
            count(Delivery::NotSent),
            count(Delivery::Rejected),
            count(Delivery::Unknown),
        )
    }
}

impl fmt::Debug for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchError")
            .field("rule", &self.rule)
            .field("messages", &self.results.len())
            .field("failed", &self.failed().collect::<Vec<_>>())
            .finish()
    }
}

impl Error for BatchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        if let Some(rule) = &self.rule {
            return Some(rule);
        }
        let (_, first) = self.failed().next()?;
        Some(first)
    }
}
