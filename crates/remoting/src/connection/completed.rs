//! A request header together with what this client adds to all.

use super::shared::Extras;
use crate::auth::{Signature, Signed};
use crate::code::RequestCode;
use crate::header::{FieldSink, RequestHeader};

/// Writes the fields of a header, after them those of the namespace, and last the signature, which is over all others.
pub(super) struct Completed<'a, H> {
    header: Namespaced<'a, H>,
    signature: Option<Signature>,
}

impl<'a, H: RequestHeader> Completed<'a, H> {
    /// Signs the request if it is to be. To be called where no lock is held: a large body takes time.
    pub(super) fn new(extras: &'a Extras, header: &'a H, body: &[u8]) -> Self {
        let namespace = extras.namespace.as_deref();
        let header = Namespaced { header, namespace };
        let signer = extras.signer.as_ref();
        let signature = signer.map(|signer| signer.sign(&header, body));
        Self { header, signature }
    }
}

impl<H: RequestHeader> RequestHeader for Completed<'_, H> {
    fn code(&self) -> RequestCode {
        self.header.code()
    }

    fn write_fields<S: FieldSink>(&self, sink: &mut S) {
        let (header, signature) = (&self.header, self.signature.as_ref());
        Signed { header, signature }.write_fields(sink);
    }
}

/// Writes the fields of a header, and after them those of the namespace, if there is one. Java: `NamespaceRpcHook`.
struct Namespaced<'a, H> {
    header: &'a H,
    namespace: Option<&'a str>,
}

impl<H: RequestHeader> RequestHeader for Namespaced<'_, H> {
    fn code(&self) -> RequestCode {
        self.header.code()
    }

    fn write_fields<S: FieldSink>(&self, sink: &mut S) {
        self.header.write_fields(sink);
        if let Some(namespace) = self.namespace {
            sink.boolean("nsd", true);
            sink.text("ns", namespace);
        }
    }
}
