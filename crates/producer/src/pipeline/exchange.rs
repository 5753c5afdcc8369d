//! What is said to a broker in one attempt, and what its answer means.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::config::routing::remoting::message::OffsetMessageId;
use crate::config::routing::remoting::protocol::{
    SendMessageRequestHeader, SendMessageResponseHeader, StoredMessage,
};
use crate::config::routing::remoting::{
    Connection, Response, ResponseClass, ResponseCode, SendAnswer,
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

    /// One request to one broker. If it `asks_region`, the answer tells the region too, if there is one.
    fn exchange(
        connection: &Connection,
        header: &SendMessageRequestHeader<'_>,
        body: &Bytes,
        until: Instant,
        asks_region: bool,
    ) -> impl Future<Output = Result<Self::Answer, SendFailure>> + Send;

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

    async fn exchange(
        connection: &Connection,
        header: &SendMessageRequestHeader<'_>,
        body: &Bytes,
        until: Instant,
        asks_region: bool,
    ) -> Result<Stored, SendFailure> {
        if asks_region {
            // Rare, so boxed: the future of a send should be small.
            let response = Box::pin(connection.request(header, body, until)).await;
            return Stored::read(&response.map_err(SendFailure::Request)?, connection);
        }
        let answer = connection.send(header, body, until).await;
        match answer.map_err(SendFailure::Request)? {
            SendAnswer::Stored(stored) => Ok(Stored::plain(&stored)),
            SendAnswer::Other(response) => Stored::read(&response, connection),
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

    async fn exchange(
        connection: &Connection,
        header: &SendMessageRequestHeader<'_>,
        body: &Bytes,
        until: Instant,
        _: bool,
    ) -> Result<StoredBatch, SendFailure> {
        let response = connection.request(header, body, until).await;
        let response = response.map_err(SendFailure::Request)?;
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

    async fn exchange(
        connection: &Connection,
        header: &SendMessageRequestHeader<'_>,
        body: &Bytes,
        until: Instant,
        _: bool,
    ) -> Result<(), SendFailure> {
        connection
            .oneway(header, body, until)
            .await
            .map_err(SendFailure::Request)
    }

    fn is_whole((): &()) -> bool {
        true
    }
}
