//! Header of the request that ends a transaction.

use crate::code::RequestCode;
use crate::header::{FieldSink, RequestHeader};

/// What becomes of a transaction. Java: `MessageSysFlag.TRANSACTION_*_TYPE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransactionEnd {
    /// The message is handed to consumers.
    Commit,
    /// The message is never handed to consumers.
    Rollback,
    /// Not known yet: the broker asks later.
    Unknown,
}

impl TransactionEnd {
    /// The number on the wire: 8, 12 or 0.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Commit => 8,
            Self::Rollback => 12,
            Self::Unknown => 0,
        }
    }

    /// What a number on the wire means.
    #[must_use]
    pub const fn of_number(number: i32) -> Option<Self> {
        match number {
            8 => Some(Self::Commit),
            12 => Some(Self::Rollback),
            0 => Some(Self::Unknown),
            _ => None,
        }
    }
}

/// Header of `END_TRANSACTION`. Java: `EndTransactionRequestHeader`.
///
/// To end a transaction that the broker asked for, topic, offsets, transaction id and broker name are those of its
/// question, not those of the receipt: the broker has written the half message again meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndTransactionRequestHeader<'a> {
    /// The topic that the half message was sent to, or that the broker's question names; left out if
    /// empty.
    pub topic: &'a str,
    /// The producer group.
    pub producer_group: &'a str,
    /// Place of the half message in its queue: the receipt's queue offset.
    pub tran_state_table_offset: i64,
    /// Place of the half message in the commit log: the offset in the receipt's offset message id.
    pub commit_log_offset: i64,
    /// What becomes of it.
    pub end: TransactionEnd,
    /// Whether this answers a question of the broker; no by default.
    pub from_transaction_check: bool,
    /// The client's id of the message (`UNIQ_KEY`).
    pub message_id: &'a str,
    /// The transaction's id; absent by default.
    pub transaction_id: Option<&'a str>,
    /// Name of the broker; absent by default.
    pub broker_name: Option<&'a str>,
}

impl<'a> EndTransactionRequestHeader<'a> {
    /// Ends the transaction whose half message lies at these offsets, the rest as documented at each field.
    #[must_use]
    pub const fn new(
        topic: &'a str,
        producer_group: &'a str,
        tran_state_table_offset: i64,
        commit_log_offset: i64,
        end: TransactionEnd,
        message_id: &'a str,
    ) -> Self {
        Self {
            topic,
            producer_group,
            tran_state_table_offset,
            commit_log_offset,
            end,
            from_transaction_check: false,
            message_id,
            transaction_id: None,
            broker_name: None,
        }
    }
}

impl RequestHeader for EndTransactionRequestHeader<'_> {
    fn code(&self) -> RequestCode {
        RequestCode::END_TRANSACTION
    }

    fn write_fields<S: FieldSink>(&self, sink: &mut S) {
        // An empty value would be read as null on the other side.
        if !self.topic.is_empty() {
            sink.text("topic", self.topic);
        }
        sink.text("producerGroup", self.producer_group);
        sink.integer("tranStateTableOffset", self.tran_state_table_offset);
        sink.integer("commitLogOffset", self.commit_log_offset);
        sink.integer("commitOrRollback", i64::from(self.end.number()));
        sink.boolean("fromTransactionCheck", self.from_transaction_check);
        if !self.message_id.is_empty() {
            sink.text("msgId", self.message_id);
        }
        if let Some(id) = self.transaction_id.filter(|id| !id.is_empty()) {
            sink.text("transactionId", id);
        }
        if let Some(name) = self.broker_name.filter(|name| !name.is_empty()) {
            sink.text("bname", name);
        }
    }
}
