//! A message and its id.

use std::hint::black_box;

use bytes::Bytes;
use rocketmq_producer::Message;
use rocketmq_producer::remoting::message::MessageIdGenerator;

use super::{Repeat, each};

pub fn new() -> Repeat {
    let body = Bytes::from(vec![b'x'; 256]);
    each(move || Message::new(black_box("orders"), body.clone()).unwrap())
}

/// The id that becomes `UNIQ_KEY`, for a caller that has read the clock.
pub fn id() -> Repeat {
    let generator = MessageIdGenerator::new();
    let mut now = 1_780_000_000_000;
    each(move || {
        now += 1;
        generator.next_id_at(black_box(now))
    })
}
