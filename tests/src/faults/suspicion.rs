//! How a producer's own view of the bad broker changes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rocketmq_producer::Producer;
use rocketmq_producer::remoting::Connectivity;
use rocketmq_producer::routing::BrokerHealthInfo;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::Window;

const LOOK: Duration = Duration::from_millis(10);

/// Whether the producer has a reason to prefer another broker.
const fn is_doubted(info: &BrokerHealthInfo) -> bool {
    !info.is_available || matches!(info.connectivity, Connectivity::Suspect(_))
}

/// How the producer's own view of a broker changed.
pub(super) struct Suspicion {
    seen: Arc<Mutex<Vec<View>>>,
    _end: DropGuard,
}

/// One view of a broker.
struct View {
    at: Duration,
    is_doubted: bool,
    text: String,
}

impl Suspicion {
    pub(super) fn watch(producer: &Producer, broker: &str, began: Instant) -> Self {
        let (seen, cancel) = (
            Arc::new(Mutex::new(Vec::<View>::new())),
            CancellationToken::new(),
        );
        let broker = broker.to_owned();
        let (producer, views, ended) = (producer.clone(), Arc::clone(&seen), cancel.clone());
        TaskTracker::new().spawn(async move {
            while !ended.is_cancelled() {
                tokio::time::sleep(LOOK).await;
                let all = producer.router().all_broker_health();
                let own = all.iter().find(|info| *info.broker_name == *broker);
                let Some(info) = own else { continue };
                let text = format!("{}, {:?}, {}", info.state, info.connectivity, info.cause);
                let mut views = views.lock().unwrap_or_else(PoisonError::into_inner);
                if views.last().is_none_or(|last| last.text != text) {
                    views.push(View {
                        at: began.elapsed(),
                        is_doubted: is_doubted(info),
                        text,
                    });
                }
            }
        });
        Self {
            seen,
            _end: cancel.drop_guard(),
        }
    }

    pub(super) fn first_in(&self, window: &Window) -> Option<Duration> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let in_it = |view: &&View| view.at >= window.begun && view.at < window.back;
        let mut doubted = seen.iter().filter(in_it).filter(|view| view.is_doubted);
        doubted.next().map(|view| view.at)
    }

    pub(super) fn story(&self, window: &Window) -> Vec<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let at = |time: Duration| format!("{:.3} s", time.as_secs_f64());
        let mut story = vec![format!(
            "fault at {}, lifted at {}, back at {}",
            at(window.begun),
            at(window.lifted),
            at(window.back)
        )];
        story.extend(
            seen.iter()
                .map(|view| format!("{}: {}", at(view.at), view.text)),
        );
        story
    }
}
