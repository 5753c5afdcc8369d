//! A request header together with the namespace of the client.

use crate::code::RequestCode;
use crate::header::{FieldSink, RequestHeader};

/// Writes the fields of a header, and after them those of the namespace. Java: `NamespaceRpcHook`.
pub(super) struct Namespaced<'a, H> {
    pub(super) header: &'a H,
    pub(super) namespace: &'a str,
}

impl<H: RequestHeader> RequestHeader for Namespaced<'_, H> {
    fn code(&self) -> RequestCode {
        self.header.code()
    }

    fn write_fields<S: FieldSink>(&self, sink: &mut S) {
        self.header.write_fields(sink);
        sink.boolean("nsd", true);
        sink.text("ns", self.namespace);
    }
}
