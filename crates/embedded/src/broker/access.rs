//! Access control: who may send what, checked and refused as a broker with ACL 2.0 does.

use std::collections::HashMap;

use rocketmq_producer_remoting::{Credentials, RemotingCommand, RequestCode, ResponseCode};

use crate::server::{Peer, remark};

/// The accounts that a broker knows; without any it checks nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts(HashMap<String, Account>);

#[derive(Clone, Debug)]
struct Account {
    credentials: Credentials,
    /// The topics it may publish to; `None` for all.
    topics: Option<Vec<String>>,
}

impl Accounts {
    pub(crate) fn add(&mut self, credentials: Credentials, topics: Option<Vec<String>>) {
        let name = credentials.access_key().to_owned();
        self.0.insert(
            name,
            Account {
                credentials,
                topics,
            },
        );
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The refusal of a request, if it is one.
    pub(super) fn refusal(
        &self,
        peer: &Peer,
        request: &RemotingCommand,
    ) -> Option<RemotingCommand> {
        let refused = |words: String| Some(remark(ResponseCode::NO_PERMISSION, words));
        let Some(name) = request.field("AccessKey") else {
            return refused("username cannot be null.".to_owned());
        };
        let Some(account) = self.0.get(name) else {
            return refused(format!("User:{name} is not found."));
        };
        let expected = account.credentials.signature_of(request);
        if request.field("Signature") != Some(expected.as_str()) {
            return refused("check signature failed.".to_owned());
        }
        let topic = match RequestCode(request.code) {
            RequestCode::SEND_MESSAGE => request.field("topic"),
            RequestCode::SEND_MESSAGE_V2 | RequestCode::SEND_BATCH_MESSAGE => request.field("b"),
            _ => None,
        }?;
        let topics = account.topics.as_ref()?;
        if topics.iter().any(|granted| granted == topic) {
            return None;
        }
        let from = peer.address.ip();
        refused(format!(
            "User:{name} has no permission to access Topic:{topic} from {from}, no matched policies."
        ))
    }
}
