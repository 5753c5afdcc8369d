//! The cases: each prepares what it needs and gives what repeats its operation.
//!
//! Only what is public is measured by itself. The pending table is a part of `connection/…`, admission and the ledger of
//! `send/…`: a rise there is a rise here.

mod batch;
mod codec;
mod connection;
mod message;
mod route;
mod send;

pub struct Case {
    pub name: &'static str,
    /// How often the operation is repeated to be counted.
    pub repeats: u64,
    pub prepare: fn() -> Repeat,
}

/// Does the operation so many times.
pub type Repeat = Box<dyn FnMut(u64)>;

/// By what a send does first.
pub const ALL: &[Case] = &[
    case("message/new", 1000, message::new),
    case("message/id", 1000, message::id),
    case("route/1_queue", 1000, route::one_queue),
    case("route/16_queues", 1000, route::sixteen_queues),
    case("route/least_load", 1000, route::least_load),
    case("route/one_suspect", 1000, route::one_suspect),
    case("route/report", 1000, route::report),
    case("encode/binary", 1000, codec::encode_binary),
    case("encode/json", 1000, codec::encode_json),
    case("decode/binary", 1000, codec::decode_binary),
    case("decode/json", 1000, codec::decode_json),
    case("connection/request", 1000, connection::request),
    case("connection/64_requests", 64 * 16, connection::requests),
    case("send/1_in_flight", 1000, send::one),
    case("send/64_in_flight", 64 * 32, send::sixty_four),
    case("send/1024_in_flight", 1024 * 4, send::thousand),
    case("send/1000_topics", 64 * 32, send::thousand_topics),
    case("send/64_brokers", 1000, send::sixty_four_brokers),
    case("batch/of_32", 32 * 64, batch::of_32),
    case("batch/auto_64", 64 * 32, batch::auto_64),
    case("batch/auto_1024", 1024 * 4, batch::auto_1024),
];

const fn case(name: &'static str, repeats: u64, prepare: fn() -> Repeat) -> Case {
    Case {
        name,
        repeats,
        prepare,
    }
}

/// Repeats one operation that needs no runtime.
pub fn each<T>(mut operation: impl FnMut() -> T + 'static) -> Repeat {
    Box::new(move |times| {
        for _ in 0..times {
            std::hint::black_box(operation());
        }
    })
}

/// A runtime of one thread, which callgrind can follow.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[expect(clippy::disallowed_methods, reason = "real time is what is measured")]
pub fn now() -> std::time::Instant {
    std::time::Instant::now()
}
