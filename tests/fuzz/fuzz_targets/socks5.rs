//! See the target `socks5` in `tests/src/fuzz.rs`.
#![no_main]

use rocketmq_producer_tests::fuzz::feed;

libfuzzer_sys::fuzz_target!(|input: &[u8]| feed("socks5", input));
