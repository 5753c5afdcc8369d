//! Wall-clock time by a seam, so that tests decide what time it is.

/// Where the time of day comes from.
pub trait WallClock: Send + Sync {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn epoch_millis(&self) -> u64;
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a unit that callers name as a value"
)]
pub struct SystemClock;

impl WallClock for SystemClock {
    fn epoch_millis(&self) -> u64 {
        #[expect(clippy::disallowed_methods, reason = "this is the clock seam")]
        let now = std::time::SystemTime::now();
        // A clock set before 1970 reads as 1970; ids stay unique by their counter.
        now.duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
    }
}
