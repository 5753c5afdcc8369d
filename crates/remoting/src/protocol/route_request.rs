//! Header of the request for a topic's route.

use crate::code::RequestCode;
use crate::header::{FieldSink, RequestHeader};

/// Header of `GET_ROUTEINFO_BY_TOPIC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GetRouteInfoRequestHeader<'a> {
    /// The topic.
    pub topic: &'a str,
    /// Asks for standard JSON; name servers before 4.9.4 do not know it.
    pub accept_standard_json_only: bool,
}

impl<'a> GetRouteInfoRequestHeader<'a> {
    /// Asks for the route of `topic` as standard JSON.
    #[must_use]
    pub const fn new(topic: &'a str) -> Self {
        Self {
            topic,
            accept_standard_json_only: true,
        }
    }
}

impl RequestHeader for GetRouteInfoRequestHeader<'_> {
    fn code(&self) -> RequestCode {
        RequestCode::GET_ROUTEINFO_BY_TOPIC
    }

    fn write_fields<S: FieldSink>(&self, sink: &mut S) {
        sink.text("topic", self.topic);
        if self.accept_standard_json_only {
            sink.boolean("acceptStandardJsonOnly", true);
        }
    }
}
