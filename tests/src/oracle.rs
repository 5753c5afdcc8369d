//! The judge of loss, overstatement, duplicates and order.
//!
//! A test tells it the outcome of every send and then everything that is stored. It complains when
//! - a receipt is not true: nothing, or something else, is stored where it says;
//! - a send that is said to have stored nothing did store something;
//! - something is stored that nobody sent;
//! - a message is stored more often than its attempts can explain: once for the receipt, once for each attempt whose
//!   outcome is unknown;
//! - the first copies of a key's messages are not in one queue in the order they were sent.

mod content;
mod record;

use std::collections::{BTreeMap, HashMap, HashSet};

use rocketmq_producer::{
    Attempt, Delivery, MessageId, SendError, SendFailure, SendReceipt, SendStatus,
};

use bytes::Bytes;

pub use content::Content;
pub use record::{Position, Stored};

/// Complaints that [`Verdict::complaints`] holds at most; the rest is counted.
const MOST_COMPLAINTS: usize = 20;

/// Collects the outcomes of sends.
#[derive(Debug, Default)]
pub struct Oracle {
    acked: Vec<Acked>,
    /// Ids that may be stored, with how often at most: the outcome is unknown, or nobody was told.
    possible: HashMap<String, usize>,
    /// Ids that must not be stored.
    impossible: HashSet<String>,
    /// SHA-256 of bodies whose senders did not wait for an id, with how often at most they may be stored.
    cancelled: HashMap<String, usize>,
}

#[derive(Debug)]
struct Acked {
    id: String,
    position: Position,
    offset_id: Option<String>,
    status: SendStatus,
    content: Content,
    key: Option<String>,
    /// How often it may be stored.
    copies: usize,
}

/// What the oracle found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// Messages with a receipt.
    pub acked: usize,
    /// Messages stored, copies included.
    pub stored: usize,
    /// Copies beyond the first of each id.
    pub duplicates: usize,
    /// What is wrong, at most 20 of it.
    pub complaints: Vec<String>,
    /// How many complaints there were in all.
    pub wrong: usize,
    /// Receipts that are not true: nothing is there, or something else.
    pub lost: usize,
    /// Messages stored that were said not to be, that nobody sent, or more often than attempts can explain.
    pub overstated: usize,
    /// Messages of a key that are out of order.
    pub disordered: usize,
    /// Ids of the messages that the complaints are about.
    pub suspects: Vec<String>,
}

impl Verdict {
    /// Fails unless every promise was kept.
    ///
    /// # Errors
    /// The complaints.
    pub fn kept(self) -> anyhow::Result<Self> {
        anyhow::ensure!(
            self.wrong == 0,
            "{} of {} receipts or stored messages are wrong:\n{}",
            self.wrong,
            self.acked.max(self.stored),
            self.complaints.join("\n")
        );
        Ok(self)
    }

    /// Fails unless every promise was kept and every message is stored exactly once.
    ///
    /// # Errors
    /// The complaints, or the number of duplicates.
    pub fn exactly_once(self) -> anyhow::Result<Self> {
        let verdict = self.kept()?;
        anyhow::ensure!(
            verdict.duplicates == 0 && verdict.stored == verdict.acked,
            "{} acknowledged, {} stored, {} duplicates",
            verdict.acked,
            verdict.stored,
            verdict.duplicates
        );
        Ok(verdict)
    }

    fn complain(&mut self, about: &str, complaint: impl FnOnce() -> String) {
        if self.complaints.len() < MOST_COMPLAINTS {
            self.complaints.push(complaint());
            self.suspects.push(about.to_owned());
        }
        self.wrong += 1;
    }
}

impl Oracle {
    /// An oracle that knows of no message.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a receipt, with the body that was sent.
    pub fn acked(&mut self, receipt: &SendReceipt, body: &Bytes) {
        self.note(receipt, body, None);
    }

    /// Takes in a receipt of a message with a sharding key. Receipts of one key come in the order of sending.
    pub fn acked_in_order(&mut self, receipt: &SendReceipt, body: &Bytes, key: &str) {
        self.note(receipt, body, Some(key.to_owned()));
    }

    fn note(&mut self, receipt: &SendReceipt, body: &Bytes, key: Option<String>) {
        self.acked.push(Acked {
            id: receipt.message_id().to_string(),
            position: Position::of(receipt),
            offset_id: receipt.offset_message_id().map(ToString::to_string),
            status: receipt.status(),
            content: Content::Whole(body.clone()),
            key,
            copies: receipt.attempts().filter(|a| may_be_stored(a)).count(),
        });
    }

    /// Takes in a send that got no receipt.
    pub fn failed(&mut self, error: &SendError) {
        // Without an id it was refused before anything else happened.
        let Some(id) = error.message_id() else { return };
        if error.delivery() == Delivery::Unknown {
            let attempts = error.attempts().iter();
            let copies = attempts.filter(|attempt| may_be_stored(attempt)).count();
            self.possible.insert(id.to_string(), copies.max(1));
        } else {
            self.impossible.insert(id.to_string());
        }
    }

    /// Takes in a message that may be stored or not, such as a one-way one.
    pub fn possibly(&mut self, id: &MessageId) {
        self.possible.insert(id.to_string(), 1);
    }

    /// Takes in a send that was dropped before its outcome. Nobody knows its id, so its body must be its own; it may be
    /// stored `copies` times.
    pub fn cancelled(&mut self, body: &Bytes, copies: usize) {
        let content = Content::Whole(body.clone());
        self.cancelled.insert(content.sha256(), copies);
    }

