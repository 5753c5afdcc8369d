//! Quick hashing of topics: a send looks its topic up once, and the usual hash costs more than the rest of it.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Makes hashers with a start of their own, so that the places of topics cannot be
/// foreseen. Meant for maps that are bounded besides.
#[derive(Clone, Debug)]
pub struct TopicHashing {
    seed: u64,
}

impl Default for TopicHashing {
    fn default() -> Self {
        Self {
            seed: RandomState::new().hash_one(0_u8),
        }
    }
}

impl BuildHasher for TopicHashing {
    type Hasher = TopicHasher;

    fn build_hasher(&self) -> TopicHasher {
        TopicHasher(self.seed)
    }
}

/// Hashes one text, and nothing else.
#[derive(Debug)]
pub struct TopicHasher(u64);

impl TopicHasher {
    /// Odd, with bits set all over.
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

    fn add(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_mul(Self::FACTOR);
        self.0 = mixed ^ (mixed >> 32);
    }
}

impl Hasher for TopicHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((word, tail)) = rest.split_first_chunk::<8>() {
            self.add(u64::from_le_bytes(*word));
            rest = tail;
        }
        let mut last = 0;
        for byte in rest {
            last = last << 8 | u64::from(*byte);
        }
        // With the length, so that texts which differ in zeroes only differ.
        self.add(last ^ (bytes.len() as u64) << 56);
    }

    fn write_u8(&mut self, _: u8) {
        // The mark at the end of a text: the only thing hashed, so it tells nothing.
    }

    fn finish(&self) -> u64 {
        self.0.wrapping_mul(Self::FACTOR)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, hash::BuildHasher};

    use super::TopicHashing;

    #[test]
    fn topics_that_differ_little_are_spread_over_all_places() {
        let hashing = TopicHashing::default();
        let names: Vec<String> = (0..4096)
            .map(|n| format!("orders-{n}"))
            .chain((0..4096).map(|n| format!("{n}-paid-invoices-of-last-year")))
            .collect();
        let hashes: Vec<u64> = names.iter().map(|name| hashing.hash_one(name)).collect();
        assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), names.len());
        // The map takes its shard from the upper bits and the bucket from the lower ones.
        for shift in [0, 8, 32, 50, 56] {
            let mut places = [0_usize; 256];
            for hash in &hashes {
                places[usize::from(hash.wrapping_shr(shift) as u8)] += 1;
            }
            // 32 each on average.
            assert!(
                places.iter().all(|count| (8..80).contains(count)),
                "{shift} {places:?}"
            );
        }
    }
}
