//! One message under way per sharding key.

use std::collections::{HashMap, VecDeque};

/// Keys that have a message under way, and what waits behind it.
///
/// Holds an entry only for keys that are busy; how many may wait in all is the caller's bound.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    busy: HashMap<String, VecDeque<T>>,
    waiting: usize,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self {
            busy: HashMap::new(),
            waiting: 0,
        }
    }
}

impl<T> Lanes<T> {
    /// Gives the job back if its key is free, which makes the key busy; else keeps it.
    pub(super) fn enter(&mut self, key: &str, job: T) -> Option<T> {
        if let Some(queue) = self.busy.get_mut(key) {
            queue.push_back(job);
            self.waiting += 1;
            return None;
        }
        self.busy.insert(key.to_owned(), VecDeque::new());
        Some(job)
    }

    /// A job of the key has ended: gives the next one, whose turn it is, or frees the key.
    pub(super) fn leave(&mut self, key: &str) -> Option<T> {
        let next = self.busy.get_mut(key)?.pop_front();
        match next {
            Some(_) => self.waiting -= 1,
            None => {
                self.busy.remove(key);
            }
        }
        next
    }

    /// Jobs that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Takes out every job that waits; keys stay busy.
    pub(super) fn drain(&mut self) -> Vec<T> {
        self.waiting = 0;
        let queues = self.busy.values_mut();
        queues.flat_map(std::mem::take).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Lanes;

    #[test]
    fn jobs_of_one_key_go_one_after_another_and_other_keys_do_not_wait() {
        let mut lanes = Lanes::default();
        assert_eq!(lanes.enter("a", 1), Some(1));
        assert_eq!(lanes.enter("a", 2), None);
        assert_eq!(lanes.enter("b", 3), Some(3));
        assert_eq!(lanes.enter("a", 4), None);
        assert_eq!(lanes.waiting(), 2);
        assert_eq!(lanes.leave("a"), Some(2));
        assert_eq!(lanes.leave("b"), None);
        assert_eq!(lanes.leave("a"), Some(4));
        assert_eq!(lanes.leave("a"), None);
        assert_eq!(lanes.waiting(), 0);
        assert!(lanes.busy.is_empty());
        assert_eq!(lanes.enter("a", 5), Some(5));
    }

    #[test]
    fn drained_jobs_no_longer_wait() {
        let mut lanes = Lanes::default();
        lanes.enter("a", 1);
        lanes.enter("a", 2);
        assert_eq!(lanes.drain(), [2]);
        assert_eq!(lanes.waiting(), 0);
        assert_eq!(lanes.leave("a"), None);
    }
}
