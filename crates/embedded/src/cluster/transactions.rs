//! Transactions that brokers ask for.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::{EmbeddedCluster, Node};
use crate::builder::ClusterBuilder;
use crate::null::BrokerService;

impl EmbeddedCluster {
    /// Lets every broker ask now for all transactions that are not ended, however young; how many questions that are. A
    /// half message is asked for on one connection of its group, and is not asked for if there is none.
    pub fn check_transactions(&self) -> usize {
        let masters = self.brokers.iter().filter(|node| node.master.is_running());
        masters
            .map(|node| ask(&node.master.service, Duration::ZERO))
            .sum()
    }

    /// How many half messages are stored whose end is not known.
    #[must_use]
    pub fn open_transactions(&self) -> usize {
        let open = self
            .brokers
            .iter()
            .map(|node| node.broker().open_transactions());
        open.sum()
    }
}

/// Has each broker ask on its interval until the guard is dropped.
pub(super) fn check_regularly(brokers: &[Node], builder: &ClusterBuilder) -> DropGuard {
    let (tasks, token) = (TaskTracker::new(), CancellationToken::new());
    let settings = builder.settings.transactions;
    for node in brokers {
        let service = Arc::downgrade(&node.master.service);
        let checks = async move {
            loop {
                tokio::time::sleep(settings.check_interval).await;
                let Some(service) = service.upgrade() else {
                    return;
                };
                ask(&service, settings.timeout);
            }
        };
        let token = token.clone();
        tasks.spawn(async move { token.run_until_cancelled(checks).await });
    }
    token.drop_guard()
}

fn ask(service: &BrokerService, age: Duration) -> usize {
    let mut asked = 0;
    for (peer, question) in service.desk.handler.questions(age) {
        if let Ok(frame) = service.desk.own_request(question) {
            peer.push(frame);
            asked += 1;
        }
    }
    asked
}
