//! See the target `name_server_source` in `tests/src/fuzz.rs`.
#![no_main]

use rocketmq_producer_tests::fuzz::feed;

libfuzzer_sys::fuzz_target!(|input: &[u8]| feed("name_server_source", input));
