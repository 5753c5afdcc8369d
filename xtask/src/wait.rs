//! Waiting for a state of another process, with a deadline; the one place here that reads the clock.

use std::time::{Duration, Instant};

/// How long to pause between two looks at a state that is waited for.
const PAUSE: Duration = Duration::from_millis(50);

/// The current instant.
#[expect(
    clippy::disallowed_methods,
    reason = "tools outside any async runtime: there is no clock to pause"
)]
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// Calls `look` until it finds something, for at most `timeout`; `look` is called at least once.
pub fn until<T>(timeout: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = now();
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if start.elapsed() >= timeout {
            return None;
        }
        std::thread::sleep(PAUSE);
    }
}
