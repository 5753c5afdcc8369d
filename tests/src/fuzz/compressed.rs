//! Compressed bodies of each codec.

use rocketmq_producer::remoting::ByteSize;
use rocketmq_producer::remoting::message::compression::{
    CompressionError, CompressionType, Compressor,
};

use super::Verdict;
use super::corpus::Corpus;

/// Small, so that a few bytes of input are often too many.
const LIMIT: ByteSize = ByteSize::kib(8);

/// Beginnings of streams, frames and blocks, and lengths that nothing follows.
pub(super) const TOKENS: &[&[u8]] = &[
    b"\x78\x5e",
    b"\x78\x9c",
    b"\x01\x00\x00\xff\xff",
    b"\x04\x22\x4d\x18",
    b"\x60\x70\x73",
    b"\x00\x00\x00\x80",
    b"\x28\xb5\x2f\xfd",
    b"\x50\x2a\x4d\x18",
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x00",
];

/// What the vectors hold of each codec, and short bodies of our own: the first byte says which codec is to read.
pub(super) fn seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (number, kind) in (0_u8..).zip(CompressionType::ALL) {
        let read = |text: &&Vec<u8>| kind.decompress(text, LIMIT).is_ok();
        let of_java = corpus.texts.iter().filter(read).cloned();
        let bodies = [1, 40, 700, 9000].map(|length| b"0123456789 ".repeat(length));
        let compressor = Compressor::new(kind, 5).expect("the codec is in this build");
        let ours = bodies.iter().filter_map(|body| {
            let compressed = compressor.compress(body);
            compressed.expect("it compresses")
        });
        seeds.extend(of_java.chain(ours).map(|stream| {
            let mut input = vec![number];
            input.extend(stream);
            input
        }));
    }
    seeds
}

/// Nothing larger than the limit comes out, whatever the bytes claim, and what is accepted is a body like any other.
pub(super) fn check(input: &[u8]) -> Verdict {
    let Some((number, stream)) = input.split_first() else {
        return Verdict::Refused;
    };
    let all = CompressionType::ALL;
    let kind = all[usize::from(*number) % all.len()];
    let body = match kind.decompress(stream, LIMIT) {
        Ok(body) => body,
        Err(CompressionError::TooLarge { limit, .. }) => {
            assert_eq!(limit, LIMIT);
            let more = kind.decompress(stream, ByteSize::bytes(LIMIT.as_u64() + 1));
            if let Ok(body) = more {
                assert_eq!(body.len(), LIMIT.as_usize() + 1, "it was within the limit");
            }
            return Verdict::Refused;
        }
        Err(_) => return Verdict::Refused,
    };
    assert!(body.len() <= LIMIT.as_usize());
    assert!(body.capacity() <= 2 * body.len().max(LIMIT.as_usize()));
    // Exactly as much room as it needs is enough, and a byte less is not.
    let length = body.len() as u64;
    let enough = kind.decompress(stream, ByteSize::bytes(length));
    assert_eq!(enough.expect("there is room"), body);
    if let Some(less) = length.checked_sub(1) {
        let short = kind.decompress(stream, ByteSize::bytes(less));
        assert!(matches!(short, Err(CompressionError::TooLarge { .. })));
    }
    let compressor = Compressor::new(kind, 1).expect("the codec is in this build");
    if let Some(again) = compressor.compress(&body).expect("it compresses") {
        assert!(again.len() < body.len());
        let read = kind.decompress(&again, LIMIT).expect("it was written");
        assert_eq!(read, body);
    }
    Verdict::Accepted
}