    /// Takes in the outcome of a send.
    pub fn outcome(&mut self, outcome: &Result<SendReceipt, SendError>, body: &Bytes) {
        match outcome {
            Ok(receipt) => self.acked(receipt, body),
            Err(error) => self.failed(error),
        }
    }

    /// How many receipts it has been told of.
    #[must_use]
    pub fn receipts(&self) -> usize {
        self.acked.len()
    }

    /// Compares all that was told with all that is stored.
    pub fn judge<S: Into<Stored>>(&self, stored: impl IntoIterator<Item = S>) -> Verdict {
        let stored: Vec<Stored> = stored.into_iter().map(Into::into).collect();
        let mut verdict = Verdict {
            acked: self.acked.len(),
            stored: stored.len(),
            ..Verdict::default()
        };
        self.check_receipts(&stored, &mut verdict);
        self.check_strangers(&stored, &mut verdict);
        self.check_order(&stored, &mut verdict);
        verdict
    }

    fn check_receipts(&self, stored: &[Stored], verdict: &mut Verdict) {
        let mut at: HashMap<&Position, &Stored> = HashMap::with_capacity(stored.len());
        for message in stored {
            if at.insert(&message.position, message).is_some() {
                verdict.complain(&message.id, || {
                    format!("{} was read twice", message.position)
                });
            }
        }
        let mut promised = HashMap::with_capacity(self.acked.len());
        for acked in &self.acked {
            let Acked { id, position, .. } = acked;
            if let Some(other) = promised.insert(position, id) {
                let text = || format!("{other} and {id} are both said to be at {position}");
                verdict.complain(id, text);
            }
            if acked.status != SendStatus::SendOk {
                verdict.complain(id, || format!("{id} has status {}", acked.status));
            }
            let is_true = if let Some(found) = at.get(position) {
                acked.compare(found, verdict)
            } else {
                verdict.complain(id, || format!("{id} is not at {position}, nothing is"));
                false
            };
            verdict.lost += usize::from(!is_true);
        }
    }

    fn check_strangers(&self, stored: &[Stored], verdict: &mut Verdict) {
        let mut allowed: HashMap<&str, usize> = HashMap::with_capacity(self.acked.len());
        for (id, copies) in &self.possible {
            *allowed.entry(id).or_default() += copies;
        }
        for acked in &self.acked {
            *allowed.entry(&acked.id).or_default() += acked.copies;
        }
        let mut seen: HashMap<&str, usize> = HashMap::with_capacity(stored.len());
        for one in stored {
            let Stored {
                id,
                position,
                content,
                ..
            } = one;
            let copies = seen.entry(id).or_default();
            *copies += 1;
            verdict.duplicates += usize::from(*copies > 1);
            let complaint = if self.impossible.contains(id) {
                format!("{id} is at {position} but was said not to be stored")
            } else {
                let allowed = allowed.get(id.as_str());
                let allowed = allowed.or_else(|| self.cancelled.get(&content.sha256()));
                match allowed {
                    None => format!("{id} is at {position} and nobody sent it"),
                    Some(most) if *copies > *most => {
                        format!(
                            "{id} is at {position} as copy {copies}, its attempts explain {most}"
                        )
                    }
                    Some(_) => continue,
                }
            };
            verdict.overstated += 1;
            verdict.complain(id, || complaint);
        }
    }

    fn check_order(&self, stored: &[Stored], verdict: &mut Verdict) {
        let mut first: HashMap<&str, &Position> = HashMap::new();
        for message in stored {
            let place = first.entry(&message.id).or_insert(&message.position);
            if message.position < **place {
                *place = &message.position;
            }
        }
        let mut last: BTreeMap<&str, &Position> = BTreeMap::new();
        for acked in &self.acked {
            let (Some(key), Some(&place)) = (&acked.key, first.get(acked.id.as_str())) else {
                continue;
            };
            if let Some(before) = last.insert(key, place)
                && (!before.is_same_queue(place) || before.offset >= place.offset)
            {
                let text = || format!("key {key:?}: {place} comes after {before}");
                verdict.complain(&acked.id, text);
                verdict.disordered += 1;
            }
        }
    }
}

impl Acked {
    /// Whether what is stored is what was acknowledged.
    fn compare(&self, found: &Stored, verdict: &mut Verdict) -> bool {
        let Self { id, position, .. } = self;
        if found.id != *id {
            verdict.complain(id, || format!("{id} is not at {position}, {} is", found.id));
            return false;
        }
        let is_same_id = found.offset_id == self.offset_id;
        if !is_same_id {
            let (told, is) = (&self.offset_id, &found.offset_id);
            let text = || format!("{id}: offset message id {told:?} told, is {is:?}");
            verdict.complain(id, text);
        }
        let is_same_content = self.content.is_same(&found.content);
        if !is_same_content {
            let (sent, is) = (&self.content, &found.content);
            verdict.complain(id, || format!("{id}: {sent} sent, {is} stored"));
        }
        is_same_id && is_same_content
    }
}

/// Whether an attempt may have stored a copy: it brought a receipt, or nobody knows.
fn may_be_stored(attempt: &Attempt) -> bool {
    let delivery = attempt.failure().map(SendFailure::delivery);
    delivery.is_none_or(|delivery| delivery == Delivery::Unknown)
}

#[cfg(test)]
mod tests;
