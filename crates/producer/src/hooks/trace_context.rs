//! [`TraceContextHook`]: has consumers continue the trace of the sender.

use async_trait::async_trait;
use tracing::debug;

use super::{SendContext, SendHook};
use crate::config::routing::remoting::HookResult;

/// Puts the trace context of the sender into properties of its messages: `traceparent` and `tracestate` of W3C, or
/// whatever a propagator writes. A consumer that reads them continues the trace.
///
/// It is made with a function that gives names and values to the one that it is handed, so that it fits any version of
/// any tracing library. It is called within the span of the send. With `opentelemetry` and `tracing-opentelemetry`:
///
/// ```ignore
/// struct Carrier<'a>(&'a mut dyn FnMut(&str, &str));
///
/// impl Injector for Carrier<'_> {
///     fn set(&mut self, key: &str, value: String) {
///         (self.0)(key, &value);
///     }
/// }
///
/// let hook = TraceContextHook::new(|put| {
///     let context = tracing::Span::current().context();
///     opentelemetry::global::get_text_map_propagator(|propagator| {
///         propagator.inject_context(&context, &mut Carrier(put));
///     });
/// });
/// ```
///
/// A property that the message has already stays: a message that is passed on keeps the context of who made it. Tracing
/// never keeps a message from being sent: what cannot be a property is left out.
pub struct TraceContextHook<F>(F);

impl<F> TraceContextHook<F>
where
    F: Fn(&mut dyn FnMut(&str, &str)) + Send + Sync + 'static,
{
    /// With what `inject` hands over for each message.
    pub const fn new(inject: F) -> Self {
        Self(inject)
    }
}

impl<F> std::fmt::Debug for TraceContextHook<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TraceContextHook").finish_non_exhaustive()
    }
}

#[async_trait]
impl<F> SendHook for TraceContextHook<F>
where
    F: Fn(&mut dyn FnMut(&str, &str)) + Send + Sync + 'static,
{
    fn name(&self) -> &str {
        "trace context"
    }

    async fn before(&self, context: &mut SendContext) -> HookResult {
        let mut message = context.message().clone();
        (self.0)(&mut |name, value| {
            // A `tracestate` without content is usual.
            if message.property(name).is_some() || value.trim().is_empty() {
                return;
            }
            match message.clone().with_property(name, value) {
                Ok(with) => message = with,
                Err(error) => debug!(%error, "trace context cannot be a property"),
            }
        });
        context.set_message(message);
        Ok(())
    }
}
