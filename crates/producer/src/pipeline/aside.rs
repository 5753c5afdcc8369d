//! Messages of the producer's own, beside those of its callers: traces.

use tokio::time::Instant;

use super::delivery::Delivery;
use super::exchange::TwoWay;
use super::parcel::{Errand, Parcel};
use crate::config::routing::remoting::Message;
use crate::core::Core;
use crate::error::SendFailure;
use crate::options::Target;

impl Core {
    /// Sends a message that takes no place among those under way, counts nowhere, and is itself not traced.
    pub(crate) async fn send_aside(
        &self,
        message: &Message,
        deadline: Instant,
    ) -> Result<(), SendFailure> {
        let stamp = self.stamp();
        let errand = Errand {
            core: self,
            topic: message.topic_shared(),
            message: Some(message),
            target: &Target::Strategy,
            is_immediate: false,
            sends: 1,
            bytes: message.body().len() + message.properties().wire_len(),
            began: Instant::now(),
            deadline,
        };
        let parcel = Parcel::single(message, message.body(), &stamp);
        let mut delivery = Delivery::<TwoWay>::new(errand, parcel, None);
        let outcome = delivery.run(None).await;
        outcome.map(drop).map_err(|(failure, _)| failure)
    }
}
