//! The oracle sees what it is there to see.

use super::*;

fn at(queue: i32, offset: i64) -> Position {
    Position {
        broker: "broker-a".to_owned(),
        queue,
        offset,
    }
}

fn stored(id: &str, position: Position) -> Stored {
    Stored {
        id: id.to_owned(),
        offset_id: Some(format!("offset-of-{id}")),
        content: Content::Whole(Bytes::from(id.to_owned())),
        position,
    }
}

fn acked(id: &str, position: Position) -> Acked {
    let Stored {
        id,
        position,
        offset_id,
        content,
    } = stored(id, position);
    Acked {
        id,
        position,
        offset_id,
        content,
        status: SendStatus::SendOk,
        key: None,
        copies: 2,
    }
}

fn oracle(acked: impl IntoIterator<Item = Acked>) -> Oracle {
    Oracle {
        acked: acked.into_iter().collect(),
        ..Oracle::new()
    }
}

fn complaint(oracle: &Oracle, found: Vec<Stored>) -> String {
    let error = oracle.judge(found).exactly_once().expect_err("is wrong");
    error.to_string()
}

#[test]
fn true_receipts_pass() {
    let oracle = oracle([acked("a", at(0, 0)), acked("b", at(1, 0))]);
    let verdict = oracle.judge([stored("b", at(1, 0)), stored("a", at(0, 0))]);
    assert_eq!(verdict.exactly_once().expect("true").acked, 2);
}

#[test]
fn a_lost_message_is_seen() {
    let text = complaint(&oracle([acked("a", at(0, 0))]), Vec::new());
    assert!(
        text.contains("a is not at broker-a/0@0, nothing is"),
        "{text}"
    );
}

#[test]
fn a_receipt_for_another_place_is_seen() {
    let oracle = oracle([acked("a", at(0, 0)), acked("b", at(0, 1))]);
    let text = complaint(&oracle, vec![stored("b", at(0, 0)), stored("a", at(0, 1))]);
    assert!(text.contains("a is not at broker-a/0@0, b is"), "{text}");
}

#[test]
fn another_body_is_seen() {
    let mut other = stored("a", at(0, 0));
    other.content = Content::Whole(Bytes::from_static(b"b"));
    let text = complaint(&oracle([acked("a", at(0, 0))]), vec![other]);
    assert!(text.contains("1 bytes with SHA-256"), "{text}");
}

#[test]
fn another_offset_id_is_seen() {
    let mut other = stored("a", at(0, 0));
    other.offset_id = None;
    let text = complaint(&oracle([acked("a", at(0, 0))]), vec![other]);
    assert!(text.contains("offset message id"), "{text}");
}

#[test]
fn two_receipts_for_one_place_are_seen() {
    let oracle = oracle([acked("a", at(0, 0)), acked("a", at(0, 0))]);
    let text = complaint(&oracle, vec![stored("a", at(0, 0))]);
    assert!(text.contains("both said to be at"), "{text}");
}

#[test]
fn a_status_other_than_ok_is_seen() {
    let mut late = acked("a", at(0, 0));
    late.status = SendStatus::FlushDiskTimeout;
    let text = complaint(&oracle([late]), vec![stored("a", at(0, 0))]);
    assert!(text.contains("FLUSH_DISK_TIMEOUT"), "{text}");
}

#[test]
fn strangers_and_understated_sends_are_seen() {
    let mut oracle = oracle([]);
    oracle.impossible.insert("said-no".to_owned());
    oracle.possible.insert("perhaps".to_owned(), 1);
    let found = ["said-no", "perhaps", "stranger"];
    let verdict = oracle.judge((0..).zip(found).map(|(n, id)| stored(id, at(0, n))));
    assert_eq!((verdict.wrong, verdict.overstated), (2, 2), "{verdict:?}");
}

#[test]
fn a_cancelled_message_may_be_stored_as_often_as_it_was_tried() {
    let mut oracle = oracle([]);
    oracle.cancelled(&Bytes::from_static(b"given-up"), 2);
    oracle.cancelled(&Bytes::from_static(b"never-sent"), 2);
    let verdict =
        |found: &[&str]| oracle.judge((0..).zip(found).map(|(n, id)| stored(id, at(0, n))));
    assert_eq!(verdict(&["given-up", "given-up"]).wrong, 0);
    let thrice = verdict(&["given-up", "given-up", "given-up", "stranger"]);
    assert_eq!(thrice.overstated, 2, "{thrice:?}");
}

#[test]
fn more_copies_than_attempts_explain_are_seen() {
    let mut oracle = oracle([acked("a", at(0, 0))]);
    oracle.possible.insert("perhaps".to_owned(), 1);
    let found = ["a", "a", "perhaps", "perhaps", "a"];
    let verdict = oracle.judge((0..).zip(found).map(|(n, id)| stored(id, at(0, n))));
    assert_eq!((verdict.duplicates, verdict.overstated), (3, 2));
    assert!(verdict.complaints[1].contains("copy 3, its attempts explain 2"));
}

#[test]
fn duplicates_are_counted_and_no_breach() {
    let oracle = oracle([acked("a", at(0, 1))]);
    let verdict = oracle.judge([stored("a", at(0, 0)), stored("a", at(0, 1))]);
    assert_eq!((verdict.wrong, verdict.duplicates), (0, 1));
    assert!(verdict.exactly_once().is_err());
}

#[test]
fn order_counts_first_copies_of_one_key_in_one_queue() {
    let keyed = |id: &str, position| Acked {
        key: Some("k".to_owned()),
        ..acked(id, position)
    };
    let right = oracle([keyed("a", at(0, 0)), keyed("b", at(0, 2))]);
    let mut found = vec![stored("a", at(0, 0)), stored("b", at(0, 2))];
    assert_eq!(right.judge(found.clone()).wrong, 0);
    // A late second copy of the first message changes nothing.
    found.push(stored("a", at(0, 3)));
    assert_eq!(right.judge(found).wrong, 0);

    let swapped = oracle([keyed("a", at(0, 1)), keyed("b", at(0, 0))]);
    let found = vec![stored("a", at(0, 1)), stored("b", at(0, 0))];
    assert!(complaint(&swapped, found).contains("comes after"));

    let moved = oracle([keyed("a", at(0, 0)), keyed("b", at(1, 1))]);
    let found = vec![stored("a", at(0, 0)), stored("b", at(1, 1))];
    assert!(complaint(&moved, found).contains("comes after"));
}
