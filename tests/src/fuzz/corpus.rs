//! Inputs to start from: what the vectors hold, and what once failed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rocketmq_producer::remoting::{HeaderEncoding, MAX_FRAME_LENGTH, decode_frame};
use serde_json::Value;

use super::bytes::from_hex;
use super::mutate::Mutator;
use super::{Target, Verdict};

/// Longer pieces of the vectors are left out: short ones are mutated with more effect.
const LONGEST_SEED: usize = 4096;

/// The same for inputs that are kept in files.
const LONGEST_KEPT: usize = 1024;
/// Inputs of a target that are kept because they are accepted, and because they are not.
const KEPT_ACCEPTED: usize = 24;
const KEPT_REFUSED: usize = 8;

/// What JSON is made of, and what its readers stumble over.
pub(super) const JSON_TOKENS: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b" ",
    b"null",
    b"true",
    b"-1",
    b"1.0",
    b"1e400",
    b"99999999999999999999",
    b"{0:",
    b",-1:",
    b"\"\":",
    b"\"a\":\"b\"",
    b"\\u0000",
    b"\\ud800",
    b"\\u00e9",
    b"\x00",
    b"\x7f",
    b"\xc3\xa9",
    b"\xf0\x9f\x98",
    b"\"code\":",
    b"\"extFields\":{",
    b"\"language\":\"RUST\"",
    b"\"brokerAddrs\":{",
    b"\"queueDatas\":[",
    b"\"queueId\":\"3\"",
    b"\"queueOffset\":",
    b"\"TRACE_ON\":\"false\"",
];

/// Everything in the vectors that some decoder may be fed with.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Corpus {
    /// Whole frames.
    pub frames: Vec<Vec<u8>>,
    /// Their JSON headers.
    pub json_headers: Vec<Vec<u8>>,
    /// Their binary headers.
    pub binary_headers: Vec<Vec<u8>>,
    /// Bodies of frames and texts of any kind.
    pub texts: Vec<Vec<u8>>,
}

impl Corpus {
    /// Reads all vectors; what is not there is left out.
    #[must_use]
    pub fn of_vectors() -> Self {
        let mut pieces = BTreeSet::new();
        for file in files(&tests_folder().join("vectors")) {
            let value = fs::read(file)
                .ok()
                .and_then(|text| serde_json::from_slice::<Value>(&text).ok());
            if let Some(value) = value {
                collect(&value, "", &mut pieces);
            }
        }
        let mut corpus = Self::default();
        let mut texts = BTreeSet::new();
        for piece in pieces {
            match decode_frame(&mut piece.as_slice().into(), MAX_FRAME_LENGTH) {
                Ok(Some(frame)) => {
                    texts.insert(frame.body.to_vec());
                    match frame.encoding {
                        HeaderEncoding::Json => &mut corpus.json_headers,
                        HeaderEncoding::Binary => &mut corpus.binary_headers,
                    }
                    .push(frame.header.to_vec());
                    corpus.frames.push(piece);
                }
                _ => {
                    texts.insert(piece);
                }
            }
        }
        corpus.texts.extend(texts);
        corpus
    }

    /// The texts that `accepts` takes.
    pub(super) fn texts_of(&self, accepts: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
        let taken = self.texts.iter().filter(|text| accepts(text));
        taken.cloned().collect()
    }
}

/// The inputs that a target starts from: those out of the vectors, then the files of its folder in
/// `tests/fuzz/corpus`.
#[must_use]
pub fn seeds(target: &Target, corpus: &Corpus) -> Vec<Vec<u8>> {
    let mut seeds = (target.seeds)(corpus);
    let kept = tests_folder().join("fuzz/corpus").join(target.name);
    seeds.extend(files(&kept).into_iter().filter_map(|f| fs::read(f).ok()));
    seeds
}

/// Inputs to be kept in `tests/fuzz/corpus`: of those that a seed makes, some of each verdict that look different from
/// one another and from the inputs to start from, short and long ones alike.
#[must_use]
pub fn pick(target: &Target, seeds: &[Vec<u8>], seed: u64, inputs: u64) -> Vec<Vec<u8>> {
    let mutator = Mutator::new(target.name, seed, seeds, target.tokens);
    let mut shapes: BTreeSet<Vec<u8>> = seeds.iter().map(|input| shape(input)).collect();
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    let mut input = Vec::new();
    for iteration in 0..inputs {
        mutator.make(iteration, &mut input);
        if input.len() > LONGEST_KEPT || !shapes.insert(shape(&input)) {
            continue;
        }
        match (target.check)(&input) {
            Verdict::Accepted => accepted.push(input.clone()),
            Verdict::Refused => refused.push(input.clone()),
        }
    }
    let spread = |mut all: Vec<Vec<u8>>, most: usize| {
        all.sort_by_key(Vec::len);
        let step = (all.len() / most).max(1);
        all.into_iter().step_by(step).take(most)
    };
    spread(accepted, KEPT_ACCEPTED)
        .chain(spread(refused, KEPT_REFUSED))
        .collect()
}

/// What is left of an input when digits, letters and other bytes count as one kind each, and repetition for nothing.
fn shape(input: &[u8]) -> Vec<u8> {
    let kind = |byte: &u8| match byte {
        b'0'..=b'9' => b'0',
        b'a'..=b'z' | b'A'..=b'Z' => b'a',
        3..=31 | 127..=254 => 3,
        other => *other,
    };
    let mut shape: Vec<u8> = input.iter().map(kind).collect();
    shape.dedup();
    shape
}

fn tests_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The files under a folder, in a fixed order, those of its folders included.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.sort();
    paths
        .into_iter()
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// The members that hold bytes or texts as they travel.
fn collect(value: &Value, member: &str, pieces: &mut BTreeSet<Vec<u8>>) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                collect(value, member, pieces);
            }
        }
        Value::Array(values) => {
            for value in values {
                collect(value, member, pieces);
            }
        }
        Value::String(text) => {
            let piece = match member {
                "hex" | "hexBegin" | "bodyHex" => from_hex(text).unwrap_or_default(),
                "text" | "bodyText" | "id" | "i" | "properties" => text.as_bytes().to_vec(),
                _ => return,
            };
            if !piece.is_empty() && piece.len() <= LONGEST_SEED {
                pieces.insert(piece);
            }
        }
        _ => {}
    }
}
