//! Messages as they are read: one line each, without holding more than can be sent.

pub(crate) mod jsonl;
mod lines;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rocketmq_producer::LocalTransactionState;
use rocketmq_producer::config::ByteSize;
use rocketmq_producer::remoting::message::{Message, MessageError};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::args::Format;
use crate::failure::Failure;
use jsonl::JsonError;
use lines::{Line, LineReader};

/// Items read ahead of what can be sent.
const READ_AHEAD: usize = 16;

/// A message as it was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// Line of the input, from 1.
    pub(crate) line: u64,
    /// The caller's own name for the message, a string or a number; null if it has none.
    pub(crate) id: Value,
    /// The first of its keys.
    pub(crate) key: Option<String>,
    /// Its sharding key.
    pub(crate) shard: Option<String>,
    /// How it ends, if it is a transaction.
    pub(crate) transaction: Option<LocalTransactionState>,
    /// How long its reply is waited for, if it is a request.
    pub(crate) request: Option<Duration>,
    /// Its body as given.
    pub(crate) body: Bytes,
    /// The message, or the rule that it breaks.
    pub(crate) message: Result<Message, MessageError>,
}

/// What comes out of the input.
#[derive(Debug)]
pub(crate) enum Item {
    /// A message.
    Message(Box<Entry>),
    /// A line that is no message.
    Refused { line: u64, error: LineError },
    /// The input cannot be read further.
    Broken(io::Error),
}

/// Why a line is no message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error("not UTF-8 from byte {0} of the line on")]
    NotUtf8(usize),
    #[error("longer than {} bytes ({_0})", _0.as_u64())]
    TooLong(ByteSize),
}

/// Reads standard input or a file in a thread of its own. What does not say how long its reply is waited for takes
/// `request`.
///
/// The thread ends with the input, or when the receiver is dropped and it has something to give.
pub(crate) fn read(
    file: Option<&Path>,
    format: Format,
    topic: &str,
    longest_body: ByteSize,
    request: Option<Duration>,
) -> Result<mpsc::Receiver<Item>, Failure> {
    let common = Common {
        format,
        topic: Arc::from(topic),
        request,
    };
    match file.filter(|path| *path != Path::new("-")) {
        None => from_iterator(move || Entries::new(io::stdin().lock(), common, longest_body)),
        Some(path) => {
            let what = || format!("file {} cannot be read", path.display());
            let file = open(path).map_err(|error| Failure::bad_input(what(), error))?;
            let reader = BufReader::with_capacity(1 << 16, file);
            from_iterator(move || Entries::new(reader, common, longest_body))
        }
    }
}

/// A folder can be opened too, and would fail only when it is read, where its name is not known.
fn open(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(file)
}

/// Feeds what an iterator gives, from a thread of its own.
pub(crate) fn from_iterator<I: Iterator<Item = Item>>(
    make: impl FnOnce() -> I + Send + 'static,
) -> Result<mpsc::Receiver<Item>, Failure> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    let feed = move || {
        for item in make() {
            if sender.blocking_send(item).is_err() {
                break;
            }
        }
    };
    std::thread::Builder::new()
        .name("input".to_owned())
        .spawn(feed)
        .map_err(|error| Failure::failed("the input's thread cannot be started", error))?;
    Ok(receiver)
}

/// What all lines of an input have in common.
#[derive(Debug)]
struct Common {
    format: Format,
    topic: Arc<str>,
    /// How long replies are waited for, if lines are requests unless they say otherwise.
    request: Option<Duration>,
}

/// The entries of an input.
#[derive(Debug)]
struct Entries<R> {
    lines: LineReader<R>,
    common: Common,
    line: u64,
    ended: bool,
}

impl<R: BufRead> Entries<R> {
    fn new(reader: R, common: Common, longest_body: ByteSize) -> Self {
        Self {
            lines: LineReader::new(reader, longest_line(common.format, longest_body)),
            common,
            line: 0,
            ended: false,
        }
    }

    fn read_line(&mut self) -> Result<Box<Entry>, LineError> {
        let text = self.lines.text();
        let text =
            std::str::from_utf8(text).map_err(|e| LineError::NotUtf8(e.valid_up_to() + 1))?;
        let topic = Arc::clone(&self.common.topic);
        let request = self.common.request;
        let entry = match self.common.format {
            Format::Text => plain(self.line, topic, text, request),
            Format::Jsonl => jsonl::parse(self.line, topic, text, request)?,
        };
        Ok(Box::new(entry))
    }
}

