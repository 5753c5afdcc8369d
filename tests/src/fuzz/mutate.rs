//! Makes inputs: random ones, and mutations of known ones.

use super::random::Random;

/// Longest input, but for [`LONGEST`].
pub const USUAL_LENGTH: usize = 64 * 1024;
/// Longest of the few that are longer, to see that time and memory grow with the length only.
pub const LONGEST: usize = 1024 * 1024;

/// One of so many inputs is grown to [`USUAL_LENGTH`] or less by repetition.
const GROWN: usize = 4096;
/// One of so many of those is grown to [`LONGEST`].
const GROWN_LONG: usize = 32;

/// Numbers at which readers break, as text.
const DECIMALS: [&[u8]; 16] = [
    b"0",
    b"-0",
    b"-1",
    b"1",
    b"00",
    b"127",
    b"32768",
    b"65536",
    b"2147483647",
    b"2147483648",
    b"-2147483648",
    b"9223372036854775807",
    b"-9223372036854775809",
    b"18446744073709551616",
    b"1e3",
    b"0.5",
];

/// Numbers at which readers break, as 32 bits.
const WORDS: [u32; 14] = [
    0,
    1,
    2,
    4,
    8,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x00ff_fffc,
    0x0100_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
];

/// Makes the inputs of one target.
#[derive(Clone, Debug)]
pub struct Mutator<'a> {
    target: &'a str,
    seed: u64,
    seeds: &'a [Vec<u8>],
    tokens: &'a [&'a [u8]],
}

impl<'a> Mutator<'a> {
    /// A mutator over `seeds`; the same arguments make the same inputs.
    #[must_use]
    pub const fn new(
        target: &'a str,
        seed: u64,
        seeds: &'a [Vec<u8>],
        tokens: &'a [&'a [u8]],
    ) -> Self {
        Self {
            target,
            seed,
            seeds,
            tokens,
        }
    }

    /// Puts the input numbered `iteration` into `input`. The first ones are the seeds as they are.
    pub fn make(&self, iteration: u64, input: &mut Vec<u8>) {
        input.clear();
        let known = usize::try_from(iteration)
            .ok()
            .and_then(|index| self.seeds.get(index));
        if let Some(seed) = known {
            input.extend_from_slice(seed);
            return;
        }
        let mut random = Random::of_input(self.target, self.seed, iteration);
        match random.below(16) {
            0 => {
                let length = random.below(64);
                input.extend((0..length).map(|_| random.byte()));
            }
            1 => {
                // Tokens after tokens: nothing of it is likely, and all of it is grammar.
                for _ in 0..random.below(24) {
                    self.insert_token(input, &mut random);
                }
            }
            _ => {
                if let Some(seed) = random.choose(self.seeds) {
                    input.extend_from_slice(seed);
                }
                // Mostly one: what is nearly right gets deepest into a decoder.
                let most = random.choose(&[1, 1, 1, 2, 4, 16]).copied();
                for _ in 0..=random.below(most.unwrap_or(1)) {
                    self.mutate(input, &mut random);
                }
            }
        }
        if random.one_in(GROWN) {
            let limit = if random.one_in(GROWN_LONG) {
                LONGEST
            } else {
                1 + random.below(USUAL_LENGTH)
            };
            grow(input, limit, &mut random);
        } else {
            input.truncate(USUAL_LENGTH);
        }
    }

    fn insert_token(&self, input: &mut Vec<u8>, random: &mut Random) {
        if let Some(token) = random.choose(self.tokens) {
            input.extend_from_slice(token);
        }
    }

    fn mutate(&self, input: &mut Vec<u8>, random: &mut Random) {
        let at = random.below(input.len() + 1);
        match random.below(14) {
            0 => input.truncate(at),
            1 => set(input, at, &[random.byte()]),
            2 => flip_bit(input, at, random),
            3 => {
                let token = random.choose(self.tokens).copied().unwrap_or_default();
                input.splice(at..at, token.iter().copied());
            }
            4 => {
                let token = random.choose(self.tokens).copied().unwrap_or_default();
                set(input, at, token);
            }
            5 => {
                let range = piece(input.len(), at, 8, random);
                input.drain(range);
            }
            6 => {
                let range = piece(input.len(), at, 64, random);
                input.drain(range);
            }
            7 => {
                let range = piece(input.len(), at, 64, random);
                let copy = input.get(range).unwrap_or_default().to_vec();
                let to = random.below(input.len() + 1);
                input.splice(to..to, copy);
            }
            8 => {
                // The head of one input and the tail of another.
                let other = random.choose(self.seeds).map_or(&[][..], Vec::as_slice);
                let from = random.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(other.get(from..).unwrap_or_default());
            }
            9 => {
                let other = random.choose(self.seeds).map_or(&[][..], Vec::as_slice);
                let from = random.below(other.len() + 1);
                let range = piece(other.len(), from, 48, random);
                let copy = other.get(range).unwrap_or_default().iter().copied();
                input.splice(at..at, copy);
            }
            10 => {
                let word = random.choose(&WORDS).copied().unwrap_or_default();
                match random.below(3) {
                    0 => set(input, at, &word.to_be_bytes()[3..]),
                    1 => set(input, at, &word.to_be_bytes()[2..]),
                    _ => set(input, at, &word.to_be_bytes()),
                }
            }
            11 => nudge_length(input, random),
            12 => replace_number(input, at, random),
            _ => {
                let length = 1 + random.below(4);
                let new: Vec<u8> = (0..length).map(|_| random.byte()).collect();
                input.splice(at..at, new);
            }
        }
    }
}

