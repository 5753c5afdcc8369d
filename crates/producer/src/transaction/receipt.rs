//! How a transaction ended, as far as this process knows.

use crate::error::SendFailure;
use crate::receipt::SendReceipt;
use crate::transaction_state::LocalTransactionState;

/// How far the end of a transaction got.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Settlement {
    /// The broker has confirmed it.
    Confirmed,
    /// Something that stands before the broker took it, such as `rocketmq-proxy`, and its word is not the broker's: the
    /// remoting port of 5.5.0's says so of every end and hands none on. A broker that was not told asks, and this producer
    /// then answers the same.
    ///
    /// A proxy is known by the addresses that name servers tell: it is not where the half message says it is stored, nor was
    /// the half message sent there; or several brokers of the topic are at its address. An address map, the VIP channel and a
    /// SOCKS5 proxy change nothing of that, unless they lead to such a proxy themselves.
    Relayed,
    /// The state is unknown: the broker will ask.
    LeftToCheck,
    /// The broker was told and gave no answer in time. Either it knows, or it will ask. It is not told twice, since a
    /// broker that is told twice to commit gives the message to consumers twice.
    Unconfirmed(SendFailure),
    /// The broker could not be told, or refused. It will ask, and this producer then answers the same.
    NotTaken(SendFailure),
    /// The receipt of the half message does not say where it lies, so nobody can be told. The broker will ask.
    NoPlace,
}

impl Settlement {
    /// Whether the broker has confirmed it.
    #[must_use]
    pub const fn is_confirmed(&self) -> bool {
        matches!(self, Self::Confirmed)
    }

    /// Why it is not confirmed, if something failed.
    #[must_use]
    pub const fn failure(&self) -> Option<&SendFailure> {
        match self {
            Self::Unconfirmed(failure) | Self::NotTaken(failure) => Some(failure),
            Self::Confirmed | Self::LeftToCheck | Self::NoPlace | Self::Relayed => None,
        }
    }
}

/// A transaction whose end was decided here (Java: `TransactionSendResult`).
#[derive(Debug, Clone)]
pub struct TransactionReceipt {
    pub(crate) half: SendReceipt,
    pub(crate) state: LocalTransactionState,
    pub(crate) settlement: Settlement,
}

impl TransactionReceipt {
    /// What the local step decided.
    #[must_use]
    pub const fn state(&self) -> LocalTransactionState {
        self.state
    }

    /// How far the broker knows. Whatever it is, a decision is never lost: a broker that does not know asks.
    #[must_use]
    pub const fn settlement(&self) -> &Settlement {
        &self.settlement
    }

    /// The receipt of the half message. Its queue is the one that the message gets on commit; its offset and offset
    /// message id are those in `RMQ_SYS_TRANS_HALF_TOPIC`, where the half message lies. The committed message has others,
    /// which no broker tells.
    #[must_use]
    pub const fn half(&self) -> &SendReceipt {
        &self.half
    }
}
