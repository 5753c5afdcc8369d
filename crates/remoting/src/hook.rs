//! Hooks: code of the user's own that is called at fixed points, and how its failures are kept from doing harm.

mod request;

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::time::Instant;

pub(crate) use self::request::Extended;
pub use self::request::{
    AddedFieldError, RequestContext, RequestHook, RequestHooks, RequestOutcome,
};

/// What a hook gives back that may refuse: an error of its own says why.
pub type HookResult = Result<(), Box<dyn Error + Send + Sync>>;

/// A hook that did not let a message or request pass. Nothing of it was sent.
#[derive(Debug, Clone)]
pub struct HookError {
    hook: Arc<str>,
    failure: HookFailure,
}

/// How a hook failed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum HookFailure {
    /// It was not done when the time of the message or request was over.
    DeadlineExceeded,
    /// It panicked. The panic ends there: nothing else is touched by it.
    Panicked,
    /// It returned this error.
    Refused(Arc<dyn Error + Send + Sync>),
}

impl HookError {
    /// The name of the hook, as its method `name` gives it.
    #[must_use]
    pub fn hook(&self) -> &str {
        &self.hook
    }

    /// How it failed.
    #[must_use]
    pub const fn failure(&self) -> &HookFailure {
        &self.failure
    }

    /// With what the hook said.
    pub(crate) fn with_reason(&self) -> String {
        match &self.failure {
            HookFailure::Refused(error) => format!("{self}: {error}"),
            _ => self.to_string(),
        }
    }

    #[doc(hidden)]
    pub fn new(hook: &str, failure: HookFailure) -> Self {
        let hook = Arc::from(hook);
        Self { hook, failure }
    }

    /// What a hook refused with.
    #[doc(hidden)]
    pub fn refused(hook: &str, error: Box<dyn Error + Send + Sync>) -> Self {
        Self::new(hook, HookFailure::Refused(Arc::from(error)))
    }
}

impl fmt::Display for HookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.failure {
            HookFailure::DeadlineExceeded => "was not done before the deadline",
            HookFailure::Panicked => "panicked",
            HookFailure::Refused(_) => "refused",
        };
        write!(f, "hook {} {what}", self.hook)
    }
}

impl Error for HookError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.failure {
            HookFailure::Refused(error) => Some(&**error),
            _ => None,
        }
    }
}

/// Runs a hook until `deadline`, and keeps its panics to itself. A hook that awaits nothing is done even after the
/// deadline.
#[doc(hidden)]
pub async fn guarded<T>(
    hook: &str,
    deadline: Instant,
    work: impl Future<Output = T>,
) -> Result<T, HookError> {
    let mut work = pin!(work);
    let caught =
        poll_fn(
            |context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
                Ok(Poll::Ready(done)) => Poll::Ready(Some(done)),
                Ok(Poll::Pending) => Poll::Pending,
                Err(_) => Poll::Ready(None),
            },
        );
    let failure = match tokio::time::timeout_at(deadline, caught).await {
        Ok(Some(done)) => return Ok(done),
        Ok(None) => HookFailure::Panicked,
        Err(_) => HookFailure::DeadlineExceeded,
    };
    Err(HookError::new(hook, failure))
}
