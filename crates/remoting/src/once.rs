//! A result that many tasks wait for, told in the order in which they began to wait.
//!
//! tokio's `watch` wakes its waiters in random order, and who dials or sends first after a shared
//! wait would differ from run to run: a seed could not repeat its history.

use std::fmt;
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

struct Shared<T> {
    /// Nothing within: whoever was to tell it is gone.
    result: OnceLock<Option<T>>,
    told: Notify,
}

impl<T> Shared<T> {
    fn set(&self, result: Option<T>) {
        if self.result.set(result).is_ok() {
            self.told.notify_waiters();
        }
    }
}

/// The side that tells. Dropped before, it tells that there will be no result.
pub struct Teller<T> {
    shared: Arc<Shared<T>>,
}

/// The side that waits. Clones wait for the same result.
pub struct Awaited<T> {
    shared: Arc<Shared<T>>,
}

/// The two sides of a result.
#[must_use]
pub fn once<T>() -> (Teller<T>, Awaited<T>) {
    let shared = Arc::new(Shared {
        result: OnceLock::new(),
        told: Notify::new(),
    });
    let awaited = Awaited {
        shared: Arc::clone(&shared),
    };
    (Teller { shared }, awaited)
}

impl<T> Teller<T> {
    /// Tells the result to all who wait for it now or later.
    pub fn tell(self, result: T) {
        self.shared.set(Some(result));
    }
}

impl<T> Drop for Teller<T> {
    fn drop(&mut self) {
        self.shared.set(None);
    }
}

impl<T: Send + Sync> Awaited<T> {
    /// Waits for the result; `None` if whoever was to tell it is gone.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn wait(&self) -> Option<&T> {
        // Before the look, so that it is not missed in between.
        let told = self.shared.told.notified();
        if self.is_open() {
            told.await;
        }
        self.shared.result.get()?.as_ref()
    }

    /// Whether the result is still to come.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.shared.result.get().is_none()
    }
}

impl<T> Clone for Awaited<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> fmt::Debug for Teller<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Teller").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Awaited<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_open = self.shared.result.get().is_none();
        f.debug_struct("Awaited")
            .field("is_open", &is_open)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::task::{JoinSet, yield_now};

    use super::*;

    #[tokio::test]
    async fn waiters_are_told_in_the_order_in_which_they_came() {
        let (teller, awaited) = once();
        let order = Arc::new(Mutex::new(Vec::new()));
        let began = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for number in 0..100 {
            let (awaited, order) = (awaited.clone(), Arc::clone(&order));
            let began = Arc::clone(&began);
            tasks.spawn(async move {
                began.fetch_add(1, Ordering::SeqCst);
                let result = awaited.wait().await.copied();
                order.lock().unwrap().push((number, result));
            });
        }
        while began.load(Ordering::SeqCst) < 100 {
            yield_now().await;
        }
        assert!(awaited.is_open());
        teller.tell("done");
        tasks.join_all().await;
        let expected: Vec<_> = (0..100).map(|number| (number, Some("done"))).collect();
        assert_eq!(*order.lock().unwrap(), expected);
        assert_eq!(awaited.wait().await, Some(&"done"), "also told later");
    }

    #[tokio::test]
    async fn nobody_waits_for_one_who_is_gone() {
        let (teller, awaited) = once::<()>();
        let (told, ()) = tokio::join!(awaited.wait(), async { drop(teller) });
        assert_eq!(told, None);
        assert!(!awaited.is_open());
        assert_eq!(awaited.wait().await, None);
    }
}
