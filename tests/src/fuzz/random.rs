//! Random numbers that stay the same for a seed, whatever versions of crates are used.
//!
//! A failure is reported as seed and iteration, so these numbers are part of the report's meaning;
//! those of the `rand` crate may change with its version.

/// The generator SplitMix64: small, quick, and good enough to choose mutations.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of one input: every (target, seed, iteration) has its own, so that an input can
    /// be made again without those before it.
    #[must_use]
    pub fn of_input(target: &str, seed: u64, iteration: u64) -> Self {
        let name = target.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, b| {
            (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut start = Self(name ^ seed.wrapping_mul(0xd6e8_feb8_6659_fd93));
        Self(start.next_u64() ^ iteration.wrapping_mul(0xa076_1d64_78bd_642f))
    }

    /// Numbers that depend on a few bytes of an input.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(
            bytes
                .iter()
                .fold(0, |sum, byte| (sum << 8) ^ u64::from(*byte)),
        )
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.next_u64()) * (bound as u128);
        usize::try_from(wide >> 64).unwrap_or(0)
    }

    /// Whether one of `n` chances comes true.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        self.next_u64().to_be_bytes()[0]
    }

    /// One of `choices`; nothing if there is none.
    pub fn choose<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        choices.get(self.below(choices.len()))
    }
}
