//! Hooks around sends and transactions: code of the user's own at fixed points.

mod context;
mod end_transaction;
mod forbidden;
mod send;
mod trace_context;

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub use self::context::{SendContext, SendOutcome};
pub use self::end_transaction::{EndTransactionContext, EndTransactionHook};
pub use self::forbidden::{CheckForbiddenContext, CheckForbiddenHook};
pub use self::send::SendHook;
pub use self::trace_context::TraceContextHook;
use crate::config::routing::remoting::{HookError, HookResult, guarded};
use crate::error::SendFailure;
use crate::message_trace::Tracer;

/// The hooks of a producer, each kind in the order in which they were given.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) send: Vec<Arc<dyn SendHook>>,
    pub(crate) forbidden: Vec<Arc<dyn CheckForbiddenHook>>,
    pub(crate) end_transaction: Vec<Arc<dyn EndTransactionHook>>,
    /// Writes traces of the ends of transactions, if they are on.
    pub(crate) tracer: Option<Arc<Tracer>>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let send = self.send.iter().map(|hook| hook.name());
        let forbidden = self.forbidden.iter().map(|hook| hook.name());
        let end = self.end_transaction.iter().map(|hook| hook.name());
        let names = send.chain(forbidden).chain(end);
        f.debug_list().entries(names).finish()
    }
}

/// How far the hooks before a message got: so many are told what becomes of it.
pub(crate) struct Begun {
    pub(crate) hooks: usize,
    /// What one of them, or the wait for it, ended the message with.
    pub(crate) refusal: Option<SendFailure>,
}

impl Hooks {
    /// Calls the hooks before a message, in their order, until one does not let it pass.
    pub(crate) async fn before_send(
        &self,
        context: &mut SendContext,
        deadline: Instant,
        closing: &CancellationToken,
    ) -> Begun {
        let mut hooks = 0;
        for hook in &self.send {
            let work = guarded(hook.name(), deadline, hook.before(context));
            let refusal = match closing.run_until_cancelled(work).await {
                None => SendFailure::Shutdown,
                Some(result) => match passed(hook.name(), result) {
                    Ok(()) => {
                        hooks += 1;
                        continue;
                    }
                    Err(error) => SendFailure::Hook(error),
                },
            };
            let refusal = Some(refusal);
            return Begun { hooks, refusal };
        }
        let refusal = None;
        Begun { hooks, refusal }
    }

    /// Tells the first `hooks` of them what became of the message, the last of these first.
    pub(crate) async fn after_send(
        &self,
        hooks: usize,
        context: &SendContext,
        outcome: SendOutcome<'_>,
        deadline: Instant,
    ) {
        let begun = self.send.get(..hooks).unwrap_or_default();
        for hook in begun.iter().rev() {
            let work = hook.after(context, outcome);
            if let Err(error) = guarded(hook.name(), deadline, work).await {
                warn!(%error, topic = context.message().topic(), "hook after a send failed");
            }
        }
    }

    /// Asks whether an attempt may be made.
    pub(crate) async fn check_forbidden(
        &self,
        context: &CheckForbiddenContext<'_>,
        deadline: Instant,
    ) -> Result<(), HookError> {
        for hook in &self.forbidden {
            let work = hook.check_forbidden(context);
            passed(hook.name(), guarded(hook.name(), deadline, work).await)?;
        }
        Ok(())
    }

    /// Whether somebody is to be told of the ends of transactions.
    pub(crate) fn hears_of_ends(&self) -> bool {
        self.tracer.is_some() || !self.end_transaction.is_empty()
    }

    /// Tells that the end of a transaction is about to be sent.
    pub(crate) async fn end_transaction(
        &self,
        context: &EndTransactionContext<'_>,
        deadline: Instant,
    ) {
        if let Some(tracer) = &self.tracer {
            tracer.transaction_ends(context);
        }
        for hook in &self.end_transaction {
            let work = hook.end_transaction(context);
            if let Err(error) = guarded(hook.name(), deadline, work).await {
                warn!(%error, topic = context.topic(), "hook at the end of a transaction failed");
            }
        }
    }
}

fn passed(hook: &str, result: Result<HookResult, HookError>) -> Result<(), HookError> {
    result?.map_err(|error| HookError::refused(hook, error))
}
