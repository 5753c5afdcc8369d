//! [`RequestHook`]: sees every request before it is signed and what became of it, and may add fields.

use std::any::type_name;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;
use tokio::time::Instant;
use tracing::warn;

use super::{HookError, HookResult, guarded};
use crate::auth;
use crate::code::RequestCode;
use crate::connection::{RequestError, Response};
use crate::header::{Collected, FieldSink, RequestHeader};

/// The longest name of a field that a hook may add, in bytes.
const LONGEST_NAME: usize = 255;

/// Called for every request of a client: sends, heartbeats, questions for routes (Java: `RPCHook`).
///
/// Both methods do nothing unless they are written. They run in the task that makes the request, within its deadline,
/// so what they wait for delays it. Without any request hook there is nothing to pay for; with one, every request takes
/// the long way through its connection.
#[async_trait]
pub trait RequestHook: Send + Sync + 'static {
    /// What errors and the log call it: the type's name unless it is written.
    fn name(&self) -> &str {
        type_name::<Self>()
    }

    /// Before the request is signed and handed over. An error, or a panic, ends the request: no byte of it is sent, and
    /// it is not tried again.
    async fn before(&self, request: &mut RequestContext<'_>) -> HookResult {
        let _ = request;
        Ok(())
    }

    /// After the request, unless whoever made it has dropped it. A panic is logged and changes nothing.
    async fn after(&self, request: &RequestContext<'_>, outcome: RequestOutcome<'_>) {
        let _ = (request, outcome);
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum RequestOutcome<'a> {
    /// The server answered, with whatever code.
    Answered(&'a Response),
    /// It got no answer.
    Failed(&'a RequestError),
    /// One-way: all its bytes were taken by the operating system.
    Written,
}

/// A request that is to be made. `Debug` shows names and sizes, no values.
pub struct RequestContext<'a> {
    peer: &'a str,
    code: RequestCode,
    is_oneway: bool,
    body: &'a Bytes,
    fields: Vec<(Cow<'a, str>, String)>,
    /// Those from here on were added.
    own: usize,
}

/// A field that cannot be added to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddedFieldError {
    /// The name is empty, longer than 255 bytes, or not of printable ASCII characters.
    #[error("the name of an added field has 1 to 255 printable ASCII characters")]
    Name,
    /// The request has the field, or is given it after the hooks: by a namespace, by the signature.
    #[error("the request has a field of this name, or is given one later")]
    Taken,
    /// The value is empty, which servers read as none.
    #[error("the value of an added field is empty")]
    EmptyValue,
}

impl<'a> RequestContext<'a> {
    fn new<H: RequestHeader>(peer: &'a str, header: &H, body: &'a Bytes, is_oneway: bool) -> Self {
        let mut fields = Collected(Vec::new());
        header.write_fields(&mut fields);
        Self {
            peer,
            code: header.code(),
            is_oneway,
            body,
            own: fields.0.len(),
            fields: fields.0,
        }
    }

    /// The address of the server, `host:port`.
    #[must_use]
    pub const fn peer(&self) -> &str {
        self.peer
    }

    /// What is asked.
    #[must_use]
    pub const fn code(&self) -> RequestCode {
        self.code
    }

    /// Whether no answer is asked for.
    #[must_use]
    pub const fn is_oneway(&self) -> bool {
        self.is_oneway
    }

    /// The body, possibly empty.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        self.body
    }

    /// The value of a field, also of an added one.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields()
            .find_map(|(known, value)| (known == name).then_some(value))
    }

    /// Names and values of all fields, in the order in which they travel; added ones are last, before the signature.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let fields = self.fields.iter();
        fields.map(|(name, value)| (&**name, value.as_str()))
    }

    /// Adds a field. One that was added before is replaced.
    ///
    /// # Errors
    /// An [`AddedFieldError`] if the name or the value cannot be one, or the request has such a field of its own. Then
    /// nothing changes.
    pub fn add_field(
        &mut self,
        name: &str,
        value: impl Into<String>,
    ) -> Result<(), AddedFieldError> {
        let is_printable = name.bytes().all(|byte| byte.is_ascii_graphic());
        if name.is_empty() || name.len() > LONGEST_NAME || !is_printable {
            return Err(AddedFieldError::Name);
        }
        let value = value.into();
        if value.is_empty() {
            return Err(AddedFieldError::EmptyValue);
        }
        let place = self.fields.iter().position(|(known, _)| known == name);
        let is_later = auth::FIELDS.contains(&name) || ["ns", "nsd"].contains(&name);
        if is_later || place.is_some_and(|place| place < self.own) {
            return Err(AddedFieldError::Taken);
        }
        match place.and_then(|place| self.fields.get_mut(place)) {
            Some((_, old)) => *old = value,
            None => self.fields.push((Cow::Owned(name.to_owned()), value)),
        }
        Ok(())
    }

    fn added(&self) -> &[(Cow<'a, str>, String)] {
        self.fields.get(self.own..).unwrap_or_default()
    }
}

