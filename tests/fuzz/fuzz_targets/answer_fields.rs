//! See the target `answer_fields` in `tests/src/fuzz.rs`.
#![no_main]

use rocketmq_producer_tests::fuzz::feed;

libfuzzer_sys::fuzz_target!(|input: &[u8]| feed("answer_fields", input));
