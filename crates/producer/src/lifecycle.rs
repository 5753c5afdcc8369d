//! The states of a producer and the changes between them.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

/// The states of a producer. They only ever advance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum State {
    /// Built, not started: a send is refused.
    Created,
    /// Started: messages are taken.
    Running,
    /// Shutting down: no message is taken, those under way finish.
    Stopping,
    /// Shut down for good.
    Stopped,
}

impl State {
    const ALL: [Self; 4] = [Self::Created, Self::Running, Self::Stopping, Self::Stopped];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "not started",
            Self::Running => "running",
            Self::Stopping => "shutting down",
            Self::Stopped => "shut down",
        })
    }
}

/// The state, readable by every send without a lock.
#[derive(Debug)]
pub(crate) struct StateCell(AtomicU8);

impl StateCell {
    pub(crate) const fn new() -> Self {
        Self(AtomicU8::new(State::Created as u8))
    }

    pub(crate) fn get(&self) -> State {
        // Ordered with the gate's count: a send that saw "running" is seen by the shutdown.
        let state = self.0.load(Ordering::SeqCst);
        State::ALL
            .get(usize::from(state))
            .copied()
            .unwrap_or(State::Stopped)
    }

    /// Advances to `next`, unless the producer is already there or beyond; returns the state
    /// before.
    pub(crate) fn advance(&self, next: State) -> State {
        let before = self.0.fetch_max(next as u8, Ordering::SeqCst);
        State::ALL
            .get(usize::from(before))
            .copied()
            .unwrap_or(State::Stopped)
    }

    /// Ends a producer that was never started; returns whether it was one.
    pub(crate) fn end_unstarted(&self) -> bool {
        let (created, stopped) = (State::Created as u8, State::Stopped as u8);
        self.0
            .compare_exchange(created, stopped, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_never_goes_back() {
        let cell = StateCell::new();
        assert_eq!(cell.get(), State::Created);
        assert_eq!(cell.advance(State::Stopping), State::Created);
        assert_eq!(cell.advance(State::Running), State::Stopping);
        assert_eq!(cell.get(), State::Stopping);
    }
}