impl fmt::Debug for RequestContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.fields().map(|(name, _)| name).collect();
        f.debug_struct("RequestContext")
            .field("peer", &self.peer)
            .field("code", &self.code)
            .field("fields", &names)
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The request hooks of a client, in the order in which they are called. Two are equal if they have the same hooks.
#[derive(Clone, Default)]
pub struct RequestHooks {
    hooks: Vec<Arc<dyn RequestHook>>,
}

impl RequestHooks {
    pub(crate) fn add(&mut self, hook: Arc<dyn RequestHook>) {
        self.hooks.push(hook);
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }

    /// Calls all before a request, until one does not let it pass.
    pub(crate) async fn before<'a, H: RequestHeader + Sync>(
        &self,
        peer: &'a str,
        header: &H,
        body: &'a Bytes,
        is_oneway: bool,
        deadline: Instant,
    ) -> Result<RequestContext<'a>, HookError> {
        let mut request = RequestContext::new(peer, header, body, is_oneway);
        for hook in &self.hooks {
            let work = hook.before(&mut request);
            let result = guarded(hook.name(), deadline, work).await?;
            result.map_err(|error| HookError::refused(hook.name(), error))?;
        }
        Ok(request)
    }

    /// Calls all after a request, the last first.
    pub(crate) async fn after(
        &self,
        request: &RequestContext<'_>,
        outcome: RequestOutcome<'_>,
        deadline: Instant,
    ) {
        for hook in self.hooks.iter().rev() {
            let work = hook.after(request, outcome);
            if let Err(error) = guarded(hook.name(), deadline, work).await {
                warn!(%error, peer = request.peer, "hook after a request failed");
            }
        }
    }
}

impl fmt::Debug for RequestHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.hooks.iter().map(|hook| hook.name());
        f.debug_list().entries(names).finish()
    }
}

impl PartialEq for RequestHooks {
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.hooks.iter().zip(&other.hooks);
        self.hooks.len() == other.hooks.len()
            && pairs.into_iter().all(|(one, two)| Arc::ptr_eq(one, two))
    }
}

impl Eq for RequestHooks {}

/// A header with the fields that hooks added.
pub(crate) struct Extended<'a, H> {
    header: &'a H,
    added: &'a [(Cow<'a, str>, String)],
}

impl<'a, H> Extended<'a, H> {
    pub(crate) fn new(header: &'a H, request: &'a RequestContext<'_>) -> Self {
        let added = request.added();
        Self { header, added }
    }
}

impl<H: RequestHeader> RequestHeader for Extended<'_, H> {
    fn code(&self) -> RequestCode {
        self.header.code()
    }

    fn write_fields<S: FieldSink>(&self, sink: &mut S) {
        self.header.write_fields(sink);
        for (name, value) in self.added {
            sink.added(name, value);
        }
    }
}
