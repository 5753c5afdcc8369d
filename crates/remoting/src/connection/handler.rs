//! What the user of a connection does with requests that the server sends.

use bytes::Bytes;

use super::Connection;
use crate::code::{RequestCode, ResponseCode};
use crate::command::RemotingCommand;
use crate::connectivity::Connectivity;

/// Handles the requests a server sends on its own (Java: `ClientRemotingProcessor`).
///
/// Called on the connection's task: it must return quickly and hand longer work to a task of its
/// own.
pub trait ConnectionHandler: Send + Sync + 'static {
    /// Handles one request that came on `connection`; the returned command is sent back unless the
    /// request is one-way. What is to be said to the server later goes on the same connection: keep
    /// a clone of it no longer than that takes, since it keeps the connection open.
    ///
    /// The default answers as a producer without consumers does: see [`NoConsumer`].
    fn handle_request(
        &self,
        connection: &Connection,
        request: &RemotingCommand,
    ) -> Option<RemotingCommand> {
        let _ = connection;
        answer_as_pure_producer(request)
    }

    /// Told of each connection a pool has opened, before any caller gets it.
    fn connected(&self, connection: &Connection) {
        let _ = connection;
    }

    /// The body of the `HEART_BEAT` request by which a pool asks a silent peer for a sign of life.
    /// The default is `{}`; a producer gives its own heartbeat, so that the broker knows it on the
    /// new connection too.
    fn probe_body(&self) -> Bytes {
        Bytes::from_static(b"{}")
    }

    /// Told when the connectivity of an address in a pool has changed, in order and outside of the
    /// pool's locks. A change that was undone before it could be told is left out.
    fn connectivity_changed(&self, address: &str, connectivity: Connectivity) {
        let _ = (address, connectivity);
    }
}

/// The handler of a client that only produces: it answers requests meant for consumers as Java
/// does, and any other with code 3.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a marker without state")]
pub struct NoConsumer;

impl ConnectionHandler for NoConsumer {}

fn answer_as_pure_producer(request: &RemotingCommand) -> Option<RemotingCommand> {
    let reply = |code, remark| {
        Some(RemotingCommand::response(
            code,
            request.opaque,
            Some(remark),
        ))
    };
    match RequestCode(request.code) {
        // Sent for consumers' sake, and without waiting for an answer.
        RequestCode::NOTIFY_CONSUMER_IDS_CHANGED | RequestCode::RESET_CONSUMER_CLIENT_OFFSET => {
            None
        }
        RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT
        | RequestCode::GET_CONSUMER_RUNNING_INFO
        | RequestCode::CONSUME_MESSAGE_DIRECTLY => {
            let group = request
                .field("consumerGroup")
                .or_else(|| request.field("group"))
                .unwrap_or_default();
            let remark = format!("The Consumer Group <{group}> not exist in this consumer");
            reply(ResponseCode::SYSTEM_ERROR, remark)
        }
        RequestCode(code) => reply(
            ResponseCode::REQUEST_CODE_NOT_SUPPORTED,
            format!(" request type {code} not supported"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_request_is_answered_with_code_3() {
        let reply = answer_as_pure_producer(&RemotingCommand::request(4711, 9)).unwrap();
        assert_eq!((reply.code, reply.opaque), (3, 9));
        assert!(reply.is_response());
    }

    #[test]
    fn requests_for_consumers_are_refused_or_ignored() {
        let request = RemotingCommand::request(307, 1).with_field("consumerGroup", "g");
        let reply = answer_as_pure_producer(&request).unwrap();
        assert_eq!(reply.code, 1);
        assert!(reply.remark.unwrap().contains("<g>"));
        let notice = RemotingCommand::request(40, 1);
        assert_eq!(answer_as_pure_producer(&notice), None);
    }
}
