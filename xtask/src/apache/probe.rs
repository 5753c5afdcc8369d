//! One request over the remoting protocol, written by hand: enough to ask a server whether it is ready.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::json;

/// No server is asked for anything near this.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// A server's answer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Answer {
    /// The response code; 0 is success.
    pub code: i64,
    /// What the server says about the code.
    pub remark: Option<String>,
    /// The body as sent.
    pub body: Vec<u8>,
    fields: BTreeMap<String, String>,
}

impl Answer {
    /// The value of an ext field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// The answer itself if its code is 0.
    ///
    /// # Errors
    /// Names code and remark otherwise.
    pub fn ok(self) -> Result<Self> {
        if self.code != 0 {
            let remark = self.remark.as_deref().unwrap_or("no remark");
            bail!("refused with code {}: {remark}", self.code);
        }
        Ok(self)
    }
}

#[derive(Deserialize)]
struct Header {
    code: i64,
    remark: Option<String>,
    #[serde(default, rename = "extFields")]
    fields: Option<BTreeMap<String, String>>,
}

/// Sends one request with a JSON header over a connection of its own and waits for the answer.
///
/// # Errors
/// When the server cannot be reached, does not answer in time, or answers with anything but a frame.
pub fn ask(address: &str, code: i32, fields: &[(&str, &str)], timeout: Duration) -> Result<Answer> {
    exchange(address, code, fields, timeout).with_context(|| format!("request {code} to {address}"))
}

fn exchange(
    address: &str,
    code: i32,
    fields: &[(&str, &str)],
    timeout: Duration,
) -> Result<Answer> {
    let resolved = address
        .to_socket_addrs()?
        .next()
        .context("the address resolves to nothing")?;
    let mut stream = TcpStream::connect_timeout(&resolved, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.write_all(&frame(code, fields)?)?;
    let body = read_block(&mut stream)?;
    let (word, rest) = body.split_first_chunk().context("answer without header")?;
    let word = u32::from_be_bytes(*word);
    if word >> 24 != 0 {
        bail!("the answer's header is not JSON (type {})", word >> 24);
    }
    let (header, body) = rest
        .split_at_checked(usize::try_from(word)?)
        .context("the answer's header is longer than its frame")?;
    let header: Header = serde_json::from_slice(header)?;
    Ok(Answer {
        code: header.code,
        remark: header.remark,
        body: body.to_vec(),
        fields: header.fields.unwrap_or_default(),
    })
}

fn frame(code: i32, fields: &[(&str, &str)]) -> Result<Vec<u8>> {
    let fields: BTreeMap<_, _> = fields.iter().copied().collect();
    let header = serde_json::to_vec(&json!({
        "code": code, "flag": 0, "language": "OTHER", "opaque": 1, "version": 0,
        "serializeTypeCurrentRPC": "JSON", "extFields": fields,
    }))?;
    let length = u32::try_from(header.len())?;
    let mut frame = Vec::with_capacity(header.len() + 8);
    frame.extend_from_slice(&(length + 4).to_be_bytes());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&header);
    Ok(frame)
}

fn read_block(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length))?;
    if length > MAX_ANSWER {
        bail!("an answer of {length} bytes");
    }
    let mut block = vec![0; length];
    stream.read_exact(&mut block)?;
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_holds_its_lengths_and_a_json_header() {
        let frame = frame(106, &[("a", "b")]).expect("a frame");
        let total = u32::from_be_bytes(frame[..4].try_into().expect("4 bytes")) as usize;
        let header = u32::from_be_bytes(frame[4..8].try_into().expect("4 bytes")) as usize;
        assert_eq!((total, header), (frame.len() - 4, frame.len() - 8));
        let header: serde_json::Value = serde_json::from_slice(&frame[8..]).expect("JSON");
        assert_eq!(header["code"], 106);
        assert_eq!(header["extFields"]["a"], "b");
    }
}
