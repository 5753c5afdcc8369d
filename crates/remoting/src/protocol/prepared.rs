//! The fields of a send that all messages of one producer to one queue have in common, encoded once.

use std::fmt;

use bytes::Bytes;

use super::SendMessageRequestHeader;
use crate::command::binary_fields;

/// Fields of a [`SendMessageRequestHeader`] in the binary form, encoded beforehand: those before and
/// those after the ones that each message has of its own.
///
/// It is made from a header, and serves all headers that differ from that one in `code`,
/// `born_timestamp`, `flag`, `properties` and `unique_key` at most. A header with other numbers or
/// switches, or of another group, does not use it; that its other texts are the same is up to the caller.
#[derive(Clone)]
pub struct PreparedSend {
    group: Box<str>,
    numbers: Numbers,
    before: Bytes,
    after: Bytes,
}

/// The numbers and switches that are encoded.
type Numbers = (i32, i32, i32, i32, bool, Option<i32>, bool);

fn numbers(header: &SendMessageRequestHeader<'_>) -> Numbers {
    (
        header.default_topic_queue_nums,
        header.queue_id,
        header.sys_flag,
        header.reconsume_times,
        header.unit_mode,
        header.max_reconsume_times,
        header.batch,
    )
}

impl PreparedSend {
    /// Encodes what does not change.
    #[must_use]
    pub fn new(header: &SendMessageRequestHeader<'_>) -> Self {
        Self {
            group: header.producer_group.into(),
            numbers: numbers(header),
            before: binary_fields(|sink| header.write_before(sink)),
            after: binary_fields(|sink| header.write_after(sink)),
        }
    }

    /// The fields before and after a message's own, if they are those of `header`.
    pub(super) fn fields(&self, header: &SendMessageRequestHeader<'_>) -> Option<(&[u8], &[u8])> {
        let fits = self.numbers == numbers(header) && *self.group == *header.producer_group;
        fits.then_some((&self.before, &self.after))
    }
}

impl fmt::Debug for PreparedSend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedSend").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::PreparedSend;
    use crate::command::{RequestMode, encode_request};
    use crate::frame::HeaderEncoding;
    use crate::protocol::SendMessageRequestHeader;

    fn encoded(header: &SendMessageRequestHeader<'_>, encoding: HeaderEncoding) -> BytesMut {
        let mut bytes = BytesMut::new();
        encode_request(header, 7, RequestMode::TwoWay, encoding, 3, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_prepared_header_is_written_as_one_that_is_not() {
        let mut header = SendMessageRequestHeader::new("group", "topic", 3, 1_700_000_000_000);
        header.broker_name = Some("broker-a");
        let prepared = PreparedSend::new(&header);
        let plain = header;
        let mut others = vec![header];
        header.born_timestamp = -5;
        header.flag = 77;
        header.properties = "WAIT\u{1}true\u{2}";
        header.unique_key = Some("0A0B0C0D00012A9F0000000000002329");
        others.push(header);
        // These do not fit what was prepared.
        others.push(SendMessageRequestHeader {
            sys_flag: 1,
            ..plain
        });
        // Producers that share a context send to one queue with groups of their own.
        others.push(SendMessageRequestHeader {
            producer_group: "another",
            ..plain
        });
        others.push(SendMessageRequestHeader {
            batch: true,
            ..plain
        });
        others.push(SendMessageRequestHeader {
            queue_id: 4,
            ..plain
        });
        for plain in others {
            let mut quick = plain;
            quick.prepared = Some(&prepared);
            for encoding in [HeaderEncoding::Json, HeaderEncoding::Binary] {
                assert_eq!(
                    encoded(&quick, encoding),
                    encoded(&plain, encoding),
                    "{plain:?}"
                );
            }
        }
    }
}