/// Overwrites from `at` on, as far as the input goes.
fn set(input: &mut [u8], at: usize, new: &[u8]) {
    for (old, new) in input.iter_mut().skip(at).zip(new) {
        *old = *new;
    }
}

fn flip_bit(input: &mut [u8], at: usize, random: &mut Random) {
    if let Some(byte) = input.get_mut(at) {
        *byte ^= 1 << random.below(8);
    }
}

/// At most `most` bytes from `at` on.
fn piece(length: usize, at: usize, most: usize, random: &mut Random) -> std::ops::Range<usize> {
    let at = at.min(length);
    at..at + random.below(most + 1).min(length - at)
}

/// Changes something that looks like a length of 16 or 32 bits a little, so that it is nearly right.
fn nudge_length(input: &mut [u8], random: &mut Random) {
    let length = input.len();
    let start = random.below(length + 1);
    let found = (0..length).map(|n| (start + n) % length).find(|at| {
        let word = input.get(*at..at + 4).and_then(|w| w.try_into().ok());
        word.is_some_and(|word| {
            let value = u32::from_be_bytes(word);
            value > 0 && usize::try_from(value).is_ok_and(|value| value <= length)
        })
    });
    let by = [1_i32, -1, 2, -2, 4, -4, 256, -256];
    let by = random.choose(&by).copied().unwrap_or(1);
    if let Some(word) = found.and_then(|at| input.get_mut(at..at + 4)) {
        let value = word.iter().fold(0_i32, |v, b| (v << 8) | i32::from(*b));
        word.copy_from_slice(&value.wrapping_add(by).to_be_bytes());
    }
}

/// Puts an interesting number where digits stand, at `at` or after it.
fn replace_number(input: &mut Vec<u8>, at: usize, random: &mut Random) {
    let tail = input.get(at..).unwrap_or_default();
    let Some(begin) = tail.iter().position(u8::is_ascii_digit) else {
        return;
    };
    let digits = tail
        .iter()
        .skip(begin)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let range = at + begin..at + begin + digits;
    let number = random.choose(&DECIMALS).copied().unwrap_or_default();
    input.splice(range, number.iter().copied());
}

/// Repeats a piece of the input in its place until it has `limit` bytes.
fn grow(input: &mut Vec<u8>, limit: usize, random: &mut Random) {
    let at = random.below(input.len() + 1);
    let range = piece(input.len(), at, 32, random);
    let end = range.end;
    let unit = input.get(range).unwrap_or_default().to_vec();
    if unit.is_empty() || input.len() >= limit {
        return;
    }
    let missing = limit - input.len();
    let more: Vec<u8> = unit.iter().copied().cycle().take(missing).collect();
    input.splice(end..end, more);
}
