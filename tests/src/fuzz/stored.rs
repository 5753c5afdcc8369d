//! Stored messages, and the questions for transactions that carry one.

use bytes::{Bytes, BytesMut};
use rocketmq_producer::remoting::message::{MessageExt, StoredMessageError};
use rocketmq_producer::remoting::protocol::{
    CheckTransactionStateRequestHeader, TransactionEnd, read_pushed_reply,
};
use rocketmq_producer::remoting::{ByteSize, MAX_FRAME_LENGTH, RemotingCommand, decode_frame};

use super::Verdict;
use super::corpus::Corpus;

/// Small, so that a few bytes of input are often too many.
const LIMIT: ByteSize = ByteSize::kib(8);

/// Marks of both forms, and lengths that do not fit.
pub(super) const TOKENS: &[&[u8]] = &[
    b"\xda\xa3\x20\xa7",
    b"\xda\xa3\x20\xab",
    b"\x00\x00\x00\x30",
    b"\x00\x00\x03\x01",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff",
    b"\x7f\xff",
    b"\x00\x00\x00\x00",
    b"PGROUP\x01g\x02",
    b"UNIQ_KEY\x01k\x02",
];

fn read(bytes: &[u8]) -> Result<MessageExt, StoredMessageError> {
    MessageExt::decode(&Bytes::copy_from_slice(bytes), LIMIT)
}

pub(super) fn message_seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    corpus.texts_of(|text| read(text).is_ok())
}

/// Nothing but one whole message is taken, in no more memory than its bytes and the limit, and it is written alike.
pub(super) fn message(bytes: &[u8]) -> Verdict {
    let all: Vec<_> = MessageExt::decode_all(&Bytes::copy_from_slice(bytes), LIMIT).collect();
    if let Some((_, before)) = all.split_last() {
        assert!(before.iter().all(Result::is_ok), "nothing after an error");
    }
    let bodies = all.iter().flatten().map(|message| message.body.len());
    assert!(bodies.sum::<usize>() <= bytes.len() + LIMIT.as_usize());
    let Ok(message) = read(bytes) else {
        return Verdict::Refused;
    };
    assert!(matches!(&all[..], [Ok(one)] if *one == message));
    assert!(message.body.len() <= bytes.len().max(LIMIT.as_usize()));
    assert!(message.topic.len() + message.properties.wire_len() <= bytes.len() + 1);
    let mut written = BytesMut::new();
    message.encode(&mut written);
    assert_eq!(read(&written).expect("it was written"), message);
    Verdict::Accepted
}

pub(super) fn question_seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    let asks = |frame: &&Vec<u8>| command(frame).is_some_and(|command| command.code == 39);
    corpus.frames.iter().filter(asks).cloned().collect()
}

fn command(frame: &[u8]) -> Option<RemotingCommand> {
    let frame = decode_frame(&mut frame.into(), MAX_FRAME_LENGTH).ok()??;
    RemotingCommand::decode(frame).ok()
}

/// Header and body of a question together, as a producer reads them; the answer gives back what was asked for.
pub(super) fn question(frame: &[u8]) -> Verdict {
    let Some(command) = command(frame) else {
        return Verdict::Refused;
    };
    let Ok(header) = CheckTransactionStateRequestHeader::decode(&command) else {
        return Verdict::Refused;
    };
    let Ok(half) = MessageExt::decode(&command.body, LIMIT) else {
        return Verdict::Refused;
    };
    let id = half.message_id();
    assert!(!id.is_empty());
    let group = half.property("PGROUP").unwrap_or_default();
    let answer = header.answer(group, &id, TransactionEnd::Unknown);
    assert_eq!(answer.commit_log_offset, header.commit_log_offset);
    assert_eq!(answer.topic, header.topic.unwrap_or_default());
    assert!(answer.from_transaction_check);
    Verdict::Accepted
}

pub(super) fn reply_seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    let pushed = |frame: &&Vec<u8>| command(frame).is_some_and(|command| command.code == 326);
    corpus.frames.iter().filter(pushed).cloned().collect()
}

/// A reply is read in no more memory than its bytes and the limit, and twice alike.
pub(super) fn reply(frame: &[u8]) -> Verdict {
    let Some(command) = command(frame) else {
        return Verdict::Refused;
    };
    let Ok(reply) = read_pushed_reply(&command, LIMIT) else {
        return Verdict::Refused;
    };
    assert!(reply.body.len() <= frame.len().max(LIMIT.as_usize()));
    let again = read_pushed_reply(&command, LIMIT).expect("it was read");
    assert_eq!(reply, again);
    Verdict::Accepted
}
