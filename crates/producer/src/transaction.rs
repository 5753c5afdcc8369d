//! Transactions: a message that consumers see only if a local step, told to the broker afterwards, was done.
//!
//! The half message goes the one way of every message ([`pipeline`](crate::pipeline)); the end is told to the broker
//! that stored it, in a request of its own. What is not told, or not heard, the broker asks for later ([`desk`]).

mod blocking;
mod book;
mod checker;
mod desk;
mod end;
mod error;
mod halves;
mod open;
mod producer;
mod receipt;
mod stats;

pub use self::blocking::BlockingTransactionalProducer;
pub use self::checker::{CheckedMessage, TransactionChecker};
pub(crate) use self::desk::Transactions;
pub use self::error::TransactionError;
pub(crate) use self::halves::announce;
pub use self::open::OpenTransaction;
pub use self::producer::{HalfMessage, TransactionalProducer};
pub use self::receipt::{Settlement, TransactionReceipt};
pub use self::stats::TransactionStats;
