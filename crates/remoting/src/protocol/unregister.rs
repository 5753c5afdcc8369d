//! Header of the request by which a producer leaves a broker.

use crate::code::RequestCode;
use crate::header::{FieldSink, RequestHeader};

/// Header of `UNREGISTER_CLIENT` for a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnregisterClientRequestHeader<'a> {
    /// Id of the client, the same as in its heartbeats.
    pub client_id: &'a str,
    /// The producer group that leaves.
    pub producer_group: &'a str,
}

impl<'a> UnregisterClientRequestHeader<'a> {
    /// The client `client_id` leaves the producer group.
    #[must_use]
    pub const fn new(client_id: &'a str, producer_group: &'a str) -> Self {
        Self {
            client_id,
            producer_group,
        }
    }
}

impl RequestHeader for UnregisterClientRequestHeader<'_> {
    fn code(&self) -> RequestCode {
        RequestCode::UNREGISTER_CLIENT
    }

    fn write_fields<S: FieldSink>(&self, sink: &mut S) {
        sink.text("producerGroup", self.producer_group);
        sink.text("clientID", self.client_id);
    }
}
