//! Random and mutated input for everything that reads what others wrote.
//!
//! [`TARGETS`] is the table: one target per decoder, each with inputs to start from and a check that
//! asserts what must hold for any input. The same table feeds three things: the ordinary tests (a
//! fixed seed, few inputs), the program `fuzz` (a seeded mutator, as many inputs as wanted) and the
//! cargo-fuzz crate in `tests/fuzz` (guided by coverage).
//!
//! A new decoder gets a function that asserts its properties in one of the files below, a line in
//! [`TARGETS`], and a one-line file in `tests/fuzz/fuzz_targets`; a test holds these together.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a property that does not hold is reported as a panic: that is what fuzzers look for"
)]

pub mod bytes;
pub mod corpus;
pub mod mutate;
pub mod random;
pub mod run;

mod admin;
mod bodies;
mod compressed;
mod config;
mod connection;
mod frames;
mod headers;
mod routing;
mod stored;
mod strangers;
mod texts;

#[cfg(test)]
mod tests;

use self::corpus::Corpus;

/// What a decoder made of an input that did not break it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It was read.
    Accepted,
    /// It was refused with an error, as most are.
    Refused,
}

impl Verdict {
    const fn of(accepted: bool) -> Self {
        if accepted {
            Self::Accepted
        } else {
            Self::Refused
        }
    }
}

/// A decoder and what must hold of it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Target {
    /// Its name on the command line and in `tests/fuzz`.
    pub name: &'static str,
    /// What is fed and what is asserted, in a line.
    pub about: &'static str,
    /// Inputs to mutate, out of the vectors.
    pub seeds: fn(&Corpus) -> Vec<Vec<u8>>,
    /// Pieces that mean something to the decoder, put in by the mutator.
    pub tokens: &'static [&'static [u8]],
    /// Feeds one input; panics when something that must hold does not.
    pub check: fn(&[u8]) -> Verdict,
}

