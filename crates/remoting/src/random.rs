//! The one source of chance in pauses and choices, so that a simulation can repeat a run.

use std::cell::RefCell;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

thread_local! {
    /// Set by [`seed_thread`]; without it the thread's own generator is used.
    static SEEDED: RefCell<Option<StdRng>> = const { RefCell::new(None) };
}

/// A number from `0.0..1.0`.
#[must_use]
pub fn unit() -> f64 {
    draw(|seeded| seeded.random(), || rand::rng().random())
}

/// A number from `0..bound`; 0 if `bound` is 0.
#[must_use]
pub fn below(bound: usize) -> usize {
    let bound = bound.max(1);
    draw(
        |seeded| seeded.random_range(0..bound),
        || rand::rng().random_range(0..bound),
    )
}

/// A number to start a generator from.
#[must_use]
pub fn seed() -> u64 {
    draw(|seeded| seeded.random(), || rand::rng().random())
}

/// From now on this thread draws the numbers that belong to `seed`.
#[doc(hidden)]
pub fn seed_thread(seed: u64) {
    SEEDED.set(Some(StdRng::seed_from_u64(seed)));
}

fn draw<T>(seeded: impl FnOnce(&mut StdRng) -> T, own: impl FnOnce() -> T) -> T {
    SEEDED.with_borrow_mut(|generator| match generator {
        Some(generator) => seeded(generator),
        None => own(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_numbers_and_another_one_does_not() {
        let numbers = |seed| {
            seed_thread(seed);
            std::array::from_fn::<f64, 8, _>(|_| unit())
        };
        assert_eq!(numbers(1), numbers(1));
        assert_ne!(numbers(1), numbers(2));
        SEEDED.set(None);
    }

    #[test]
    fn numbers_stay_below_their_bound() {
        assert_eq!((below(0), below(1)), (0, 0));
        assert!((0..1000).all(|_| below(3) < 3));
        assert!((0..1000).all(|_| (0.0..1.0).contains(&unit())));
    }
}
