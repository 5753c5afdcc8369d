//! A request header together with its signature, if it has one.

use super::signature::Signature;
use crate::code::RequestCode;
use crate::header::{FieldSink, RequestHeader};

/// Writes the fields of a header, and after them those of the signature.
pub(crate) struct Signed<'a, H> {
    pub(crate) header: &'a H,
    pub(crate) signature: Option<&'a Signature>,
}

impl<H: RequestHeader> RequestHeader for Signed<'_, H> {
    #[inline]
    fn code(&self) -> RequestCode {
        self.header.code()
    }

    #[inline]
    fn write_fields<S: FieldSink>(&self, sink: &mut S) {
        match self.signature {
            None => self.header.write_fields(sink),
            Some(signature) => write_signed(self.header, signature, sink),
        }
    }
}

/// Apart from the usual way, which need not carry it along.
#[inline(never)]
fn write_signed<H: RequestHeader, S: FieldSink>(header: &H, signature: &Signature, sink: &mut S) {
    header.write_fields(&mut WithoutEmpty(sink));
    signature.write_fields(sink);
}

/// Drops fields without a value: the binary form turns them into null, for which the other side would sign the word
/// `null`.
struct WithoutEmpty<'a, S>(&'a mut S);

impl<S: FieldSink> FieldSink for WithoutEmpty<'_, S> {
    fn text(&mut self, name: &'static str, value: &str) {
        if !value.is_empty() {
            self.0.text(name, value);
        }
    }

    fn text_parts(&mut self, name: &'static str, parts: &[&str]) {
        if parts.iter().any(|part| !part.is_empty()) {
            self.0.text_parts(name, parts);
        }
    }

    fn integer(&mut self, name: &'static str, value: i64) {
        self.0.integer(name, value);
    }

    fn boolean(&mut self, name: &'static str, value: bool) {
        self.0.boolean(name, value);
    }

    fn added(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.0.added(name, value);
        }
    }
}
