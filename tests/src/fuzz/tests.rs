//! Every decoder survives many seeded inputs, and the fuzzing itself does what it says.

use std::path::Path;

use super::bytes::{from_hex, to_hex};
use super::corpus::{Corpus, seeds};
use super::mutate::{LONGEST, Mutator};
use super::run::{Plan, feed, run};
use super::{TARGETS, Target, Verdict, target};

const INPUTS: u64 = 100_000;

/// Inputs of targets whose every input takes a runtime and a whole connection.
const CONNECTION_INPUTS: u64 = 20_000;

const PLAN: Plan = Plan {
    seed: 1,
    start: 0,
    iterations: INPUTS,
    time: None,
};

fn survives(name: &str) {
    let target = target(name).unwrap();
    let inputs = match name {
        "connection" | "discovery_http" | "socks5" => CONNECTION_INPUTS,
        _ => INPUTS,
    };
    let plan = Plan {
        iterations: inputs,
        ..PLAN
    };
    let report = run(target, &seeds(target, &Corpus::of_vectors()), plan)
        .unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(report.inputs, inputs);
    // Inputs that are all refused, or all taken, would try half of a decoder.
    assert!(report.accepted > inputs / 100, "{report}");
    assert!(report.accepted < inputs, "{report}");
}

macro_rules! survive {
    ($($test:ident: $target:ident,)+) => {
        $(
            #[test]
            fn $test() {
                survives(stringify!($target));
            }
        )+

        #[test]
        fn every_target_is_tested() {
            let tested = [$(stringify!($target)),+];
            assert_eq!(TARGETS.map(|target| target.name), tested);
        }
    };
}

survive! {
    a_frame_stream_survives_any_bytes: frame_stream,
    json_headers_survive_any_bytes: header_json,
    binary_headers_survive_any_bytes: header_binary,
    the_quick_look_survives_any_bytes: peek,
    receipts_survive_any_bytes: send_response,
    offsets_and_ids_in_answers_survive_any_bytes: answer_fields,
    routes_survive_any_bytes: route,
    cluster_information_survives_any_bytes: cluster,
    heartbeats_survive_any_bytes: heartbeat,
    offsets_of_topics_survive_any_bytes: topic_stats,
    answers_to_administration_survive_any_bytes: admin_bodies,
    batches_survive_any_bytes: batch,
    compressed_bodies_survive_any_bytes: decompress,
    stored_messages_survive_any_bytes: stored_message,
    questions_for_transactions_survive_any_bytes: check_transaction,
    pushed_replies_survive_any_bytes: pushed_reply,
    property_strings_survive_any_text: properties,
    offset_ids_survive_any_text: offset_id,
    recall_handles_survive_any_text: recall_handle,
    sizes_survive_any_text: byte_size,
    durations_survive_any_text: duration,
    address_lists_survive_any_text: addresses,
    sources_of_name_servers_survive_any_text: name_server_source,
    address_maps_survive_any_text: address_map,
    pages_that_tell_name_servers_survive_any_bytes: discovery_page,
    answers_over_http_survive_any_bytes: discovery_http,
    answers_of_proxies_survive_any_bytes: socks5,
    configuration_files_survive_any_text: config_toml,
    queue_lists_survive_any_route: queue_list,
    connections_survive_any_course_of_events: connection,
}

#[test]
fn deep_nesting_and_long_repetition_are_harmless() {
    let parts: [&[u8]; 10] = [
        b"[",
        b"{\"a\":",
        b"{1:",
        b"{1 ",
        b",1 ",
        b"{\"extFields\":",
        b"\"a\":\"1\",",
        b"\\\"",
        b"k\x01v\x02",
        b"a = [",
    ];
    let starts: [&[u8]; 4] = [b"", b"{", b"{\"extFields\":{", b"\x00{\"extFields\":{"];
    for target in &TARGETS {
        for part in parts {
            for start in starts {
                let input = [start, &part.repeat(4_000)].concat();
                if let Err(message) = feed(target, &input) {
                    panic!("{}: {message}", target.name);
                }
            }
        }
    }
}

#[test]
fn every_target_has_a_file_for_cargo_fuzz() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for Target { name, .. } in &TARGETS {
        let text = std::fs::read_to_string(folder.join(format!("fuzz_targets/{name}.rs")));
        assert!(
            text.is_ok_and(|text| text.contains(&format!("feed(\"{name}\""))),
            "{name}"
        );
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
    let files = std::fs::read_dir(folder.join("fuzz_targets")).unwrap();
    assert_eq!(files.count(), TARGETS.len(), "a file without a target");
}

/// `fuzz TARGET --write-corpus tests/fuzz/corpus` writes them.
#[test]
fn every_target_has_inputs_that_are_kept() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for Target { name, .. } in &TARGETS {
        let kept = std::fs::read_dir(folder.join(name));
        assert!(kept.is_ok_and(|mut files| files.next().is_some()), "{name}");
    }
    let folders = std::fs::read_dir(folder).unwrap();
    assert_eq!(folders.count(), TARGETS.len(), "a folder without a target");
}

#[test]
fn a_failure_can_be_made_again_from_its_report() {
    static BROKEN: Target = Target {
        name: "broken",
        about: "fails on a certain byte",
        seeds: |_| vec![b"harmless".to_vec()],
        tokens: &[],
        check: |input| {
            assert!(!input.contains(&b'!'), "an exclamation mark");
            Verdict::Refused
        },
    };
    let seeds = seeds(&BROKEN, &Corpus::default());
    let failure = run(&BROKEN, &seeds, PLAN).unwrap_err();
    assert!(failure.message.contains("an exclamation mark"), "{failure}");
    assert_eq!(failure.shortened, b"!");
    let text = failure.to_string();
    assert!(text.contains(&to_hex(&failure.input)), "{text}");
    let again = Plan {
        start: failure.iteration,
        iterations: 1,
        ..PLAN
    };
    assert_eq!(
        run(&BROKEN, &seeds, again).unwrap_err().input,
        failure.input
    );
}

#[test]
fn inputs_depend_on_the_seed_and_are_bounded() {
    let known = [b"a frame".to_vec(), vec![7; 2000]];
    let tokens: [&[u8]; 1] = [b"token"];
    let of_seed = |seed| {
        let mutator = Mutator::new("any", seed, &known, &tokens);
        let mut inputs = vec![Vec::new(); 500];
        for (iteration, input) in (0..).zip(&mut inputs) {
            mutator.make(iteration, input);
        }
        inputs
    };
    assert_eq!(of_seed(1), of_seed(1));
    assert_ne!(of_seed(1), of_seed(2));

    let mutator = Mutator::new("any", 1, &known, &tokens);
    let (mut long, mut longest) = (0, 0);
    let mut input = Vec::new();
    for iteration in 0..300_000 {
        mutator.make(iteration, &mut input);
        assert!(input.len() <= LONGEST);
        long += usize::from(input.len() > 10_000);
        longest += usize::from(input.len() == LONGEST);
    }
    assert!(long > 0 && longest > 0, "{long} long, {longest} longest");
}

#[test]
fn hexadecimal_digits_read_back() {
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(from_hex(&to_hex(&bytes)), Some(bytes));
    assert_eq!(from_hex("0"), None);
    assert_eq!(from_hex("zz"), None);
}