/// Every target.
pub static TARGETS: [Target; 30] = [
    Target {
        name: "frame_stream",
        about: "frames cut out of a stream: chunk sizes do not matter, no byte is lost, little is reserved",
        seeds: frames::seeds,
        tokens: frames::TOKENS,
        check: frames::stream,
    },
    Target {
        name: "header_json",
        about: "JSON headers: what is read survives writing in either encoding",
        seeds: headers::json_seeds,
        tokens: corpus::JSON_TOKENS,
        check: headers::json,
    },
    Target {
        name: "header_binary",
        about: "binary headers: what is read survives writing in either encoding",
        seeds: headers::binary_seeds,
        tokens: frames::TOKENS,
        check: headers::binary,
    },
    Target {
        name: "peek",
        about: "the quick look at a header agrees with the full reader, the fast path with the slow one",
        seeds: headers::both_seeds,
        tokens: corpus::JSON_TOKENS,
        check: headers::peek_agrees,
    },
    Target {
        name: "send_response",
        about: "the receipt of a send has the fields that the full reader sees",
        seeds: headers::both_seeds,
        tokens: corpus::JSON_TOKENS,
        check: headers::send_response,
    },
    Target {
        name: "answer_fields",
        about: "answers to administration in header fields: an offset and an id are those that the full reader sees",
        seeds: headers::answer_seeds,
        tokens: headers::ANSWER_TOKENS,
        check: headers::answer_fields,
    },
    Target {
        name: "route",
        about: "route bodies: bounded, unchanged by writing, the same with and without quoted keys",
        seeds: bodies::route_seeds,
        tokens: corpus::JSON_TOKENS,
        check: bodies::route,
    },
    Target {
        name: "cluster",
        about: "cluster bodies: unchanged by writing, the same with and without quoted keys",
        seeds: bodies::cluster_seeds,
        tokens: corpus::JSON_TOKENS,
        check: bodies::cluster,
    },
    Target {
        name: "heartbeat",
        about: "heartbeat bodies: unchanged by writing",
        seeds: bodies::heartbeat_seeds,
        tokens: corpus::JSON_TOKENS,
        check: bodies::heartbeat,
    },
    Target {
        name: "topic_stats",
        about: "offsets of a topic's queues, whose keys are objects: unchanged by writing, each queue once",
        seeds: admin::topic_stats_seeds,
        tokens: corpus::JSON_TOKENS,
        check: admin::topic_stats,
    },
    Target {
        name: "admin_bodies",
        about: "settings and lists of topics, connections of producers, words of a broker: unchanged by writing",
        seeds: admin::seeds,
        tokens: corpus::JSON_TOKENS,
        check: admin::bodies,
    },
    Target {
        name: "batch",
        about: "bodies of batches: bounded, unchanged by writing, nothing read beyond an error",
        seeds: bodies::batch_seeds,
        tokens: frames::TOKENS,
        check: bodies::batch,
    },
    Target {
        name: "decompress",
        about: "compressed bodies: never more than the limit, and what was read is compressed and read again alike",
        seeds: compressed::seeds,
        tokens: compressed::TOKENS,
        check: compressed::check,
    },
    Target {
        name: "stored_message",
        about: "stored messages: nothing but whole ones, bounded, unchanged by writing",
        seeds: stored::message_seeds,
        tokens: stored::TOKENS,
        check: stored::message,
    },
    Target {
        name: "check_transaction",
        about: "questions for transactions: header and half message read together, the answer gives back what was asked",
        seeds: stored::question_seeds,
        tokens: stored::TOKENS,
        check: stored::question,
    },
    Target {
        name: "pushed_reply",
        about: "replies that brokers push: read in no more memory than their bytes and the limit",
        seeds: stored::reply_seeds,
        tokens: stored::TOKENS,
        check: stored::reply,
    },
    Target {
        name: "properties",
        about: "property strings: read as Java reads them, unchanged by writing, each name once",
        seeds: texts::properties_seeds,
        tokens: texts::PROPERTY_TOKENS,
        check: texts::properties,
    },
    Target {
        name: "offset_id",
        about: "offset message ids: unchanged by writing, letter case does not matter",
        seeds: texts::offset_id_seeds,
        tokens: texts::NUMBER_TOKENS,
        check: texts::offset_id,
    },
    Target {
        name: "recall_handle",
        about: "recall handles: kept as they came, made again from their parts",
        seeds: texts::recall_handle_seeds,
        tokens: texts::HANDLE_TOKENS,
        check: texts::recall_handle,
    },
    Target {
        name: "byte_size",
        about: "sizes: the number times its unit, unchanged by writing",
        seeds: texts::byte_size_seeds,
        tokens: texts::NUMBER_TOKENS,
        check: texts::byte_size,
    },
    Target {
        name: "duration",
        about: "durations: the sum of their pieces, unchanged by writing",
        seeds: texts::duration_seeds,
        tokens: texts::NUMBER_TOKENS,
        check: texts::duration,
    },
    Target {
        name: "addresses",
        about: "name server lists: every address stands in the text and on its own, none twice",
        seeds: texts::addresses_seeds,
        tokens: texts::ADDRESS_TOKENS,
        check: texts::addresses,
    },
    Target {
        name: "name_server_source",
        about: "lists, endpoints and pages of name servers: one of them, within bounds, unchanged by writing",
        seeds: texts::source_seeds,
        tokens: texts::ADDRESS_TOKENS,
        check: texts::name_server_source,
    },
    Target {
        name: "address_map",
        about: "maps of addresses: bounded, unchanged by writing, no address twice, each rule followed once",
        seeds: texts::address_map_seeds,
        tokens: texts::ADDRESS_TOKENS,
        check: texts::address_map,
    },
    Target {
        name: "discovery_page",
        about: "pages that tell name servers: the list of the first line and nothing else",
        seeds: strangers::page_seeds,
        tokens: strangers::PAGE_TOKENS,
        check: strangers::page,
    },
    Target {
        name: "discovery_http",
        about: "answers of a page's server, redirections included: a list or a named failure, without waiting",
        seeds: strangers::http_seeds,
        tokens: strangers::HTTP_TOKENS,
        check: strangers::http,
    },
    Target {
        name: "socks5",
        about: "answers of a SOCKS5 proxy: connected as the RFCs say, and no byte of the server taken",
        seeds: strangers::socks_seeds,
        tokens: strangers::SOCKS_TOKENS,
        check: strangers::socks,
    },
    Target {
        name: "config_toml",
        about: "configuration files: what is taken is within bounds and reads back equal from its listing",
        seeds: config::seeds,
        tokens: config::TOKENS,
        check: config::toml,
    },
    Target {
        name: "queue_list",
        about: "queue lists of one route and the next: sorted, bounded, writable, with master, nothing forgotten",
        seeds: routing::seeds,
        tokens: corpus::JSON_TOKENS,
        check: routing::queue_list,
    },
    Target {
        name: "connection",
        about: "a connection under any course of events: each request ends once, in time, with the truth",
        seeds: connection::seeds,
        tokens: connection::TOKENS,
        check: connection::check,
    },
];

/// The target of a name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Feeds one input to the target `name`: what the files of `tests/fuzz/fuzz_targets` call.
///
/// # Panics
/// When a property does not hold, or when there is no such target.
pub fn feed(name: &str, input: &[u8]) {
    let target = target(name).expect("a name out of the table");
    (target.check)(input);
}