impl<R: BufRead> Iterator for Entries<R> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        if self.ended {
            return None;
        }
        let line = self.line + 1;
        let outcome = match self.lines.advance() {
            Ok(Line::End) => {
                self.ended = true;
                return None;
            }
            Ok(Line::Text) => {
                self.line = line;
                self.read_line()
            }
            Ok(Line::TooLong) => {
                self.line = line;
                Err(LineError::TooLong(self.lines.limit()))
            }
            Err(error) => {
                self.ended = true;
                return Some(Item::Broken(error));
            }
        };
        Some(match outcome {
            Ok(entry) => Item::Message(entry),
            Err(error) => Item::Refused { line, error },
        })
    }
}

/// A line of text is no longer than its body; JSON may take six bytes for one (`\u0000`), and has
/// room for properties, of which brokers take 32 KiB.
fn longest_line(format: Format, longest_body: ByteSize) -> ByteSize {
    match format {
        Format::Text => longest_body,
        Format::Jsonl => ByteSize::bytes(longest_body.as_u64() * 6 + (1 << 20)),
    }
}

/// A line that is the body.
fn plain(line: u64, topic: Arc<str>, text: &str, request: Option<Duration>) -> Entry {
    let body = Bytes::copy_from_slice(text.as_bytes());
    Entry {
        line,
        id: Value::Null,
        key: None,
        shard: None,
        transaction: None,
        request,
        message: Message::new(topic, body.clone()),
        body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(format: Format, input: &[u8]) -> Vec<Result<Entry, String>> {
        let common = Common {
            format,
            topic: Arc::from("t"),
            request: None,
        };
        let entries = Entries::new(input, common, ByteSize::bytes(64));
        entries
            .map(|item| match item {
                Item::Message(entry) => Ok(*entry),
                Item::Refused { line, error } => Err(format!("line {line}: {error}")),
                Item::Broken(error) => Err(error.to_string()),
            })
            .collect()
    }

    #[test]
    fn each_line_of_text_is_a_body() {
        let entries = read_all(Format::Text, "one\ntwo\r\n drei ü ".as_bytes());
        let bodies: Vec<_> = entries
            .iter()
            .map(|entry| entry.as_ref().unwrap().body.clone())
            .collect();
        assert_eq!(bodies, ["one".as_bytes(), b"two", " drei ü ".as_bytes()]);
        assert_eq!(entries[2].as_ref().unwrap().line, 3);
        assert_eq!(read_all(Format::Text, b""), []);
    }

    #[test]
    fn an_empty_line_is_a_message_that_breaks_a_rule() {
        let entries = read_all(Format::Text, b"one\n\nthree\n");
        assert_eq!(entries.len(), 3);
        let broken = entries[1].as_ref().unwrap();
        assert!(matches!(
            broken.message,
            Err(MessageError::EmptyBody { .. })
        ));
    }

    #[test]
    fn a_bad_line_is_named_and_the_next_one_is_read() {
        let entries = read_all(Format::Text, b"one\ntw\xffo\nthree\n");
        assert_eq!(
            entries[1],
            Err("line 2: not UTF-8 from byte 3 of the line on".to_owned())
        );
        assert_eq!(entries[2].as_ref().unwrap().body, "three");
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_whole() {
        let mut input = vec![b'x'; 100_000];
        input.extend(b"\nshort\n");
        let entries = read_all(Format::Text, &input);
        assert_eq!(
            entries[0],
            Err("line 1: longer than 64 bytes (64 B)".to_owned())
        );
        assert_eq!(entries[1].as_ref().unwrap().body, "short");
        assert_eq!(entries.len(), 2);
    }

    #[test]
    fn a_line_as_long_as_allowed_is_read() {
        let input = [vec![b'x'; 64], vec![b'\r', b'\n'], vec![b'y'; 64]].concat();
        let entries = read_all(Format::Text, &input);
        assert_eq!(entries.len(), 2);
        assert!(
            entries
                .iter()
                .all(|entry| entry.as_ref().unwrap().body.len() == 64)
        );
    }
}
