//! The schedule: which part of which blob a free connection fetches next. No I/O, and no clock but the caller's.

use std::ops::Range;
use std::time::Instant;

use super::pace::Pace;
use crate::fsio::Ranges;

/// What is left of all blobs.
pub(super) struct Schedule {
    blobs: Vec<Blob>,
    connections: u64,
    pub(super) pace: Pace,
}

struct Blob {
    size_bytes: u64,
    /// What nobody fetches.
    unassigned: Ranges,
    in_flight: usize,
    is_whole_only: bool,
    not_before: Option<Instant>,
}

/// A part of a blob, for one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Which blob.
    pub(super) blob: usize,
    /// Which of its bytes.
    pub(super) range: Range<u64>,
    /// True if its server knows no ranges: all of the blob has to be asked for.
    pub(super) is_whole_only: bool,
}

impl Schedule {
    /// For blobs of these sizes, of which these parts are missing; the first goes first.
    pub(super) fn new(blobs: impl Iterator<Item = (u64, Ranges)>, connections: usize) -> Self {
        let blob = |(size_bytes, unassigned)| Blob {
            size_bytes,
            unassigned,
            in_flight: 0,
            is_whole_only: false,
            not_before: None,
        };
        Self { blobs: blobs.map(blob).collect(), connections: connections as u64, pace: Pace::default() }
    }

    /// The next part to fetch: of the blob that a connection just had, so that its bytes come in order; else of one
    /// that nobody has; else of the one with the most left.
    pub(super) fn next(&mut self, just_had: Option<usize>, now: Instant) -> Option<Part> {
        let is_ready = |blob: &Blob| {
            let may_be_cut = !blob.is_whole_only || blob.in_flight == 0;
            !blob.unassigned.is_empty() && may_be_cut && blob.not_before.is_none_or(|then| then <= now)
        };
        let ready = || self.blobs.iter().enumerate().filter(|(_, blob)| is_ready(blob));
        let chosen = ready()
            .find(|(number, _)| Some(*number) == just_had)
            .or_else(|| ready().find(|(_, blob)| blob.in_flight == 0))
            .or_else(|| ready().max_by_key(|(_, blob)| blob.unassigned.bytes()))?
            .0;
        let all_bytes = self.blobs.iter().map(|blob| blob.unassigned.bytes()).sum();
        let blob = &mut self.blobs[chosen];
        let first = blob.unassigned.iter().next()?.clone();
        let range = if blob.is_whole_only {
            first.start..blob.size_bytes
        } else {
            let length = self.pace.part_bytes(first.end - first.start, all_bytes, self.connections);
            first.start..first.start + length
        };
        blob.unassigned.remove(&range);
        blob.not_before = None;
        blob.in_flight += 1;
        Some(Part { blob: chosen, range, is_whole_only: blob.is_whole_only })
    }

    /// A part's connection is done with it; `left` of it is still missing. True if nothing of its blob is.
    pub(super) fn end(&mut self, part: &Part, left: Range<u64>) -> bool {
        let blob = &mut self.blobs[part.blob];
        blob.unassigned.insert(left);
        blob.in_flight -= 1;
        blob.unassigned.is_empty() && blob.in_flight == 0
    }

    /// All of a blob is to be fetched again.
    pub(super) fn again(&mut self, blob: usize) {
        let blob = &mut self.blobs[blob];
        blob.unassigned.insert(0..blob.size_bytes);
    }

    /// Nothing of these blobs is asked for before `then`.
    pub(super) fn wait(&mut self, blobs: impl Iterator<Item = usize>, then: Instant) {
        for number in blobs {
            let not_before = &mut self.blobs[number].not_before;
            *not_before = Some(not_before.map_or(then, |other| other.max(then)));
        }
    }

    /// These blobs can be had only as a whole.
    pub(super) fn keep_whole(&mut self, blobs: impl Iterator<Item = usize>) {
        for number in blobs {
            self.blobs[number].is_whole_only = true;
        }
    }

