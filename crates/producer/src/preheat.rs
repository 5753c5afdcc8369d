//! Making routes, connections and heartbeats ready before the first send.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::warn;

use crate::config::routing::{RouteOrigin, RoutingError};
use crate::core::Core;
use crate::error::StartError;
use crate::heartbeat::HeartbeatReport;

/// What to make ready at start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Preheat {
    pub(crate) topics: Vec<Arc<str>>,
    /// A topic that is not ready makes the start fail.
    pub(crate) required: bool,
}

/// What was made ready at start.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PreheatReport {
    /// Topics that exist and have a usable route.
    pub ready: Vec<Arc<str>>,
    /// Topics that no name server knows, and that a broker is to create with the first message
    /// (setting `create_topic`); it may refuse to.
    pub to_be_created: Vec<Arc<str>>,
    /// Topics without a usable route, and why; sending to them tries again.
    pub failed: Vec<(Arc<str>, RoutingError)>,
    /// How the brokers of the ready topics took their first heartbeat.
    pub heartbeats: HeartbeatReport,
}

impl Preheat {
    /// Fetches all routes at once, then connects to every broker they name.
    pub(crate) async fn run(&self, core: &Core) -> Result<PreheatReport, StartError> {
        let mut report = PreheatReport::default();
        if self.topics.is_empty() {
            return Ok(report);
        }
        let deadline = Instant::now() + core.config.send_msg_timeout;
        let mut routes = JoinSet::new();
        for topic in &self.topics {
            let (topic, router) = (Arc::clone(topic), core.router.clone());
            let name = core.topic_name(&topic).into_owned();
            routes.spawn(async move {
                let routed = router.route_message(&name, None, None, deadline).await;
                (topic, routed)
            });
        }
        for (topic, routed) in routes.join_all().await {
            match routed.map(|routing| routing.route().origin()) {
                // Routing has warned of it.
                Ok(RouteOrigin::DefaultTopic) if self.required => {
                    return Err(StartError::UnknownTopic { topic });
                }
                Ok(RouteOrigin::DefaultTopic) => report.to_be_created.push(topic),
                Ok(_) => report.ready.push(topic),
                Err(cause) if self.required => return Err(StartError::Preheat { topic, cause }),
                Err(cause) => {
                    warn!(%topic, %cause, "topic cannot be preheated");
                    report.failed.push((topic, cause));
                }
            }
        }
        report.ready.sort();
        report.to_be_created.sort();
        report.heartbeats = core.client.heartbeat_all().await;
        if core.config.spread_by_rank {
            core.spread_by_rank(&report.ready).await;
        }
        Ok(report)
    }
}
