//! Frames that were taken back before a byte of them left: gaps in the stream as it was appended. Pure.
//!
//! Positions count appended bytes. When all bytes before a gap are written, the gap counts as written too, so that
//! positions of later frames stay as they were.

use std::ops::Range;

/// The gaps between what is written and what was appended, in order, none touching another's inside.
#[derive(Debug, Default)]
pub(super) struct Withdrawn {
    gaps: Vec<Range<u64>>,
}

impl Withdrawn {
    /// Bytes of all gaps.
    pub(super) fn len(&self) -> u64 {
        self.gaps.iter().map(length).sum()
    }

    /// Adds the gaps of unwritten frames, in any order; returns where their bytes lie among those that wait, in order.
    pub(super) fn add(&mut self, mut frames: Vec<Range<u64>>, written: u64) -> Vec<Range<u64>> {
        frames.sort_unstable_by_key(|frame| frame.start);
        let mut earlier = self.gaps.iter().peekable();
        let mut missing = 0_u64;
        let places = frames.iter().map(|frame| {
            while let Some(gap) = earlier.next_if(|gap| gap.start < frame.start) {
                missing = missing.saturating_add(length(gap));
            }
            let place = |position: u64| position.saturating_sub(written).saturating_sub(missing);
            place(frame.start)..place(frame.end)
        });
        let places = places.collect();
        self.gaps.append(&mut frames);
        self.gaps.sort_unstable_by_key(|gap| gap.start);
        places
    }

    /// How far the stream is written when `bytes` more have left, gaps included.
    pub(super) fn pass(&mut self, written: u64, bytes: u64) -> u64 {
        let mut written = written.saturating_add(bytes);
        let passed = self.gaps.iter().take_while(|gap| {
            let is_reached = gap.start <= written;
            if is_reached {
                written = written.saturating_add(length(gap));
            }
            is_reached
        });
        let passed = passed.count();
        self.gaps.drain(..passed);
        written
    }
}

fn length(gap: &Range<u64>) -> u64 {
    gap.end.saturating_sub(gap.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_positions_stay_when_a_gap_is_passed() {
        let mut withdrawn = Withdrawn::default();
        // Bytes 0 to 99; 10 are written; frames at 20 and 50 are taken back.
        let places = withdrawn.add(vec![50..60, 20..30], 10);
        assert_eq!(places, [10..20, 40..50]);
        assert_eq!(withdrawn.len(), 20);
        assert_eq!(withdrawn.pass(10, 5), 15, "not there yet");
        assert_eq!(withdrawn.pass(15, 5), 30);
        // The last is cut where the first is missing already.
        let (frame, place) = (70..80, 30..40);
        assert_eq!(withdrawn.add(Vec::from([frame]), 30), [place]);
        assert_eq!(withdrawn.pass(30, 20), 60);
        assert_eq!(withdrawn.pass(60, 10), 80);
        assert_eq!((withdrawn.pass(80, 20), withdrawn.len()), (100, 0));
    }

    #[test]
    fn neighbours_are_passed_in_one_go_and_with_nothing_before_them_at_once() {
        let mut withdrawn = Withdrawn::default();
        assert_eq!(withdrawn.add(vec![10..20, 0..10], 0), [0..10, 10..20]);
        assert_eq!(withdrawn.pass(0, 0), 20);
        assert_eq!(withdrawn.len(), 0);
    }
}
