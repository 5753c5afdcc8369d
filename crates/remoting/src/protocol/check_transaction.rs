//! Header of the request by which a broker asks for the state of a transaction.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use thiserror::Error;

use super::end_transaction::{EndTransactionRequestHeader, TransactionEnd};
use crate::code::RequestCode;
use crate::command::RemotingCommand;
use crate::header::{FieldSink, RequestHeader};

/// Header of `CHECK_TRANSACTION_STATE`; the body is the half message in stored form
/// ([`MessageExt`](crate::message::MessageExt)). Java: `CheckTransactionStateRequestHeader`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckTransactionStateRequestHeader<'a> {
    /// Topic of the half message as the broker keeps it; 4.x sends none.
    pub topic: Option<&'a str>,
    /// Place of the half message in its queue.
    pub tran_state_table_offset: i64,
    /// Place of the half message in the commit log.
    pub commit_log_offset: i64,
    /// The client's id of the message.
    pub message_id: Option<&'a str>,
    /// The transaction's id.
    pub transaction_id: Option<&'a str>,
    /// The broker's id of the half message.
    pub offset_message_id: Option<&'a str>,
    /// Name of the broker.
    pub broker_name: Option<&'a str>,
}

impl<'a> CheckTransactionStateRequestHeader<'a> {
    /// Asks for the half message at these offsets; all else is absent.
    #[must_use]
    pub const fn new(tran_state_table_offset: i64, commit_log_offset: i64) -> Self {
        Self {
            topic: None,
            tran_state_table_offset,
            commit_log_offset,
            message_id: None,
            transaction_id: None,
            offset_message_id: None,
            broker_name: None,
        }
    }

    /// Reads the fields of a request.
    ///
    /// # Errors
    /// When one of the two offsets is missing or no number.
    pub fn decode(request: &'a RemotingCommand) -> Result<Self, CheckTransactionError> {
        let number = |name| {
            let value = request
                .field(name)
                .ok_or(CheckTransactionError::Missing(name))?;
            value
                .parse()
                .map_err(|_| CheckTransactionError::Number(name))
        };
        let text = |name| request.field(name).filter(|text| !text.is_empty());
        Ok(Self {
            topic: text("topic"),
            tran_state_table_offset: number("tranStateTableOffset")?,
            commit_log_offset: number("commitLogOffset")?,
            message_id: text("msgId"),
            transaction_id: text("transactionId"),
            offset_message_id: text("offsetMsgId"),
            broker_name: text("bname"),
        })
    }

    /// The answer, which is a request of its own: it gives back what the question names. `message_id` is that of the
    /// body.
    #[must_use]
    pub fn answer<'b>(
        &'b self,
        producer_group: &'b str,
        message_id: &'b str,
        end: TransactionEnd,
    ) -> EndTransactionRequestHeader<'b> {
        EndTransactionRequestHeader {
            topic: self.topic.unwrap_or_default(),
            producer_group,
            tran_state_table_offset: self.tran_state_table_offset,
            commit_log_offset: self.commit_log_offset,
            end,
            from_transaction_check: true,
            message_id,
            transaction_id: self.transaction_id,
            broker_name: self.broker_name,
        }
    }
}

impl RequestHeader for CheckTransactionStateRequestHeader<'_> {
    fn code(&self) -> RequestCode {
        RequestCode::CHECK_TRANSACTION_STATE
    }

    fn write_fields<S: FieldSink>(&self, sink: &mut S) {
        sink.integer("tranStateTableOffset", self.tran_state_table_offset);
        sink.integer("commitLogOffset", self.commit_log_offset);
        for (name, value) in [
            ("topic", self.topic),
            ("msgId", self.message_id),
            ("transactionId", self.transaction_id),
            ("offsetMsgId", self.offset_message_id),
            ("bname", self.broker_name),
        ] {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                sink.text(name, value);
            }
        }
    }
}

/// Why a request asks for no transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CheckTransactionError {
    /// A field is missing.
    #[error("the question for a transaction lacks the field {0}")]
    Missing(&'static str),
    /// A field is no number.
    #[error("the field {0} of a question for a transaction is no number")]
    Number(&'static str),
}
