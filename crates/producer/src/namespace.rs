//! Sends in a namespace of the first kind: names are wrapped on the way in and unwrapped on the way out.
//!
//! All of it is apart from the usual way, which pays one look at an option. Queues and topics are wrapped before the
//! pipeline sees them, so that everything in it, routes, lanes and batches, knows one name only: that of the brokers.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;

use crate::batch::BatchError;
use crate::config::ProducerConfig;
use crate::config::routing::MessageQueue;
use crate::config::routing::remoting::Message;
use crate::config::routing::remoting::message::Namespace;
use crate::core::Core;
use crate::error::SendError;
use crate::options::{SendOptions, Target};
use crate::receipt::SendReceipt;

/// A future of its own, so that it may hold one like that which holds it.
type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The namespace that the settings name, else the instance that the name server's address belongs to (`MQ_INST_…`).
pub(crate) fn of(config: &ProducerConfig) -> Option<Namespace> {
    let given = config.namespace.as_deref();
    // Checked with the other settings.
    Namespace::new(given.or_else(|| config.namesrv_addr.instance())?).ok()
}

/// The name as brokers know it.
pub(crate) fn wrapped(namespace: Option<&Namespace>, plain: &str) -> Arc<str> {
    namespace.map_or_else(|| Arc::from(plain), |namespace| namespace.wrap(plain))
}

impl Core {
    /// A topic's name as brokers know it.
    pub(crate) fn topic_name<'a>(&self, plain: &'a str) -> Cow<'a, str> {
        match &self.namespace {
            None => Cow::Borrowed(plain),
            Some(namespace) => Cow::Owned(namespace.wrap(plain).as_ref().to_owned()),
        }
    }

    /// The namespace that names are to be put into, if there is one and they are not in it yet.
    pub(crate) fn namespace_for(&self, options: &SendOptions) -> Option<&Namespace> {
        self.namespace.as_ref().filter(|_| !options.is_named)
    }

    /// Sends messages to the topics of their names in the namespace.
    pub(crate) fn send_batch_in<'a>(
        self: &'a Arc<Self>,
        namespace: &'a Namespace,
        messages: &'a [Message],
        options: &'a SendOptions,
    ) -> Boxed<'a, Result<Vec<SendReceipt>, BatchError>> {
        Box::pin(async move {
            let wrapped: Vec<_> = messages
                .iter()
                .map(|message| message.in_namespace(namespace))
                .collect();
            let options = options.in_namespace(namespace);
            match self.send_batch(&wrapped, &options).await {
                Ok(receipts) => Ok(receipts
                    .into_iter()
                    .zip(messages)
                    .map(|(receipt, message)| receipt.with_topic(message.topic_shared()))
                    .collect()),
                Err(error) => {
                    let in_plain = |index: usize, result| match messages.get(index) {
                        Some(message) => plain(result, message),
                        None => result,
                    };
                    Err(error.map_results(in_plain))
                }
            }
        })
    }
}

/// The outcome, with the topic named as the message names it.
fn plain(
    outcome: Result<SendReceipt, SendError>,
    message: &Message,
) -> Result<SendReceipt, SendError> {
    let topic = message.topic_shared();
    match outcome {
        Ok(receipt) => Ok(receipt.with_topic(topic)),
        Err(error) => Err(error.with_topic(topic)),
    }
}

impl SendOptions {
    /// The options with a given queue named as brokers know it.
    pub(crate) fn in_namespace(&self, namespace: &Namespace) -> Self {
        let mut options = self.clone();
        options.is_named = true;
        if let Target::Queue(queue) = &mut options.target {
            let topic = namespace.wrap(queue.topic());
            *queue = MessageQueue::new(topic, Arc::clone(queue.broker_name()), queue.queue_id());
        }
        options
    }
}
