//! See the target `address_map` in `tests/src/fuzz.rs`.
#![no_main]

use rocketmq_producer_tests::fuzz::feed;

libfuzzer_sys::fuzz_target!(|input: &[u8]| feed("address_map", input));
