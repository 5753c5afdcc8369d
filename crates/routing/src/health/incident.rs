//! Failures that have one cause count once.

use std::{any::Any, fmt, sync::Arc};

use rocketmq_producer_remoting::{ConnectError, ConnectFailure, RequestError, RequestFailure};

/// What a failure was part of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Incident {
    /// One event that failed many requests, such as the break of one connection with
    /// a hundred requests in flight. Of its reports only the first is counted.
    Shared(IncidentId),
    /// It stands alone and is counted.
    Single,
}

impl Incident {
    /// The incident behind a request without answer: all requests that one break of
    /// a connection failed share one.
    #[must_use]
    pub fn of_request(error: &RequestError) -> Self {
        match error.failure() {
            RequestFailure::ConnectionLost(reason) => Self::Shared(IncidentId::of(reason)),
            _ => Self::Single,
        }
    }

    /// The incident behind a failed dial: all callers that waited for it, or were
    /// told of it during the pause after it, share one.
    #[must_use]
    pub fn of_connect(error: &ConnectError) -> Self {
        Self::of_connect_failure(error.failure())
    }

    fn of_connect_failure(failure: &ConnectFailure) -> Self {
        match failure {
            ConnectFailure::Io(cause) => Self::Shared(IncidentId::of(cause)),
            ConnectFailure::TimedOut(limit) => Self::Shared(IncidentId::of(limit)),
            ConnectFailure::EndedAtOnce(reason) => Self::Shared(IncidentId::of(reason)),
            ConnectFailure::BackingOff { cause, .. } => Self::of_connect_failure(cause),
            _ => Self::Single,
        }
    }
}

/// Names one event by the identity of its shared cause.
///
/// It keeps the cause alive, hence a later event can never look like this one.
#[derive(Clone)]
pub struct IncidentId(Arc<dyn Any + Send + Sync>);

impl IncidentId {
    /// The event whose cause this is; clones of the `Arc` give equal ids.
    pub fn of<T: Any + Send + Sync>(cause: &Arc<T>) -> Self {
        let cause: Arc<T> = Arc::clone(cause);
        Self(cause)
    }

    fn address(&self) -> *const () {
        Arc::as_ptr(&self.0).cast()
    }
}

impl PartialEq for IncidentId {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.address(), other.address())
    }
}

impl Eq for IncidentId {}

impl fmt::Debug for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IncidentId({:p})", self.address())
    }
}

/// Incidents remembered per broker. More than this many at once, each with reports
/// still to come, would be counted a second time, which is harmless.
const REMEMBERED: usize = 16;

/// The incidents last counted.
#[derive(Clone, Debug, Default)]
pub(super) struct RecentIncidents {
    ids: [Option<IncidentId>; REMEMBERED],
    next: usize,
}

impl RecentIncidents {
    /// Whether this report is the first of its incident.
    pub(super) fn is_new(&mut self, incident: &Incident) -> bool {
        let Incident::Shared(id) = incident else {
            return true;
        };
        if self.ids.iter().flatten().any(|known| known == id) {
            return false;
        }
        if let Some(slot) = self.ids.get_mut(self.next) {
            *slot = Some(id.clone());
        }
        self.next = (self.next + 1) % REMEMBERED;
        true
    }
}
