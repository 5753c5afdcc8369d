//! Why a transaction was not begun, or not carried through.

use super::receipt::Settlement;
use crate::config::routing::remoting::Delivery;
use crate::error::{BlockingFailure, SendError};
use crate::receipt::{SendReceipt, SendStatus};

/// A transaction that did not come to a decision of its local step.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// A blocking call could not wait for its outcome.
    #[error(transparent)]
    Blocking(BlockingFailure),
    /// The half message got no receipt, so the local step did not run. If [`SendError::delivery`] is
    /// [`Delivery::Unknown`] the half message may be stored: consumers do not see it, the broker will ask for it, and this
    /// process then answers rollback. Another process of the group asks its checker, which finds no trace of the local
    /// step.
    #[error("half message was not taken")]
    Half(#[source] SendError),
    /// The local step panicked, so its state is unknown, and the checker decides.
    #[error("local step panicked: {message}")]
    LocalPanicked {
        /// The receipt of the half message.
        half: Box<SendReceipt>,
        /// What the panic said.
        message: String,
    },
    /// There are as many open transactions as allowed (setting `transaction_max_open`). Nothing was sent.
    #[error("{limit} transactions are open already")]
    TooManyOpen {
        /// The bound.
        limit: usize,
    },
    /// The half message is stored less safely than asked for, so the local step did not run and the transaction was rolled
    /// back (setting `transaction_weak_half`). Java does the same without a word.
    #[error("half message was answered {status}, so the transaction is rolled back")]
    WeakHalf {
        /// What the broker said.
        status: SendStatus,
        /// The receipt of the half message.
        half: Box<SendReceipt>,
        /// How far the rollback got.
        settlement: Box<Settlement>,
    },
}

impl TransactionError {
    /// What is known about the half message. Consumers see none of it, except if the local step panicked and the checker
    /// later says commit.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        match self {
            Self::Blocking(BlockingFailure::Interrupted | BlockingFailure::Stalled)
            | Self::LocalPanicked { .. }
            | Self::WeakHalf { .. } => Delivery::Unknown,
            Self::Half(error) => error.delivery(),
            Self::Blocking(_) | Self::TooManyOpen { .. } => Delivery::NotSent,
        }
    }

    /// One sentence on what to do.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Blocking(_) => {
                "await `send_transaction`, or leave the producer's runtime a thread that is not blocked"
            }
            Self::Half(error) => error.advice(),
            Self::LocalPanicked { .. } => {
                "nothing, if the checker can find out what the local step did; correct the panic"
            }
            Self::TooManyOpen { .. } => {
                "begin fewer transactions at a time, or raise transaction_max_open"
            }
            Self::WeakHalf { .. } => {
                "begin the transaction again; if it happens often see to the broker's disk and replicas"
            }
        }
    }
}
