//! The promises of the producer, each attacked by the test that bears its name.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "clippy does not see that the helpers of an integration test are tests"
)]

mod a_send_resolves_once_and_in_time;
mod health_shifts_traffic_and_never_stops_it;
mod no_acknowledged_message_is_lost;
mod no_bytes_can_panic_or_hang;
mod not_sent_means_no_byte_left;
mod nothing_is_unbounded;
mod order_per_sharding_key_holds_over_retries;
mod secrets_are_never_printed;
mod support;
