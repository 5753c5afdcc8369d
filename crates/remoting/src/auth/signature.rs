//! The signature itself: HMAC-SHA1 over the values of a request's fields and its body.

use std::cmp::Ordering;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;

use super::{ACCESS_KEY, Credentials, SECURITY_TOKEN, SIGNATURE};
use crate::command::RemotingCommand;
use crate::header::{Collected, FieldSink, RequestHeader};

/// Characters of the 20 bytes of a signature in Base64.
const LENGTH: usize = 28;

/// The signature of one request, with the credentials that it was made with.
pub(crate) struct Signature {
    credentials: Credentials,
    text: [u8; LENGTH],
}

impl Signature {
    /// Signs a request. One pass over the fields is enough if they are written in the order of their names, as those of
    /// a send are; others are sorted.
    pub(super) fn new<H: RequestHeader>(credentials: Credentials, header: &H, body: &[u8]) -> Self {
        let token = credentials.security_token();
        let mut ordered = Ordered {
            mac: credentials.inner.keyed.clone(),
            last: if token.is_some() {
                SECURITY_TOKEN
            } else {
                ACCESS_KEY
            },
            holds: true,
        };
        ordered.mac.update(credentials.access_key().as_bytes());
        ordered.mac.update(token.unwrap_or_default().as_bytes());
        header.write_fields(&mut ordered);
        let mut mac = ordered.mac;
        if !ordered.holds {
            let mut fields = Collected(Vec::new());
            fields.text(ACCESS_KEY, credentials.access_key());
            if let Some(token) = token {
                fields.text(SECURITY_TOKEN, token);
            }
            header.write_fields(&mut fields);
            let fields = fields.0.iter();
            let fields = fields.map(|(name, value)| (&**name, value.as_str()));
            mac = over(&credentials.inner.keyed, fields.collect());
        }
        mac.update(body);
        Self {
            text: finish(mac),
            credentials,
        }
    }

    /// Writes the fields that a signed request has beside its own.
    pub(super) fn write_fields<S: FieldSink>(&self, sink: &mut S) {
        sink.text(ACCESS_KEY, self.credentials.access_key());
        if let Some(token) = self.credentials.security_token() {
            sink.text(SECURITY_TOKEN, token);
        }
        sink.text(SIGNATURE, as_text(&self.text));
    }
}

/// The signature of a command as it stands, without regard to the one that it may carry.
pub(super) fn of_command(keyed: &Hmac<Sha1>, command: &RemotingCommand) -> String {
    let fields = command.ext_fields.iter();
    let fields = fields.map(|(name, value)| (name.as_str(), value.as_str()));
    let mut mac = over(
        keyed,
        fields.filter(|(name, _)| *name != SIGNATURE).collect(),
    );
    mac.update(&command.body);
    as_text(&finish(mac)).to_owned()
}

/// Takes the values in the order of their names.
fn over(keyed: &Hmac<Sha1>, mut fields: Vec<(&str, &str)>) -> Hmac<Sha1> {
    fields.sort_by(|(one, _), (other, _)| java_order(one, other));
    let mut mac = keyed.clone();
    for (_, value) in fields {
        mac.update(value.as_bytes());
    }
    mac
}

/// Java compares strings by their UTF-16 units.
fn java_order(one: &str, other: &str) -> Ordering {
    one.encode_utf16().cmp(other.encode_utf16())
}

fn finish(mac: Hmac<Sha1>) -> [u8; LENGTH] {
    let mut text = [0; LENGTH];
    // The text is as long as 20 bytes make it.
    let _ = BASE64_STANDARD.encode_slice(mac.finalize().into_bytes(), &mut text);
    text
}

/// Base64 is ASCII.
fn as_text(text: &[u8; LENGTH]) -> &str {
    std::str::from_utf8(text).unwrap_or_default()
}

/// Authenticates values as they come, as long as their names ascend.
struct Ordered {
    mac: Hmac<Sha1>,
    last: &'static str,
    holds: bool,
}

impl Ordered {
    fn follows(&mut self, name: &'static str) -> bool {
        // Names are ASCII, where the order of bytes is Java's.
        self.holds &= name > self.last && name.is_ascii();
        self.last = name;
        self.holds
    }
}

impl FieldSink for Ordered {
    fn text(&mut self, name: &'static str, value: &str) {
        self.text_parts(name, &[value]);
    }

    fn text_parts(&mut self, name: &'static str, parts: &[&str]) {
        if self.follows(name) {
            for part in parts {
                self.mac.update(part.as_bytes());
            }
        }
    }

    fn integer(&mut self, name: &'static str, value: i64) {
        self.text(name, itoa::Buffer::new().format(value));
    }

    fn added(&mut self, _: &str, _: &str) {
        // Its name may be any.
        self.holds = false;
    }
}
