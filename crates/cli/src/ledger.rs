//! The ledger: one JSON line about each message, in the file as soon as its outcome is known.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use rocketmq_producer::remoting::Delivery;
use rocketmq_producer::remoting::with_causes;
use rocketmq_producer::{Attempt, SendError, SendReceipt, Via};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::clock::to_the_microsecond;
use crate::input::Entry;
use crate::send::Answer;

/// What became of a message, or may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// A broker acknowledged it; the status says how safely it is stored.
    Acked,
    /// A broker refused it.
    Rejected,
    /// It may be stored.
    Unknown,
    /// No byte of it left this process.
    NotSent,
}

impl From<Delivery> for Outcome {
    fn from(delivery: Delivery) -> Self {
        match delivery {
            Delivery::NotSent => Self::NotSent,
            Delivery::Rejected => Self::Rejected,
            Delivery::Unknown => Self::Unknown,
        }
    }
}

/// A line of the ledger. Times are milliseconds since 1970 with a fraction.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LedgerLine<'a> {
    id: &'a Value,
    /// The first of the keys.
    key: Option<&'a str>,
    /// The sharding key.
    shard: Option<&'a str>,
    /// The message's place in the order of submission, from 0.
    seq: u64,
    outcome: Outcome,
    status: Option<&'static str>,
    broker: Option<&'a str>,
    queue: Option<i32>,
    offset: Option<i64>,
    /// The id given by the producer, `UNIQ_KEY`.
    msg_id: Option<String>,
    offset_msg_id: Option<String>,
    /// The part of the broker where the acknowledged place is, if consumers find the message elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<&'static str>,
    /// Of the body as given.
    sha256: String,
    len: usize,
    /// When the send began.
    t0: f64,
    /// When its outcome was known.
    t1: f64,
    attempts: Vec<AttemptLine<'a>>,
    error: Option<String>,
    /// What came of a request that was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a Answer>,
}

#[derive(Debug, Serialize)]
struct AttemptLine<'a> {
    broker: &'a str,
    addr: &'a str,
    queue: i32,
    t: f64,
    ms: f64,
    err: Option<String>,
}

impl<'a> LedgerLine<'a> {
    /// A message that was not sent.
    pub(crate) fn not_sent(entry: &'a Entry, seq: u64, time: f64, error: String) -> Self {
        Self {
            id: &entry.id,
            key: entry.key.as_deref(),
            shard: entry.shard.as_deref(),
            seq,
            outcome: Outcome::NotSent,
            status: None,
            broker: None,
            queue: None,
            offset: None,
            msg_id: None,
            offset_msg_id: None,
            via: None,
            sha256: sha256(&entry.body),
            len: entry.body.len(),
            t0: time,
            t1: time,
            attempts: Vec::new(),
            error: Some(error),
            answer: None,
        }
    }

    /// The same with what came of a request.
    pub(crate) fn answered(self, answer: Option<&'a Answer>) -> Self {
        Self { answer, ..self }
    }

    /// A message that was sent from `t0` to `t1`.
    pub(crate) fn sent(
        entry: &'a Entry,
        seq: u64,
        (t0, t1): (f64, f64),
        result: &'a Result<SendReceipt, SendError>,
    ) -> Self {
        let line = Self {
            t0,
            t1,
            error: None,
            ..Self::not_sent(entry, seq, t0, String::new())
        };
        match result {
            Ok(receipt) => Self {
                outcome: Outcome::Acked,
                status: Some(receipt.status().as_str()),
                broker: Some(receipt.queue().broker_name()),
                queue: Some(receipt.queue().queue_id()),
                offset: Some(receipt.queue_offset()),
                msg_id: Some(receipt.message_id().to_string()),
                offset_msg_id: receipt.offset_message_id().map(ToString::to_string),
                via: receipt.via().map(Via::as_str),
                attempts: receipt
                    .attempts()
                    .map(|a| AttemptLine::new(a, t0))
                    .collect(),
                ..line
            },
            Err(error) => Self {
                outcome: error.delivery().into(),
                msg_id: error.message_id().map(ToString::to_string),
                attempts: error
                    .attempts()
                    .iter()
                    .map(|a| AttemptLine::new(a, t0))
                    .collect(),
                error: Some(with_causes(error)),
                ..line
            },
        }
    }

