//! A page of a tree: its elements, checked before any is handed out.

use super::PageProblem;
use super::layout::{
    BRANCH, BUCKET_BYTES, ELEMENT_BYTES, HEADER_BYTES, IS_BUCKET, LEAF, MAX_KEY_BYTES, u16_at, u32_at, u64_at,
};

/// The keys that may stand below a place in a tree.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Keys<'a> {
    pub(super) first: Option<&'a [u8]>,
    /// What comes behind them.
    pub(super) end: Option<&'a [u8]>,
}

/// A branch or leaf whose elements lie in it, in the order of their keys, one behind the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page<'a> {
    /// The page it is, or lies in.
    pub(super) number: u64,
    /// Where in the file it begins.
    pub(super) offset: usize,
    pub(super) is_leaf: bool,
    pub(super) len: usize,
    keys: Keys<'a>,
    bytes: &'a [u8],
}

/// What stands at a place of a leaf.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) is_bucket: bool,
    /// Where in the file its value is.
    pub(super) value_offset: usize,
}

impl<'a> Page<'a> {
    /// The page of `bytes`, which begin at `offset` of the file.
    pub(super) fn of(
        number: u64,
        offset: usize,
        bytes: &'a [u8],
        keys: Keys<'a>,
    ) -> Result<Self, PageProblem> {
        let is_leaf = match u16_at(bytes, 8) {
            Some(LEAF) => true,
            Some(BRANCH) => false,
            _ => return Err(PageProblem::Kind),
        };
        let len = usize::from(u16_at(bytes, 10).ok_or(PageProblem::Elements)?);
        let page = Self { number, offset, is_leaf, len, keys, bytes };
        page.check()?;
        Ok(page)
    }

    fn check(&self) -> Result<(), PageProblem> {
        if self.len == 0 && (!self.is_leaf || self.keys.first.is_some()) {
            return Err(PageProblem::Empty);
        }
        let mut free_from = HEADER_BYTES + self.len * ELEMENT_BYTES;
        let mut before = None;
        for index in 0..self.len {
            let (from, key_bytes, value_bytes) = self.place(index).ok_or(PageProblem::Elements)?;
            let end = from.checked_add(key_bytes).and_then(|end| end.checked_add(value_bytes));
            let is_within = end.is_some_and(|end| end <= self.bytes.len());
            if from < free_from || key_bytes > MAX_KEY_BYTES || !is_within {
                return Err(PageProblem::Elements);
            }
            free_from = from + key_bytes + value_bytes;
            let key = &self.bytes[from..from + key_bytes];
            let is_behind = match before {
                Some(before) => before < key,
                None => self.keys.first.is_none_or(|first| first <= key),
            };
            if !is_behind {
                return Err(PageProblem::Order);
            }
            before = Some(key);
        }
        match (before, self.keys.end) {
            (Some(last), Some(end)) if last >= end => Err(PageProblem::Order),
            _ => Ok(()),
        }
    }

    /// Where an element's key begins, its size, and that of the value behind it.
    fn place(&self, index: usize) -> Option<(usize, usize, usize)> {
        let element = HEADER_BYTES + index * ELEMENT_BYTES;
        let number =
            |at: usize| u32_at(self.bytes, element + at).and_then(|number| usize::try_from(number).ok());
        let (from, key_bytes, value_bytes) =
            if self.is_leaf { (number(4)?, number(8)?, number(12)?) } else { (number(0)?, number(4)?, 0) };
        Some((element.checked_add(from)?, key_bytes, value_bytes))
    }

    /// The key of an element.
    pub(super) fn key(&self, index: usize) -> &'a [u8] {
        let (from, key_bytes, _) = self.place(index).unwrap_or_default();
        self.bytes.get(from..from + key_bytes).unwrap_or_default()
    }

    /// An element of a leaf.
    pub(super) fn element(&self, index: usize) -> Element<'a> {
        let (from, key_bytes, value_bytes) = self.place(index).unwrap_or_default();
        let flags = u32_at(self.bytes, HEADER_BYTES + index * ELEMENT_BYTES);
        let value_from = from + key_bytes;
        Element {
            key: self.key(index),
            value: self.bytes.get(value_from..value_from + value_bytes).unwrap_or_default(),
            is_bucket: flags.is_some_and(|flags| flags & IS_BUCKET != 0),
            value_offset: self.offset + value_from,
        }
    }

    /// Where an element of a branch leads: the page, the place that says so, and the keys that belong there.
    pub(super) fn child(&self, index: usize) -> (u64, u64, Keys<'a>) {
        let element = HEADER_BYTES + index * ELEMENT_BYTES;
        let child = u64_at(self.bytes, element + 8).unwrap_or_default();
        let end = if index + 1 < self.len { Some(self.key(index + 1)) } else { self.keys.end };
        (child, (self.offset + element) as u64, Keys { first: Some(self.key(index)), end })
    }

    /// The first element with this key or a later one.
    pub(super) fn first_from(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low.midpoint(high);
            if self.key(middle) < key { low = middle + 1 } else { high = middle }
        }
        low
    }
}

/// A bucket's first page, from its value; none where its page stands in the value itself.
pub(super) fn first_page(value: &[u8]) -> Result<Option<u64>, PageProblem> {
    let first = u64_at(value, 0).filter(|_| value.len() >= BUCKET_BYTES).ok_or(PageProblem::Bucket)?;
    Ok((first != 0).then_some(first))
}
