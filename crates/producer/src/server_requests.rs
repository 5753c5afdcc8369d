//! What brokers ask of this client by themselves: for the state of a transaction, and to take a reply.
//!
//! Requests come on the task of a connection, so whoever is asked here must answer at once and hand longer work to a
//! task of its own.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use tracing::{debug, warn};

use crate::config::MAX_BODY;
use crate::config::routing::remoting::message::MessageExt;
use crate::config::routing::remoting::protocol::read_pushed_reply;
use crate::config::routing::remoting::{
    Connection, ConnectionHandler, NoConsumer, RemotingCommand, RequestCode, ResponseCode,
};
use crate::reply::Replies;

/// The property that names the producer group of a half message (Java: `MessageConst.PROPERTY_PRODUCER_GROUP`).
const GROUP: &str = "PGROUP";

/// Takes the questions of brokers about transactions of one group (Java: `TransactionMQProducer`'s part of
/// `ClientRemotingProcessor.checkTransactionState`).
pub(crate) trait TransactionDesk: Send + Sync {
    /// Takes a question that came on `connection`. It is one-way: the answer is a request of its own on the same
    /// connection. Called on the connection's task, so it must return at once.
    fn check(&self, connection: &Connection, request: &RemotingCommand);
}

/// Hands requests of brokers to those that they are for.
#[derive(Default)]
pub(crate) struct ServerRequests {
    desks: RwLock<HashMap<Arc<str>, Arc<dyn TransactionDesk>>>,
    replies: Replies,
}

impl fmt::Debug for ServerRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerRequests").finish_non_exhaustive()
    }
}

impl ServerRequests {
    /// Has questions about transactions of `group` asked at `desk`, until [`forget_group`](Self::forget_group).
    ///
    /// The pool keeps the desk alive, so the desk must keep neither pool nor producer alive.
    pub(crate) fn register_transactions(&self, group: &Arc<str>, desk: Arc<dyn TransactionDesk>) {
        let mut desks = self.desks.write().unwrap_or_else(PoisonError::into_inner);
        desks.insert(Arc::clone(group), desk);
    }

    /// Forgets who is asked for a group.
    pub(crate) fn forget_group(&self, group: &str) {
        let mut desks = self.desks.write().unwrap_or_else(PoisonError::into_inner);
        desks.remove(group);
    }

    /// Deals with a request of a broker; the answer is sent back unless the request is one-way.
    pub(crate) fn handle(
        &self,
        connection: &Connection,
        request: &RemotingCommand,
    ) -> Option<RemotingCommand> {
        match RequestCode(request.code) {
            RequestCode::CHECK_TRANSACTION_STATE => {
                match self.desk(request) {
                    Some(desk) => desk.check(connection, request),
                    None => debug!(broker = connection.peer(), "no transactions here"),
                }
                None
            }
            RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT => Some(self.take_reply(connection, request)),
            _ => NoConsumer.handle_request(connection, request),
        }
    }

    /// The requests that wait for replies.
    pub(crate) const fn replies(&self) -> &Replies {
        &self.replies
    }

    /// Takes a reply. That nobody waits for it any more is no fault of the broker's.
    fn take_reply(&self, connection: &Connection, request: &RemotingCommand) -> RemotingCommand {
        let answer = |code, remark| RemotingCommand::response(code, request.opaque, remark);
        match read_pushed_reply(request, MAX_BODY) {
            Ok(reply) => {
                self.replies.deliver(reply);
                answer(ResponseCode::SUCCESS, None)
            }
            Err(error) => {
                warn!(broker = connection.peer(), %error, "reply cannot be read");
                let remark = Some("process reply message fail".to_owned());
                answer(ResponseCode::SYSTEM_ERROR, remark)
            }
        }
    }

    /// The desk of the group that a transaction belongs to.
    fn desk(&self, request: &RemotingCommand) -> Option<Arc<dyn TransactionDesk>> {
        let desks = self.desks.read().unwrap_or_else(PoisonError::into_inner);
        let mut all = desks.values();
        // Mostly there is one, which reads the message anyhow, in a task of its own.
        if let (Some(desk), None) = (all.next(), all.next()) {
            return Some(Arc::clone(desk));
        }
        let message = MessageExt::decode(&request.body, MAX_BODY).ok()?;
        desks.get(message.property(GROUP)?).cloned()
    }
}
