//! Sends that someone looks at: they run in a span, and hooks are called around them.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;

use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::Call;
use super::explicit::Refused;
use super::single::{Entrance, Single};
use crate::batch::BatchError;
use crate::config::routing::remoting::Message;
use crate::core::Core;
use crate::deadline;
use crate::error::{SendError, SendFailure};
use crate::hooks::{Begun, SendContext, SendOutcome};
use crate::ledger::Visit;
use crate::lifecycle::State;
use crate::options::SendOptions;
use crate::receipt::SendReceipt;
use crate::spans;

impl Core {
    /// Whether sends are looked at. Most are not, and pay for no more than this question.
    #[inline]
    pub(super) fn is_watched(&self) -> bool {
        !self.hooks.send.is_empty() || spans::is_on()
    }

    /// Sends a message in a span, with hooks around it.
    pub(super) fn send_watched<'a, X: Single>(
        self: &'a Arc<Self>,
        call: Call<'a>,
        joins: bool,
    ) -> Pin<Box<dyn Future<Output = Result<X::Proof, SendError>> + Send + 'a>> {
        let span = spans::send(&self.group, &self.client.id, call.message, None);
        let inner = span.clone();
        let send = async move {
            let entrance = Entrance {
                joins,
                is_front: false,
                began: Some(call.began),
            };
            let result = if self.hooks.send.is_empty() {
                self.send_single::<X>(call.message, call.options, &entrance)
                    .await
            } else {
                self.send_hooked::<X>(call, &entrance).await
            };
            spans::ended(&inner, X::outcome(&result));
            result
        };
        Box::pin(send.instrument(span))
    }

    async fn send_hooked<X: Single>(
        self: &Arc<Self>,
        call: Call<'_>,
        entrance: &Entrance,
    ) -> Result<X::Proof, SendError> {
        // A flush waits for the hooks before the message too.
        let visit = self.ledger.begin();
        let mut context = self.context(call.message, X::IS_ONEWAY, false);
        let begun = self.before_send(&mut context, call.deadline).await;
        let result = match begun.refusal {
            Some(refusal) => {
                self.count_refusal();
                drop(visit);
                Err(call.error(None, refusal, Vec::new()))
            }
            None => {
                let send = self.send_single::<X>(context.message(), call.options, entrance);
                begun_before(visit, send).await
            }
        };
        let outcome = X::outcome(&result);
        self.hooks
            .after_send(begun.hooks, &context, outcome, call.deadline)
            .await;
        result
    }

    /// Sends messages in batches, in a span.
    pub(super) async fn send_batch_watched(
        self: &Arc<Self>,
        messages: &[Message],
        options: &SendOptions,
    ) -> Result<Vec<SendReceipt>, BatchError> {
        let span = match messages {
            [first, ..] => spans::send(&self.group, &self.client.id, first, Some(messages.len())),
            [] => Span::none(),
        };
        let send = self.send_batch_hooked(messages, options);
        let result = send.instrument(span.clone()).await;
        let error = result.as_ref().err();
        if let Some((_, error)) = error.and_then(|error| error.failed().next()) {
            spans::failed(&span, error.kind());
        }
        result
    }

    /// Sends messages in batches with hooks around each of them.
    async fn send_batch_hooked(
        self: &Arc<Self>,
        messages: &[Message],
        options: &SendOptions,
    ) -> Result<Vec<SendReceipt>, BatchError> {
        let visit = self.ledger.begin();
        let began = Instant::now();
        let deadline = deadline::after(
            began,
            options.timeout.unwrap_or(self.config.send_msg_timeout),
        );
        let mut contexts = Vec::with_capacity(messages.len());
        let mut refused = Refused::default();
        for (index, message) in messages.iter().enumerate() {
            let mut context = self.context(message, false, true);
            let Begun { hooks, refusal } = self.before_send(&mut context, deadline).await;
            refused.extend(refusal.map(|refusal| (index, refusal)));
            contexts.push((context, hooks));
        }
        let contents = contexts
            .iter()
            .map(|(context, _)| context.message().clone());
        let contents: Vec<_> = contents.collect();
        let send = self.send_batch_plain(&contents, options, began, &refused);
        let result = begun_before(visit, send).await;
        for (index, (context, hooks)) in contexts.iter().enumerate() {
            let outcome = match &result {
                Ok(receipts) => receipts.get(index).map(SendOutcome::Stored),
                Err(error) => error.results().get(index).map(|result| match result {
                    Ok(receipt) => SendOutcome::Stored(receipt),
                    Err(error) => SendOutcome::Failed(error),
                }),
            };
            if let Some(outcome) = outcome {
                self.hooks
                    .after_send(*hooks, context, outcome, deadline)
                    .await;
            }
        }
        result
    }

    fn context(&self, message: &Message, is_oneway: bool, is_batched: bool) -> SendContext {
        let message = message.clone();
        SendContext::new(&self.group, &self.client.id, message, is_oneway, is_batched)
    }

    async fn before_send(&self, context: &mut SendContext, deadline: Instant) -> Begun {
        let state = self.state.get();
        if state != State::Running {
            return Begun {
                hooks: 0,
                refusal: Some(SendFailure::State(state)),
            };
        }
        let begun = self.hooks.before_send(context, deadline, &self.closing);
        let mut begun = begun.await;
        if let Some(SendFailure::Shutdown) = begun.refusal {
            // As for all who wait for their place.
            begun.refusal = Some(SendFailure::State(self.state.get()));
        }
        begun
    }
}

/// Runs a send that counts itself among those under way when it is first polled; until then `visit` does.
async fn begun_before<T>(visit: Visit<'_>, send: impl Future<Output = T>) -> T {
    let mut visit = Some(visit);
    let mut send = pin!(send);
    poll_fn(|context| {
        let polled = send.as_mut().poll(context);
        visit = None;
        polled
    })
    .await
}
