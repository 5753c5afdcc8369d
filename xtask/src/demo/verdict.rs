//! A producer's ledger held against what an independent reader found.

use std::collections::{HashMap, HashSet};
use std::fmt;

use anyhow::{Context, Result};
use serde::Deserialize;
use xtask::apache::ReadMessage;

/// One send as the producer saw it end.
#[derive(Debug, Deserialize)]
struct Line {
    outcome: String,
    broker: Option<String>,
    queue: Option<i32>,
    offset: Option<i64>,
    #[serde(rename = "msgId")]
    msg_id: Option<String>,
    sha256: String,
    len: usize,
}

/// How ledger and brokers agree.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    acknowledged: usize,
    not_acknowledged: usize,
    /// Acknowledged, and at the acknowledged place lies this very message.
    found: usize,
    /// The first few that are not.
    wrong: Vec<String>,
    stored: usize,
    /// Stored under an id that another stored message has too.
    duplicates: usize,
}

impl Verdict {
    pub(super) fn of(ledger: &str, stored: &[ReadMessage]) -> Result<Self> {
        let by_place: HashMap<_, _> = stored.iter().map(|m| (m.position(), m)).collect();
        let mut verdict = Self {
            stored: stored.len(),
            ..Self::default()
        };
        for (number, line) in ledger.lines().enumerate() {
            let line: Line = serde_json::from_str(line)
                .with_context(|| format!("line {} of the ledger", number + 1))?;
            if line.outcome != "acked" {
                verdict.not_acknowledged += 1;
                continue;
            }
            verdict.acknowledged += 1;
            match line.compare(&by_place) {
                Ok(()) => verdict.found += 1,
                Err(difference) => verdict
                    .wrong
                    .push(format!("line {}: {difference}", number + 1)),
            }
        }
        let ids: HashSet<&str> = stored.iter().map(|m| m.msg_id.as_str()).collect();
        verdict.duplicates = stored.len() - ids.len();
        Ok(verdict)
    }

    pub(super) fn is_good(&self) -> bool {
        self.acknowledged > 0 && self.found == self.acknowledged
    }
}

impl Line {
    fn compare(&self, by_place: &HashMap<(&str, i32, i64), &ReadMessage>) -> Result<(), String> {
        let (Some(broker), Some(queue), Some(offset)) = (&self.broker, self.queue, self.offset)
        else {
            return Err("acknowledged without broker, queue and offset".to_owned());
        };
        let at = format!("{broker} queue {queue} offset {offset}");
        let Some(stored) = by_place.get(&(broker.as_str(), queue, offset)) else {
            return Err(format!("nothing is stored at {at}"));
        };
        if stored.sha256 != self.sha256 || stored.len != self.len {
            return Err(format!("another body is stored at {at}"));
        }
        if self.msg_id.as_ref() != Some(&stored.msg_id) {
            return Err(format!("another message id is stored at {at}"));
        }
        Ok(())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        writeln!(f, "acknowledged            {:>9}", self.acknowledged)?;
        writeln!(f, "  found as acknowledged {:>9}", self.found)?;
        writeln!(f, "not acknowledged        {:>9}", self.not_acknowledged)?;
        writeln!(f, "stored                  {:>9}", self.stored)?;
        writeln!(f, "  more than once        {:>9}", self.duplicates)?;
        for wrong in self.wrong.iter().take(SHOWN) {
            writeln!(f, "  {wrong}")?;
        }
        if self.wrong.len() > SHOWN {
            writeln!(f, "  and {} more", self.wrong.len() - SHOWN)?;
        }
        f.write_str(if self.is_good() {
            "verdict: every acknowledged message is at its queue and offset, with its id and its SHA-256"
        } else {
            "verdict: NOT every acknowledged message is where it was acknowledged"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(offset: i64, sha256: &str) -> ReadMessage {
        let line = format!(
            r#"{{"topic":"t","broker":"a","queue":1,"offset":{offset},"msgId":"ID{offset}","offsetMsgId":null,"keys":null,
            "tags":null,"flag":0,"sysFlag":0,"bornTimestamp":1,"bornHost":null,"storeTimestamp":2,"properties":{{}},
            "len":3,"sha256":"{sha256}"}}"#
        );
        serde_json::from_str(&line).expect("a message")
    }

    fn acked(offset: i64, sha256: &str) -> String {
        format!(
            r#"{{"id":"x","outcome":"acked","broker":"a","queue":1,"offset":{offset},"msgId":"ID{offset}","sha256":"{sha256}","len":3}}"#
        )
    }

    #[test]
    fn agreement_is_good() {
        let ledger = format!("{}\n{}\n", acked(0, "aa"), acked(1, "bb"));
        let verdict = Verdict::of(&ledger, &[stored(0, "aa"), stored(1, "bb")]).expect("read");
        assert!(verdict.is_good(), "{verdict}");
    }

    #[test]
    fn a_lost_message_is_seen() {
        let ledger = format!("{}\n{}\n", acked(0, "aa"), acked(1, "bb"));
        let verdict = Verdict::of(&ledger, &[stored(0, "aa")]).expect("read");
        assert!(!verdict.is_good());
        assert!(
            verdict
                .to_string()
                .contains("nothing is stored at a queue 1 offset 1")
        );
    }

    #[test]
    fn another_body_is_seen() {
        let verdict = Verdict::of(&acked(0, "aa"), &[stored(0, "ab")]).expect("read");
        assert!(!verdict.is_good());
    }

    #[test]
    fn an_empty_ledger_proves_nothing() {
        assert!(!Verdict::of("", &[]).expect("read").is_good());
    }
}
