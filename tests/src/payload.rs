//! Bodies that look like data and are the same in every run.

use bytes::Bytes;

/// `len` bytes that do not compress and do not repeat; another `seed` gives others.
#[must_use]
pub fn noise(seed: u64, len: usize) -> Bytes {
    let mut state = seed;
    let words = std::iter::repeat_with(|| {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)).to_le_bytes()
    });
    words.flatten().take(len).collect()
}

#[cfg(test)]
mod tests {
    use super::noise;

    #[test]
    fn noise_is_repeatable_and_differs_by_seed() {
        assert_eq!(noise(1, 1000), noise(1, 1000));
        assert_ne!(noise(1, 1000), noise(2, 1000));
        assert_eq!(noise(7, 13).len(), 13);
    }
}
