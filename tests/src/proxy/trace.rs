//! What became of each send on the wire, for findings that need proof.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The frames of sends by their `UNIQ_KEY`, of all proxies that share it. Records nothing until it is
/// [switched on](Self::record). Clones share the record.
#[derive(Debug, Clone)]
pub struct Trace {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    is_on: AtomicBool,
    began: Instant,
    frames: Mutex<HashMap<Box<str>, Vec<Step>>>,
}

/// One thing that happened to a send.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Step {
    /// Since the trace was made.
    pub at: Duration,
    /// The proxy's name.
    pub server: Arc<str>,
    /// Which of the proxy's connections.
    pub connection: u64,
    /// The number of the request on that connection.
    pub opaque: i32,
    /// What happened.
    pub what: What,
}

/// What happened to a send.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// Its answer was passed on.
    Answered {
        /// The response code.
        code: i32,
        /// Queue and offset, in the answer's words.
        position: Option<(String, String)>,
    },
    /// Its answer came and was not passed on as it was.
    AnswerSpoilt {
        /// The response code.
        code: i32,
    },
    /// The connection ended before an answer came.
    Cut,
    /// The proxy gave this answer itself.
    Forged(i32),
    /// The request was written to the server, or its writing begun.
    Forwarded,
    /// The request was not written to the server.
    Withheld,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            at,
            server,
            connection,
            opaque,
            what,
        } = self;
        let at = at.as_secs_f64();
        write!(
            f,
            "{at:9.3} s {server} connection {connection} request {opaque}: "
        )?;
        match what {
            What::Answered { code, position } => {
                write!(f, "answered with {code}")?;
                position
                    .as_ref()
                    .map_or(Ok(()), |(queue, offset)| write!(f, " at {queue}@{offset}"))
            }
            What::AnswerSpoilt { code } => write!(f, "answered with {code}, not passed on"),
            What::Cut => f.write_str("connection ended before an answer"),
            What::Forged(code) => write!(f, "answered with {code} by the proxy"),
            What::Forwarded => f.write_str("forwarded"),
            What::Withheld => f.write_str("not forwarded"),
        }
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            inner: Arc::new(Inner {
                is_on: AtomicBool::new(false),
                began: Instant::now(),
                frames: Mutex::default(),
            }),
        }
    }
}

impl Trace {
    /// Records from now on, or no longer; what is recorded stays.
    pub fn record(&self, is_on: bool) {
        self.inner.is_on.store(is_on, Ordering::Release);
    }

    /// Forgets what is recorded.
    pub fn clear(&self) {
        *self.frames() = HashMap::new();
    }

    /// What happened to a send, in order.
    #[must_use]
    pub fn of(&self, unique_key: &str) -> Vec<Step> {
        self.frames().get(unique_key).cloned().unwrap_or_default()
    }

    /// How many sends were forwarded, each attempt counted.
    #[must_use]
    pub fn forwarded(&self) -> usize {
        let frames = self.frames();
        let steps = frames.values().flatten();
        steps.filter(|step| step.what == What::Forwarded).count()
    }

    pub(super) fn is_on(&self) -> bool {
        self.inner.is_on.load(Ordering::Acquire)
    }

    pub(super) fn note(
        &self,
        unique_key: &str,
        (server, connection): (&Arc<str>, u64),
        opaque: i32,
        what: What,
    ) {
        let step = Step {
            at: self.inner.began.elapsed(),
            server: Arc::clone(server),
            connection,
            opaque,
            what,
        };
        let mut frames = self.frames();
        match frames.get_mut(unique_key) {
            Some(steps) => steps.push(step),
            None => {
                frames.insert(unique_key.into(), vec![step]);
            }
        }
    }

    fn frames(&self) -> MutexGuard<'_, HashMap<Box<str>, Vec<Step>>> {
        let frames = self.inner.frames.lock();
        frames.unwrap_or_else(PoisonError::into_inner)
    }
}
