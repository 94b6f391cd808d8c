//! Sets of byte ranges: what of a file is there, and what is missing.

use std::ops::Range;

/// Bytes, as ranges that neither touch nor overlap, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<Range<u64>>);

impl Ranges {
    /// Adds `range`.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.0.partition_point(|other| other.end < range.start);
        let after = self.0.partition_point(|other| other.start <= range.end);
        let merged = self.0[first..after]
            .iter()
            .fold(range, |merged, other| merged.start.min(other.start)..merged.end.max(other.end));
        self.0.splice(first..after, [merged]);
    }

    /// Takes `range` out.
    pub fn remove(&mut self, range: &Range<u64>) {
        if range.is_empty() {
            return;
        }
        let rest = std::mem::take(&mut self.0).into_iter().flat_map(|one| {
            [
                one.start..one.end.min(range.start).max(one.start),
                one.start.max(range.end).min(one.end)..one.end,
            ]
        });
        self.0 = rest.filter(|one| !one.is_empty()).collect();
    }

    /// The parts of `whole` that are not in the set.
    #[must_use]
    pub fn missing_in(&self, whole: Range<u64>) -> Self {
        let mut missing = Self::default();
        missing.insert(whole);
        for range in &self.0 {
            missing.remove(range);
        }
        missing
    }

    /// The parts that lie in `window`, counted from its start.
    #[must_use]
    pub fn within(&self, window: &Range<u64>) -> Self {
        let cut = self.0.iter().map(|one| one.start.max(window.start)..one.end.min(window.end));
        let cut = cut.filter(|one| one.start < one.end);
        Self(cut.map(|one| one.start - window.start..one.end - window.start).collect())
    }

    /// The end of the range that holds `position`; `position` itself if none does.
    pub fn end_from(&self, position: u64) -> u64 {
        let range = self.0.iter().find(|range| range.contains(&position));
        range.map_or(position, |range| range.end)
    }

    /// How many bytes there are.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranges, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Range<u64>> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a plain set of bytes.
        #[test]
        fn ranges_are_the_bytes_that_were_put_in(
            steps in prop::collection::vec((any::<bool>(), 0u64..40, 0u64..12), 0..20),
            window in (0u64..40, 0u64..20),
        ) {
            let (mut ranges, mut bytes) = (Ranges::default(), std::collections::BTreeSet::new());
            for (is_added, start, length) in steps {
                let range = start..start + length;
                if is_added {
                    bytes.extend(range.clone());
                    ranges.insert(range);
                } else {
                    bytes.retain(|byte| !range.contains(byte));
                    ranges.remove(&range);
                }
            }
            let listed: Vec<u64> = ranges.iter().flat_map(Clone::clone).collect();
            prop_assert_eq!(&listed, &bytes.iter().copied().collect::<Vec<_>>());
            prop_assert!(ranges.iter().zip(ranges.iter().skip(1)).all(|(one, next)| one.end < next.start));
            prop_assert_eq!(ranges.bytes(), bytes.len() as u64);
            let window = window.0..window.0 + window.1;
            let missing: Vec<u64> = ranges.missing_in(window.clone()).iter().flat_map(Clone::clone).collect();
            prop_assert_eq!(missing, window.clone().filter(|byte| !bytes.contains(byte)).collect::<Vec<_>>());
            let within: Vec<u64> = ranges.within(&window).iter().flat_map(Clone::clone).collect();
            let expected: Vec<u64> = window.clone().filter(|byte| bytes.contains(byte)).map(|byte| byte - window.start).collect();
            prop_assert_eq!(within, expected);
            let end = (window.start..100).find(|byte| !bytes.contains(byte)).unwrap();
            prop_assert_eq!(ranges.end_from(window.start), end);
        }
    }
}
