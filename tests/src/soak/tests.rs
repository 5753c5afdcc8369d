//! A soak sees what it is there to see.

use async_trait::async_trait;

use super::*;
use crate::oracle::{Content, Stored};

/// A cluster whose reader is told to be wrong about one message that has a receipt.
struct Wrong {
    inside: Embedded,
    how: fn(&mut Vec<Stored>, Stored),
}

#[async_trait]
impl Ground for Wrong {
    fn name_servers(&self) -> String {
        self.inside.name_servers()
    }

    fn of_brokers(&self) -> &'static [Kind] {
        &[]
    }

    fn of_name_servers(&self) -> &'static [Kind] {
        &[]
    }

    async fn begin(&self, lane: Lane, kind: Kind) -> Result<()> {
        self.inside.begin(lane, kind).await
    }

    async fn end(&self, lane: Lane, kind: Kind) -> Result<()> {
        self.inside.end(lane, kind).await
    }

    async fn open(&self, topic: &str) -> Result<()> {
        self.inside.open(topic).await
    }

    async fn read(&self, topic: &str, at_least: usize) -> Result<Vec<Stored>> {
        let mut stored = self.inside.read(topic, at_least).await?;
        let is_in_doubt = |stored: &Stored| match &stored.content {
            Content::Whole(body) => body.starts_with(b"one-way") || body.starts_with(b"fleeting"),
            Content::Digest { .. } => false,
        };
        let place = stored.iter().rposition(|stored| !is_in_doubt(stored));
        let one = stored.remove(place.context("nothing is stored")?);
        (self.how)(&mut stored, one);
        Ok(stored)
    }

    async fn close(&self, topic: &str) {
        self.inside.close(topic).await;
    }

    fn frames(&self, unique_key: &str) -> Vec<String> {
        vec![format!("the frames of {unique_key}")]
    }
}

/// What a soak of a second without faults says when the reader is wrong in this way.
async fn breaches(how: fn(&mut Vec<Stored>, Stored)) -> Vec<String> {
    let inside = Embedded::start().await.expect("starts");
    let plan = Plan {
        auto_batch: false,
        seed: 1,
        time: Duration::from_secs(1),
        tell: |_| {},
        memory: None,
    };
    let report = run(Wrong { inside, how }, &plan).await.expect("runs");
    report.breaches()
}

#[tokio::test]
async fn a_right_reader_finds_nothing() {
    let found = breaches(|all, one| all.push(one)).await;
    assert_eq!(found, [""; 0]);
}

#[tokio::test]
async fn a_lost_message_is_a_breach_shown_with_its_frames() {
    let found = breaches(|_, _| {}).await;
    // One in each of the two rounds.
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("nothing is"), "{found:?}");
    assert!(found[1].contains("the frames of"), "{found:?}");
}

#[tokio::test]
async fn a_second_copy_that_no_attempt_explains_is_a_breach() {
    let found = breaches(|all, one| {
        let mut copy = one.clone();
        copy.position.offset += 1_000_000;
        all.extend([one, copy]);
    });
    let found = found.await;
    assert!(found[0].contains("its attempts explain 1"), "{found:?}");
}
