//! The name server: which brokers there are and which topics they have.

mod route_table;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rocketmq_producer_remoting::command::CommandHead;
use rocketmq_producer_remoting::{Frame, FrameError, RemotingCommand, RequestCode, ResponseCode};

pub(crate) use self::route_table::{BrokerEntry, RouteTable, TopicEntry};
use crate::broker::FAQ;
use crate::server::{Handler, Peer, remark};

/// The first version whose clients read standard JSON: 4.9.4.
const STANDARD_JSON_SINCE: i32 = 401;

#[derive(Debug, Default)]
pub(crate) struct NameServer {
    table: Arc<Mutex<RouteTable>>,
}

impl NameServer {
    pub(crate) fn table(&self) -> MutexGuard<'_, RouteTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn route(&self, request: &RemotingCommand) -> RemotingCommand {
        let topic = request.field("topic");
        let is_standard = request.version >= STANDARD_JSON_SINCE
            || request.field("acceptStandardJsonOnly") == Some("true");
        let route = topic.and_then(|topic| self.table().route_json(topic, is_standard));
        match route {
            Some(json) => RemotingCommand::response(ResponseCode::SUCCESS, 0, None).with_body(json),
            None => remark(
                ResponseCode::TOPIC_NOT_EXIST,
                format!(
                    "No topic route info in name server for the topic: {}{FAQ}",
                    topic.unwrap_or("null")
                ),
            ),
        }
    }
}

impl Handler for NameServer {
    fn handle(
        &self,
        _: &Peer,
        head: CommandHead,
        frame: &Frame,
    ) -> Result<RemotingCommand, FrameError> {
        Ok(match RequestCode(head.code) {
            RequestCode::GET_ROUTEINFO_BY_TOPIC => {
                self.route(&RemotingCommand::decode(frame.clone())?)
            }
            RequestCode::GET_BROKER_CLUSTER_INFO => {
                let json = self.table().cluster_json();
                RemotingCommand::response(ResponseCode::SUCCESS, 0, None).with_body(json)
            }
            RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER => {
                let json = self.table().topics_json();
                RemotingCommand::response(ResponseCode::SUCCESS, 0, None).with_body(json)
            }
            RequestCode(code) => remark(
                ResponseCode::REQUEST_CODE_NOT_SUPPORTED,
                format!(" request type {code} not supported"),
            ),
        })
    }
}
