//! The request by which a broker hands over a reply to one of this client's requests.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;

use crate::byte_size::ByteSize;
use crate::command::RemotingCommand;
use crate::message::{CompressionError, CompressionType, MessageExt, Properties};

/// Reads the reply of `PUSH_REPLY_MESSAGE_TO_CLIENT`. A compressed body is read and may have `body_limit` bytes. A reply
/// has no place in a queue: offsets are 0. Java: `ReplyMessageRequestHeader`,
/// `ClientRemotingProcessor.receiveReplyMessage`.
///
/// Numbers that are missing count as 0, and an address that cannot be read as none, since neither matters to whom the
/// reply is for.
///
/// # Errors
/// When a number is none, or the body cannot be read.
pub fn read_pushed_reply(
    request: &RemotingCommand,
    body_limit: ByteSize,
) -> Result<MessageExt, PushedReplyError> {
    let text = |name| request.field(name).unwrap_or_default();
    let flags: i32 = number(request, "sysFlag")?;
    let body = match CompressionType::of_sys_flag(flags)? {
        Some(kind) if !request.body.is_empty() => {
            kind.decompress(&request.body, body_limit)?.into()
        }
        _ => request.body.clone(),
    };
    let properties = Properties::parse(text("properties"));
    let mut reply = MessageExt::new(text("topic"), body, properties);
    reply.flag = number(request, "flag")?;
    reply.sys_flag = CompressionType::without(flags);
    reply.queue_id = number(request, "queueId")?;
    reply.reconsume_times = number(request, "reconsumeTimes")?;
    reply.born_timestamp = number(request, "bornTimestamp")?;
    reply.store_timestamp = number(request, "storeTimestamp")?;
    reply.born_host = address(text("bornHost")).unwrap_or(reply.born_host);
    reply.store_host = address(text("storeHost")).unwrap_or(reply.store_host);
    Ok(reply)
}

fn number<T: FromStr + Default>(
    request: &RemotingCommand,
    name: &'static str,
) -> Result<T, PushedReplyError> {
    match request.field(name) {
        None | Some("" | "null") => Ok(T::default()),
        Some(text) => text.parse().map_err(|_| PushedReplyError::Number(name)),
    }
}

/// An address as Java prints it: perhaps a name and a slash before it, and IPv6 without brackets.
fn address(text: &str) -> Option<SocketAddr> {
    let text = text.rsplit('/').next().unwrap_or_default();
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (ip, port) = text.rsplit_once(':')?;
    let ip: IpAddr = ip.parse().ok()?;
    Some(SocketAddr::new(ip, port.parse().ok()?))
}

/// Why a reply could not be read.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum PushedReplyError {
    /// The body cannot be read.
    #[error("the body of the reply is compressed and cannot be read")]
    Body(#[from] CompressionError),
    /// A field that must be a number is none.
    #[error("the field {0} of the reply is no number")]
    Number(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_java_prints_them() {
        for (text, expected) in [
            ("127.0.0.1:39734", Some("127.0.0.1:39734")),
            ("/10.0.0.1:5", Some("10.0.0.1:5")),
            ("host/10.0.0.1:5", Some("10.0.0.1:5")),
            ("/0:0:0:0:0:0:0:1:80", Some("[::1]:80")),
            ("/[::1]:80", Some("[::1]:80")),
            ("host:80", None),
            ("", None),
        ] {
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(address(text), expected, "{text:?}");
        }
    }
}
