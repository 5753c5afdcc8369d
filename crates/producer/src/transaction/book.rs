//! What this process itself knows about transactions, so that a question for one is not put to the checker in vain.
//!
//! A broker asks for half messages, and it may have several of one transaction: an attempt whose answer was lost may have
//! stored one, and a broker writes a half message again each time it asks. Whoever commits two of them gives consumers the
//! message twice. So once a commit is confirmed, what is left of the transaction is rolled back.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use crate::config::routing::remoting::protocol::TransactionEnd;

/// Ended transactions that are remembered; the oldest is forgotten first.
const REMEMBERED: usize = 16_384;

/// What is known about a transaction of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Its local step is under way.
    Open,
    /// How it was decided, without a broker's word that it took it.
    Decided(TransactionEnd),
    /// A broker has confirmed the end, or there never was a local step.
    Settled,
}

/// What to do with a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The checker is to say.
    Ask,
    /// The checker is being asked for it already.
    Asked,
    /// The end is known.
    Answer(TransactionEnd),
}

#[derive(Debug, Default)]
pub(super) struct Book {
    known: HashMap<Arc<str>, Known>,
    /// Ended ones, oldest first.
    ended: VecDeque<Arc<str>>,
    /// Those that the checker is being asked for.
    asked: HashSet<Arc<str>>,
}

impl Book {
    /// The local step of a transaction begins.
    pub(super) fn open(&mut self, id: &str) {
        self.known.insert(Arc::from(id), Known::Open);
    }

    /// The caller left it without a word: only the checker can know.
    pub(super) fn forget(&mut self, id: &str) {
        self.known.remove(id);
    }

    /// The end of a transaction, confirmed by a broker or not.
    pub(super) fn end(&mut self, id: &str, end: TransactionEnd, is_confirmed: bool) {
        let known = match end {
            TransactionEnd::Commit | TransactionEnd::Rollback if is_confirmed => Known::Settled,
            TransactionEnd::Commit | TransactionEnd::Rollback => Known::Decided(end),
            _ => return self.forget(id),
        };
        self.remember(id, known);
    }

    /// No local step ran: whatever a broker has of it is to go.
    pub(super) fn never_ran(&mut self, id: &str) {
        self.remember(id, Known::Settled);
    }

    fn remember(&mut self, id: &str, known: Known) {
        let id: Arc<str> = Arc::from(id);
        let before = self.known.insert(Arc::clone(&id), known);
        if matches!(before, Some(Known::Decided(_) | Known::Settled)) {
            return;
        }
        self.ended.push_back(id);
        if self.ended.len() > REMEMBERED {
            if let Some(oldest) = self.ended.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }

    /// What to do with a question. After [`Verdict::Ask`] the answer must be [given](Self::answered).
    pub(super) fn question(&mut self, id: &str) -> Verdict {
        match self.known.get(id) {
            Some(Known::Open) => Verdict::Answer(TransactionEnd::Unknown),
            Some(Known::Decided(end)) => Verdict::Answer(*end),
            Some(Known::Settled) => Verdict::Answer(TransactionEnd::Rollback),
            None if self.asked.insert(Arc::from(id)) => Verdict::Ask,
            None => Verdict::Asked,
        }
    }

    /// The checker's part in a question is over.
    pub(super) fn answered(&mut self, id: &str) {
        self.asked.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TransactionEnd::{Commit, Rollback, Unknown};

    #[test]
    fn what_is_open_here_is_not_asked_for() {
        let mut book = Book::default();
        book.open("a");
        assert_eq!(book.question("a"), Verdict::Answer(Unknown));
        book.forget("a");
        assert_eq!(book.question("a"), Verdict::Ask);
        assert_eq!(book.question("a"), Verdict::Asked);
        book.answered("a");
        assert_eq!(book.question("a"), Verdict::Ask);
    }

    #[test]
    fn a_decision_that_no_broker_confirmed_is_given_again() {
        let mut book = Book::default();
        book.open("a");
        book.end("a", Commit, false);
        assert_eq!(book.question("a"), Verdict::Answer(Commit));
        book.end("a", Commit, true);
        assert_eq!(
            book.question("a"),
            Verdict::Answer(Rollback),
            "another copy of a message that consumers have"
        );
    }

    #[test]
    fn an_unknown_end_is_the_checkers() {
        let mut book = Book::default();
        book.open("a");
        book.end("a", Unknown, false);
        assert_eq!(book.question("a"), Verdict::Ask);
    }

    #[test]
    fn what_never_ran_is_rolled_back() {
        let mut book = Book::default();
        book.never_ran("a");
        assert_eq!(book.question("a"), Verdict::Answer(Rollback));
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut book = Book::default();
        for number in 0..REMEMBERED + 10 {
            let id = number.to_string();
            book.open(&id);
            book.end(&id, Rollback, false);
            book.end(&id, Rollback, true);
        }
        assert_eq!(
            (book.known.len(), book.ended.len()),
            (REMEMBERED, REMEMBERED)
        );
        assert_eq!(book.question("9"), Verdict::Ask);
        assert_eq!(book.question("10"), Verdict::Answer(Rollback));
    }
}
