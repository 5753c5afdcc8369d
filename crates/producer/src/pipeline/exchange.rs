//! What is said to a broker in one attempt, and what its answer means.

use std::sync::Arc;

use crate::config::routing::remoting::message::OffsetMessageId;
use crate::config::routing::remoting::protocol::{SendMessageResponseHeader, StoredMessage};
use crate::config::routing::remoting::{
    Completion, Connection, Response, ResponseClass, ResponseCode, Wants,
};
use crate::error::SendFailure;
use crate::message_trace::Told;
use crate::receipt::{GivenId, SendStatus};

/// A way of sending: with or without an answer.
pub(super) trait Exchange: Send + Sync {
    /// What a success tells.
    type Answer: Send;

    /// Whether a message that may have been written may be sent again.
    const REPEATS_UNKNOWN: bool;

    /// Whether a success shows that the broker does its work.
    const PROVES_HEALTH: bool;

    /// What ends the request.
    const WANTS: Wants;

    /// What the end of a request on `connection` tells.
    fn answer(completion: Completion, connection: &Connection)
    -> Result<Self::Answer, SendFailure>;

    /// Whether the answer promises all that was asked for.
    fn is_whole(answer: &Self::Answer) -> bool;
}

/// Sending that waits for the broker's receipt.
pub(super) struct TwoWay;

/// Sending that asks for no answer.
pub(super) struct OneWay;

/// What a receipt says about where the message is.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) status: SendStatus,
    pub(super) queue_id: i32,
    pub(super) queue_offset: i64,
    pub(super) offset_message_id: Option<OffsetMessageId>,
    pub(super) transaction_id: Option<GivenId>,
    /// What was said about traces, if it was asked for.
    pub(super) told: Option<Box<Told>>,
}

impl Stored {
    /// What a plain receipt says.
    fn plain(stored: &StoredMessage) -> Self {
        Self {
            status: SendStatus::of(stored.code),
            queue_id: stored.queue_id,
            queue_offset: stored.queue_offset,
            offset_message_id: stored.offset_message_id,
            transaction_id: stored.transaction_id.map(GivenId::Short),
            told: None,
        }
    }

    /// What any other answer says.
    #[cold]
    fn read(response: &Response, connection: &Connection) -> Result<Self, SendFailure> {
        let code = receipt_code(response)?;
        let answer = read(connection, response)?;
        // As with the id: one of another form is of no use, and no reason to doubt the receipt.
        let recall_handle = answer.recall_handle.as_ref().and_then(|it| it.parse().ok());
        Ok(Self {
            status: SendStatus::of(code),
            queue_id: answer.queue_id,
            queue_offset: answer.queue_offset,
            // A proxy may give an id of another form; the receipt is good without it.
            offset_message_id: answer.msg_id.as_deref().and_then(|id| id.parse().ok()),
            transaction_id: match recall_handle {
                Some(handle) => Some(GivenId::with_handle(
                    answer.transaction_id.as_deref(),
                    handle,
                )),
                None => answer.transaction_id.as_deref().map(GivenId::of),
            },
            told: Some(told(&answer)),
        })
    }
}

/// What an answer says about traces.
fn told(answer: &SendMessageResponseHeader<'_>) -> Box<Told> {
    Box::new(Told {
        region: Box::from(&*answer.region),
        is_on: answer.trace_on,
    })
}

impl Exchange for TwoWay {
    type Answer = Stored;

    const REPEATS_UNKNOWN: bool = true;

    const PROVES_HEALTH: bool = true;

    // If the region is asked for, the whole answer is kept.
    const WANTS: Wants = Wants::Receipt;

    fn answer(completion: Completion, connection: &Connection) -> Result<Stored, SendFailure> {
        match completion {
            Completion::Stored(stored) => Ok(Stored::plain(&stored)),
            Completion::Answered(response) => Stored::read(&response, connection),
            Completion::Written => Err(SendFailure::Request(connection.no_answer())),
        }
    }

    fn is_whole(answer: &Stored) -> bool {
        answer.status == SendStatus::SendOk
    }
}

/// Sending one or more messages in one request.
pub(super) struct Joined;

/// What a receipt says about where messages of one request are.
#[derive(Debug)]
pub(super) struct StoredBatch {
    pub(super) status: SendStatus,
    pub(super) queue_id: i32,
    /// The offset of the first; the others follow.
    pub(super) queue_offset: i64,
    /// One for each message, unless the broker names another number of them.
    pub(super) offset_message_ids: Vec<OffsetMessageId>,
    pub(super) transaction_id: Option<GivenId>,
    pub(super) told: Box<Told>,
}

impl Exchange for Joined {
    type Answer = StoredBatch;

    const REPEATS_UNKNOWN: bool = true;

    const PROVES_HEALTH: bool = true;

    const WANTS: Wants = Wants::Answer;

    fn answer(completion: Completion, connection: &Connection) -> Result<StoredBatch, SendFailure> {
        let Completion::Answered(response) = completion else {
            return Err(SendFailure::Request(connection.no_answer()));
        };
        let code = receipt_code(&response)?;
        let answer = read(connection, &response)?;
        // Java: `SendMessageProcessor` answers a batch with all ids, separated by commas.
        let ids = answer.msg_id.as_deref().unwrap_or_default().split(',');
        Ok(StoredBatch {
            status: SendStatus::of(code),
            queue_id: answer.queue_id,
            queue_offset: answer.queue_offset,
            offset_message_ids: ids.map_while(|id| id.parse().ok()).collect(),
            transaction_id: answer.transaction_id.as_deref().map(GivenId::of),
            told: told(&answer),
        })
    }

    fn is_whole(answer: &StoredBatch) -> bool {
        answer.status == SendStatus::SendOk
    }
}

/// The code of an answer, if it is a receipt.
fn receipt_code(response: &Response) -> Result<ResponseCode, SendFailure> {
    let code = response.code();
    if !ResponseClass::of(code, None).is_receipt() {
        let remark = Arc::from(response.remark().unwrap_or_default());
        return Err(SendFailure::Refused { code, remark });
    }
    Ok(code)
}

fn read<'a>(
    connection: &Connection,
    response: &'a Response,
) -> Result<SendMessageResponseHeader<'a>, SendFailure> {
    SendMessageResponseHeader::read(response.frame()).map_err(|error| {
        if error.is_malformed() {
            connection.distrust(error.clone());
        }
        SendFailure::Answer(error)
    })
}

impl Exchange for OneWay {
    type Answer = ();

    // A second copy could not be told from the first.
    const REPEATS_UNKNOWN: bool = false;

    // Bytes were taken by the operating system, no more.
    const PROVES_HEALTH: bool = false;

    const WANTS: Wants = Wants::Written;

    fn answer(_: Completion, _: &Connection) -> Result<(), SendFailure> {
        Ok(())
    }

    fn is_whole((): &()) -> bool {
        true
    }
}
