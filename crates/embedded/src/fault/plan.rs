//! The faults that are in force on one server.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rocketmq_producer_remoting::{Frame, RemotingCommand, RequestCode};
use tokio::sync::watch;

use super::{Fault, Reaction};

/// The faults of one server. Clones share them.
///
/// Of several that concern a request the one armed first fires. While there are none a request
/// costs one atomic load more.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    has_faults: AtomicBool,
    armed: Mutex<Vec<ArmedFault>>,
}

impl FaultPlan {
    /// Puts a fault in force.
    pub fn arm(&self, fault: Fault) -> ArmedFault {
        let armed = ArmedFault {
            fault: Arc::new(fault),
            state: Arc::new(watch::Sender::new(State::default())),
        };
        let mut list = self.lock();
        list.push(armed.clone());
        self.inner.has_faults.store(true, Ordering::Release);
        armed
    }

    /// Lifts all faults; connections that stall go on.
    pub fn clear(&self) {
        let mut list = self.lock();
        self.inner.has_faults.store(false, Ordering::Release);
        for armed in list.drain(..) {
            armed.lift();
        }
    }

    /// The fault that concerns this request, counted as fired.
    pub(crate) fn fire(&self, code: RequestCode, frame: &Frame) -> Option<ArmedFault> {
        if !self.inner.has_faults.load(Ordering::Acquire) {
            return None;
        }
        let mut list = self.lock();
        list.retain(|armed| armed.is_armed() || armed.holds_connections());
        if list.is_empty() {
            self.inner.has_faults.store(false, Ordering::Release);
        }
        list.iter()
            .find(|armed| armed.concerns(code, frame) && armed.count())
            .cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<ArmedFault>> {
        self.inner
            .armed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    fired: u64,
    is_lifted: bool,
}

/// A fault in force. Dropping it changes nothing; the fault stays until it is lifted or used up.
#[derive(Clone, Debug)]
pub struct ArmedFault {
    fault: Arc<Fault>,
    state: Arc<watch::Sender<State>>,
}

impl ArmedFault {
    /// How often it has fired.
    #[must_use]
    pub fn fired(&self) -> u64 {
        self.state.borrow().fired
    }

    /// Waits until it has fired `times` times.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn wait_fired(&self, times: u64) {
        let mut states = self.state.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = states.wait_for(|state| state.fired >= times).await;
    }

    /// Takes it out of force; connections that stall because of it go on.
    pub fn lift(&self) {
        self.state.send_modify(|state| state.is_lifted = true);
    }

    /// Waits until it is lifted.
    pub(crate) async fn lifted(&self) {
        let mut states = self.state.subscribe();
        let _ = states.wait_for(|state| state.is_lifted).await;
    }

    pub(crate) fn reaction(&self) -> &Reaction {
        &self.fault.reaction
    }

    fn is_armed(&self) -> bool {
        let state = self.state.borrow();
        !state.is_lifted && self.fault.times.is_none_or(|times| state.fired < times)
    }

    /// Whether connections wait for it to be lifted, be it used up or not.
    fn holds_connections(&self) -> bool {
        matches!(self.reaction(), Reaction::Stall | Reaction::HalfOpen)
            && !self.state.borrow().is_lifted
    }

    fn concerns(&self, code: RequestCode, frame: &Frame) -> bool {
        let condition = &self.fault.condition;
        condition.wants_code(code)
            && condition
                .topic
                .as_deref()
                .is_none_or(|topic| topic_of(code, frame).as_deref() == Some(topic))
    }

    /// Counts one firing, unless another request has just used up the last.
    fn count(&self) -> bool {
        self.state.send_if_modified(|state| {
            let fires =
                !state.is_lifted && self.fault.times.is_none_or(|times| state.fired < times);
            state.fired += u64::from(fires);
            fires
        })
    }
}

/// The topic that a request names, under either of its names.
fn topic_of(code: RequestCode, frame: &Frame) -> Option<String> {
    let name = match code {
        RequestCode::SEND_MESSAGE_V2 | RequestCode::SEND_BATCH_MESSAGE => "b",
        _ => "topic",
    };
    let request = RemotingCommand::decode(frame.clone()).ok()?;
    request.field(name).map(str::to_owned)
}
