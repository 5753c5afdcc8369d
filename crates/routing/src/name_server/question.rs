//! One question for a route, the answer to it, and what it has met so far.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use rocketmq_producer_remoting::protocol::TopicRouteData;
use tokio::time::Instant;

use super::error::{AttemptCause, NameServerAttempt};

/// What a [`RouteSource`](super::RouteSource) is asked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RouteQuestion<'a> {
    /// The topic.
    pub topic: &'a str,
    /// When the answer is no longer wanted.
    pub deadline: Instant,
    /// The body of the last answer. If the same comes again it need not be parsed.
    pub known: Option<&'a Bytes>,
    /// Where to note whom the question went to, for callers that give up earlier.
    pub progress: RouteProgress,
}

impl<'a> RouteQuestion<'a> {
    /// A question for a topic that nothing is known of.
    #[must_use]
    pub fn new(topic: &'a str, deadline: Instant) -> Self {
        Self {
            topic,
            deadline,
            known: None,
            progress: RouteProgress::default(),
        }
    }
}

/// The body of a route answer and who gave it.
#[derive(Clone, Debug)]
pub struct RouteAnswer {
    address: Arc<str>,
    body: Bytes,
    data: Option<Arc<TopicRouteData>>,
}

impl RouteAnswer {
    /// An answer of a name server.
    #[must_use]
    pub fn new(address: impl Into<Arc<str>>, body: impl Into<Bytes>) -> Self {
        Self {
            address: address.into(),
            body: body.into(),
            data: None,
        }
    }

    /// Adds what the body says, so that nobody parses it again.
    #[must_use]
    pub fn with_data(mut self, data: Arc<TopicRouteData>) -> Self {
        self.data = Some(data);
        self
    }

    /// The name server.
    #[must_use]
    pub fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// The route as it came.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// What the body says, parsed now if nobody has.
    pub(crate) fn parsed(&self) -> Result<Arc<TopicRouteData>, AttemptCause> {
        match &self.data {
            Some(data) => Ok(Arc::clone(data)),
            None => TopicRouteData::parse(&self.body)
                .map(Arc::new)
                .map_err(|error| AttemptCause::InvalidRoute(Arc::new(error))),
        }
    }
}

/// Which addresses a question went to and what they did; readable while it is under
/// way. Clones share the notes.
#[derive(Clone, Default)]
pub struct RouteProgress {
    notes: Arc<Mutex<Vec<Note>>>,
}

struct Note {
    address: Arc<str>,
    asked: Instant,
    cause: Option<AttemptCause>,
}

impl RouteProgress {
    /// Notes that an address is asked now.
    pub fn asked(&self, address: &Arc<str>) {
        self.lock().push(Note {
            address: Arc::clone(address),
            asked: Instant::now(),
            cause: None,
        });
    }

    /// Notes why an address gave no route. One that was not asked is noted too.
    pub fn failed(&self, address: &Arc<str>, cause: AttemptCause) {
        let mut notes = self.lock();
        let open = notes
            .iter_mut()
            .rfind(|note| note.address == *address && note.cause.is_none());
        match open {
            Some(note) => note.cause = Some(cause),
            None => notes.push(Note {
                address: Arc::clone(address),
                asked: Instant::now(),
                cause: Some(cause),
            }),
        }
    }

    /// What each address did, in the order in which they were asked. Those that have
    /// not answered yet are [`AttemptCause::Waiting`].
    #[must_use]
    pub fn attempts(&self) -> Arc<[NameServerAttempt]> {
        let now = Instant::now();
        let attempt = |note: &Note| NameServerAttempt {
            address: Arc::clone(&note.address),
            cause: note.cause.clone().unwrap_or_else(|| AttemptCause::Waiting {
                elapsed: now.saturating_duration_since(note.asked),
            }),
        };
        self.lock().iter().map(attempt).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Note>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RouteProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.attempts().iter()).finish()
    }
}