    /// When something that waits may be asked for, if that is after `now`.
    pub(super) fn wakes_at(&self, now: Instant) -> Option<Instant> {
        let waiting = self.blobs.iter().filter(|blob| !blob.unassigned.is_empty());
        waiting.filter_map(|blob| blob.not_before).filter(|then| *then > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const MIB: u64 = 1 << 20;

    fn schedule(sizes: &[u64], connections: usize) -> Schedule {
        let missing = |size: &u64| (*size, Ranges::default().missing_in(0..*size));
        Schedule::new(sizes.iter().map(missing), connections)
    }

    #[test]
    fn blobs_begin_in_order_and_the_largest_rest_is_shared() {
        let now = Instant::now();
        let mut schedule = schedule(&[100 * MIB, 50 * MIB, MIB], 8);
        let mut next =
            |just_had| schedule.next(just_had, now).map(|part| (part.blob, part.range.start / MIB));
        assert_eq!(next(None), Some((0, 0)));
        assert_eq!(next(None), Some((1, 0)));
        assert_eq!(next(None), Some((2, 0)));
        assert_eq!(next(None), Some((0, 4)));
        assert_eq!(next(Some(1)), Some((1, 4)), "who had a blob goes on with it");
        assert_eq!(next(Some(2)), Some((0, 8)));
    }

    #[test]
    fn who_knows_no_ranges_gets_one_connection_a_blob() {
        let now = Instant::now();
        let mut schedule = schedule(&[100 * MIB], 8);
        let part = schedule.next(None, now).unwrap();
        assert!(!schedule.end(&part, MIB..part.range.end));
        schedule.keep_whole(0..1);
        let part = schedule.next(None, now).unwrap();
        assert_eq!(part, Part { blob: 0, range: MIB..100 * MIB, is_whole_only: true });
        assert_eq!(schedule.next(None, now), None);
    }

    #[test]
    fn what_waits_is_not_given_out() {
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        let mut schedule = schedule(&[MIB, MIB], 8);
        schedule.wait(0..1, later);
        assert_eq!(schedule.next(None, now).unwrap().blob, 1);
        assert_eq!(schedule.next(None, now), None);
        assert_eq!(schedule.wakes_at(now), Some(later));
        assert_eq!(schedule.wakes_at(later), None);
        assert_eq!(schedule.next(None, later).unwrap().blob, 0);
        assert_eq!(schedule.wakes_at(now), None);
    }

    proptest! {
        /// However parts end: each byte is fetched by one connection at a time, and none is left.
        #[test]
        fn every_byte_is_fetched_once(
            sizes in prop::collection::vec(0u64..40 * MIB, 1..6),
            ends in prop::collection::vec((any::<prop::sample::Index>(), 0u64..3), 400),
        ) {
            let now = Instant::now();
            let mut schedule = schedule(&sizes, 4);
            let mut done = vec![Ranges::default(); sizes.len()];
            let mut running: Vec<Part> = vec![];
            let mut just_had = None;
            for (which, failure) in ends {
                while running.len() < 4 && let Some(part) = schedule.next(just_had.take(), now) {
                    prop_assert!(running.iter().all(|other| other.blob != part.blob
                        || other.range.end <= part.range.start || part.range.end <= other.range.start));
                    prop_assert!(!part.range.is_empty() && part.range.end <= sizes[part.blob]);
                    running.push(part);
                }
                if running.is_empty() {
                    break;
                }
                let part = running.swap_remove(which.index(running.len()));
                let end = if failure == 0 { part.range.start + (part.range.end - part.range.start) / 2 } else { part.range.end };
                schedule.pace.learn(end - part.range.start, Duration::from_millis(1), Duration::from_millis(100));
                done[part.blob].insert(part.range.start..end);
                let is_all = schedule.end(&part, end..part.range.end);
                prop_assert_eq!(is_all, done[part.blob].bytes() == sizes[part.blob]);
                just_had = Some(part.blob);
            }
            if running.is_empty() {
                prop_assert!(done.iter().zip(&sizes).all(|(done, size)| done.bytes() == *size));
            }
        }
    }
}
