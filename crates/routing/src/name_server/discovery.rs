//! Name server addresses that change while the producer runs.

use std::{
    error::Error,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::Instant;

use super::addresses::NameServerAddresses;

/// Where the addresses of the name servers come from, if not from a fixed list.
#[async_trait]
pub trait NameServerDiscovery: fmt::Debug + Send + Sync + 'static {
    /// The addresses of now. A list is never empty: no address is an error.
    ///
    /// # Errors
    /// Any; the last list stays in use.
    ///
    /// # Cancel safety
    /// Must be safe to drop: an answer that takes too long is not waited for.
    async fn addresses(&self) -> Result<NameServerAddresses, DiscoveryError>;

    /// The longest wait for the addresses. Default 5 s.
    fn patience(&self) -> Duration {
        Duration::from_secs(5)
    }
}

/// Why no list of name servers was discovered.
#[derive(Debug)]
pub struct DiscoveryError {
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl DiscoveryError {
    /// An error by its words: lower case, without a full stop.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            source: None,
        }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for DiscoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for DiscoveryError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}

/// How discovery goes.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DiscoveryStatus {
    /// When the addresses last came.
    pub succeeded_at: Option<Instant>,
    /// Times that no list came since one last did. The last list is in use meanwhile.
    pub failures: u64,
    /// Why the last one did not come; nothing once one has come again.
    pub last_error: Option<Arc<DiscoveryError>>,
}

/// A discovery with what became of it.
#[derive(Debug)]
pub(super) struct Discovery {
    source: Arc<dyn NameServerDiscovery>,
    /// One question at a time; others wait for its answer.
    asking: tokio::sync::Mutex<()>,
    status: Mutex<DiscoveryStatus>,
}

impl Discovery {
    pub(super) fn new(source: Arc<dyn NameServerDiscovery>) -> Self {
        Self {
            source,
            asking: tokio::sync::Mutex::new(()),
            status: Mutex::default(),
        }
    }

    pub(super) fn status(&self) -> DiscoveryStatus {
        self.lock().clone()
    }

    /// Waits for the turn to ask.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.asking.lock().await
    }

    /// Asks once and notes what came of it.
    pub(super) async fn ask(&self) -> Result<NameServerAddresses, Arc<DiscoveryError>> {
        let patience = self.source.patience();
        let answer = match tokio::time::timeout(patience, self.source.addresses()).await {
            Ok(answer) => answer,
            Err(_) => Err(DiscoveryError::new(format!(
                "no answer within {patience:?}"
            ))),
        };
        let mut status = self.lock();
        match answer {
            Ok(addresses) => {
                *status = DiscoveryStatus {
                    succeeded_at: Some(Instant::now()),
                    ..DiscoveryStatus::default()
                };
                Ok(addresses)
            }
            Err(error) => {
                let error = Arc::new(error);
                status.failures = status.failures.saturating_add(1);
                status.last_error = Some(Arc::clone(&error));
                Err(error)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, DiscoveryStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
