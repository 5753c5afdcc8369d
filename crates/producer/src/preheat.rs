//! Making routes, connections and heartbeats ready before the first send.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::warn;

use crate::config::routing::RoutingError;
use crate::core::Core;
use crate::error::StartError;
use crate::heartbeat::HeartbeatReport;

/// What to make ready at start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Preheat {
    pub(crate) topics: Vec<Arc<str>>,
    /// A topic without a usable route makes the start fail.
    pub(crate) required: bool,
}

/// What was made ready at start.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PreheatReport {
    /// Topics with a usable route.
    pub ready: Vec<Arc<str>>,
    /// Topics without one, and why; sending to them tries again.
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
            routes.spawn(async move {
                let routed = router.route_message(&topic, None, None, deadline).await;
                (topic, routed.err())
            });
        }
        for (topic, failure) in routes.join_all().await {
            match failure {
                None => report.ready.push(topic),
                Some(cause) if self.required => return Err(StartError::Preheat { topic, cause }),
                Some(cause) => {
                    warn!(%topic, %cause, "topic cannot be preheated");
                    report.failed.push((topic, cause));
                }
            }
        }
        report.ready.sort();
        report.heartbeats = core.heartbeat_all().await;
        Ok(report)
    }
}