    /// The line with its newline.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // Strings, numbers and lists of them: serde_json cannot fail on these.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

impl<'a> AttemptLine<'a> {
    fn new(attempt: &'a Attempt, t0: f64) -> Self {
        let millis = |time: std::time::Duration| time.as_micros() as f64 / 1000.0;
        Self {
            broker: attempt.broker(),
            addr: attempt.address(),
            queue: attempt.queue_id(),
            t: to_the_microsecond(t0 + millis(attempt.began_after())),
            ms: millis(attempt.elapsed()),
            err: attempt.failure().map(|failure| with_causes(failure)),
        }
    }
}

fn sha256(body: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or(b'?');
    let digest = Sha256::digest(body);
    let nibbles = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles.map(|nibble| char::from(digit(nibble))).collect()
}

/// The file. What [`append`](Self::append) returned from is with the operating system, so that a
/// killed process leaves a true ledger.
#[derive(Debug)]
pub(crate) struct Ledger {
    file: File,
}

impl Ledger {
    /// Opens the file to append to it; a line that was cut off before is closed first.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).open(path)?;
        // A device or a pipe has no end to look at.
        if file.metadata()?.is_file() && file.seek(SeekFrom::End(0))? > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        Ok(Self { file })
    }

    /// Writes whole lines.
    pub(crate) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all(lines)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn entry() -> Entry {
        Entry {
            line: 1,
            id: Value::from("a"),
            key: Some("k".into()),
            shard: Some("s".into()),
            transaction: None,
            request: None,
            body: Bytes::from_static(b"abc"),
            message: rocketmq_producer::remoting::message::Message::new("t", "abc"),
        }
    }

    #[test]
    fn a_line_has_exactly_the_fields_of_the_format_in_their_order() {
        let line =
            LedgerLine::not_sent(&entry(), 7, 1_700_000_000_000.125, "why".into()).to_bytes();
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "{\"id\":\"a\",\"key\":\"k\",\"shard\":\"s\",\"seq\":7,\"outcome\":\"not_sent\",\
             \"status\":null,\"broker\":null,\"queue\":null,\"offset\":null,\"msgId\":null,\
             \"offsetMsgId\":null,\
             \"sha256\":\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\",\
             \"len\":3,\"t0\":1700000000000.125,\"t1\":1700000000000.125,\"attempts\":[],\
             \"error\":\"why\"}\n"
        );
    }

    #[test]
    fn outcomes_have_the_names_of_the_format() {
        let names = [
            Outcome::Acked,
            Outcome::Rejected,
            Outcome::Unknown,
            Outcome::NotSent,
        ]
        .map(|outcome| serde_json::to_string(&outcome).unwrap());
        assert_eq!(
            names,
            ["\"acked\"", "\"rejected\"", "\"unknown\"", "\"not_sent\""]
        );
    }

    #[test]
    fn an_attempt_has_the_fields_of_the_format() {
        let attempt = AttemptLine {
            broker: "b",
            addr: "h:1",
            queue: 2,
            t: 1.5,
            ms: 0.25,
            err: None,
        };
        assert_eq!(
            serde_json::to_string(&attempt).unwrap(),
            r#"{"broker":"b","addr":"h:1","queue":2,"t":1.5,"ms":0.25,"err":null}"#
        );
    }

    #[test]
    fn a_line_that_was_cut_off_does_not_swallow_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        Ledger::open(&path).unwrap().append(b"{\"cut").unwrap();
        Ledger::open(&path).unwrap().append(b"{}\n").unwrap();
        Ledger::open(&path).unwrap().append(b"{}\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"cut\n{}\n{}\n");
    }
}
