//! [`SendHook`]: before and after every message.

use std::any::type_name;

use async_trait::async_trait;

use super::{SendContext, SendOutcome};
use crate::config::routing::remoting::HookResult;

/// Called before every message that is sent, and after it has its outcome (Java: `SendMessageHook`).
///
/// Both methods do nothing unless they are written. Of several hooks each sees what those before it made of the
/// message; afterwards the last one is told first. They run in the task that sends, so what they wait for delays that
/// send, within its budget. Every message of a batch has its own calls.
///
/// Unlike in Java, where a failure of a hook is logged and the message goes on as it is, an error, a panic or a hook that
/// is not done in time before the message ends the send: nothing is sent. A message that should have been encrypted
/// never leaves in the clear. After the message it changes nothing and is logged.
///
/// ```
/// use async_trait::async_trait;
/// use rocketmq_producer_core::config::routing::remoting::HookResult;
/// use rocketmq_producer_core::{SendContext, SendHook};
///
/// /// Marks every message with the name of the service.
/// struct Stamp(&'static str);
///
/// #[async_trait]
/// impl SendHook for Stamp {
///     async fn before(&self, context: &mut SendContext) -> HookResult {
///         let message = context.message().clone().with_property("service", self.0)?;
///         context.set_message(message);
///         Ok(())
///     }
/// }
/// ```
#[async_trait]
pub trait SendHook: Send + Sync + 'static {
    /// What errors and the log call it: the type's name unless it is written.
    fn name(&self) -> &str {
        type_name::<Self>()
    }

    /// Before the message is checked, waits for its place, and is given its id. It may put another message in its
    /// place. An error ends the send with [`SendFailure::Hook`](crate::SendFailure::Hook).
    async fn before(&self, context: &mut SendContext) -> HookResult {
        let _ = context;
        Ok(())
    }

    /// After the outcome, also if a later hook refused the message. Not called if the caller dropped the send: then the
    /// context, with what the hook put into it, is dropped.
    ///
    /// It has until the send's deadline; one that awaits nothing is done even after that.
    async fn after(&self, context: &SendContext, outcome: SendOutcome<'_>) {
        let _ = (context, outcome);
    }
}
