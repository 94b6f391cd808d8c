//! bbolt databases (etcd's; containerd keeps its metadata in one), read and written as a whole: bytes to buckets and back.
//!
//! A bucket is a tree of keys in the order of their bytes; a key has a value, or is a bucket of its own. Small buckets
//! stand within the value that names them. `docs/formats.md` has the bytes.
//!
//! Threats: the bytes are anyone's. Of the two meta pages the last whole one is believed, by its checksum. Every page is
//! checked before anything of it is handed out: its number, that its elements lie in it and don't overlap, the order of
//! its keys, and that they are those its parent says. A page has one place that leads to it, so what is read is a tree,
//! and reading all of it takes no longer than the file is long. What the pages hold has no checksum: that is for the reader.
//!
//! Why our own: `bolt-lite` goes one child too far in branches and checks nothing, `nut` and `bbolt-rs` lock the file, and
//! wait for ever on one that a running containerd has.

mod error;
mod layout;
mod meta;
mod page;
#[cfg(test)]
mod tests;
mod write;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

pub use error::{BoltError, PageProblem};
pub use write::NewBucket;

use self::layout::{BUCKET_BYTES, u32_at, u64_at};
use self::meta::{META_END, Meta};
use self::page::{Element, Keys, Page, first_page};

/// The place that leads to the outermost bucket; places of elements lie behind the headers of the meta pages.
const ROOT: u64 = 1;

/// A database in memory, as its last whole transaction left it.
pub struct Database {
    bytes: Vec<u8>,
    meta: Meta,
    /// For each page the place that leads to it, 0 until one did.
    parents: Vec<AtomicU64>,
}

impl Database {
    /// The database of `bytes`. Nothing but its meta pages is looked at yet.
    pub fn of(bytes: Vec<u8>) -> Result<Self, BoltError> {
        let meta = Meta::last_of(&bytes)?;
        let pages = bytes.len() / meta.page_bytes;
        let parents = std::iter::repeat_with(AtomicU64::default).take(pages).collect();
        Ok(Self { bytes, meta, parents })
    }

    /// How many bytes of a database are in use, by its meta pages, with which `head` begins.
    pub fn used_bytes(head: &[u8]) -> Result<u64, BoltError> {
        let meta = Meta::last_of(head)?;
        Ok(meta.end.saturating_mul(meta.page_bytes as u64))
    }

    /// The bytes it was made of.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The first bytes, with both meta pages: as long as they stay the same, no transaction has ended.
    pub fn metas(&self) -> &[u8] {
        let end = self.meta.page_bytes + META_END;
        &self.bytes[..end.min(self.bytes.len())]
    }

    /// The number of the transaction that left it so.
    pub fn transaction(&self) -> u64 {
        self.meta.transaction
    }

    /// The outermost bucket.
    pub fn root(&self) -> Bucket<'_> {
        Bucket { database: self, place: Place::Page { number: self.meta.root, parent: ROOT } }
    }

    /// Reads everything there is in it. A database that passes gives no error afterwards.
    pub fn check(&self) -> Result<(), BoltError> {
        let mut open = vec![self.root().entries()?];
        while let Some(bucket) = open.last_mut() {
            match bucket.next().transpose()? {
                Some((_, Entry::Bucket(inner))) => open.push(inner.entries()?),
                Some((_, Entry::Value(_))) => {}
                None => {
                    open.pop();
                }
            }
        }
        Ok(())
    }

    /// A page of a tree with those that belong to it; `parent` is the place that leads to it.
    fn page<'a>(&'a self, number: u64, parent: u64, keys: Keys<'a>) -> Result<Page<'a>, BoltError> {
        let wrong = |problem| BoltError::Page { page: number, problem };
        if number < 2 || number >= self.meta.end {
            return Err(wrong(PageProblem::Beyond));
        }
        let cut = || wrong(PageProblem::Cut);
        let index =
            usize::try_from(number).ok().filter(|index| *index < self.parents.len()).ok_or_else(cut)?;
        let offset = index * self.meta.page_bytes;
        let header = &self.bytes[offset..];
        if u64_at(header, 0) != Some(number) {
            return Err(wrong(PageProblem::Misplaced));
        }
        let more = u32_at(header, 12).and_then(|more| usize::try_from(more).ok()).ok_or_else(cut)?;
        let last = index.checked_add(more).ok_or_else(cut)?;
        if last as u64 >= self.meta.end {
            return Err(wrong(PageProblem::Beyond));
        }
        for claimed in self.parents.get(index..=last).ok_or_else(cut)? {
            let known = claimed.compare_exchange(0, parent, Ordering::Relaxed, Ordering::Relaxed);
            if known.is_err_and(|known| known != parent) {
                return Err(wrong(PageProblem::Shared));
            }
        }
        let bytes = &self.bytes[offset..(last + 1) * self.meta.page_bytes];
        Page::of(number, offset, bytes, keys).map_err(wrong)
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Database of {} bytes, {:?}", self.bytes.len(), self.meta)
    }
}

/// What a key stands for.
#[derive(Clone, Copy, Debug)]
pub enum Entry<'a> {
    /// Bytes.
    Value(&'a [u8]),
    /// A bucket within the bucket.
    Bucket(Bucket<'a>),
}

/// A bucket: keys in order.
#[derive(Clone, Copy, Debug)]
pub struct Bucket<'a> {
    database: &'a Database,
    place: Place<'a>,
}

/// Where a bucket's tree begins.
#[derive(Clone, Copy, Debug)]
enum Place<'a> {
    Page {
        number: u64,
        parent: u64,
    },
    /// In the value that names it, which stands in this page of the file, at this offset of it.
    Inline {
        page: u64,
        offset: usize,
        bytes: &'a [u8],
    },
}

impl<'a> Bucket<'a> {
    /// What `key` stands for, if it is there.
    pub fn get(&self, key: &[u8]) -> Result<Option<Entry<'a>>, BoltError> {
        let mut page = self.first_page()?;
        while !page.is_leaf {
            let behind = page.first_from(key);
            let is_here = behind < page.len && page.key(behind) == key;
            page = self.child(&page, if is_here { behind } else { behind.saturating_sub(1) })?;
        }
        let index = page.first_from(key);
        if index == page.len || page.key(index) != key {
            return Ok(None);
        }
        self.entry(&page, page.element(index)).map(Some)
    }

    /// The bucket that `key` stands for, if it is there.
    pub fn bucket(&self, key: &[u8]) -> Result<Option<Self>, BoltError> {
        match self.get(key)? {
            Some(Entry::Bucket(bucket)) => Ok(Some(bucket)),
            Some(Entry::Value(_)) => Err(self.wrong(PageProblem::Other)),
            None => Ok(None),
        }
    }

    /// The bytes that `key` stands for, if it is there.
    pub fn value(&self, key: &[u8]) -> Result<Option<&'a [u8]>, BoltError> {
        match self.get(key)? {
            Some(Entry::Value(value)) => Ok(Some(value)),
            Some(Entry::Bucket(_)) => Err(self.wrong(PageProblem::Other)),
            None => Ok(None),
        }
    }

    /// All keys in order, with what they stand for. Nothing comes after an error.
    pub fn entries(&self) -> Result<Entries<'a>, BoltError> {
        Ok(Entries { bucket: *self, path: vec![(self.first_page()?, 0)] })
    }

    fn wrong(&self, problem: PageProblem) -> BoltError {
        let page = match self.place {
            Place::Page { number, .. } => number,
            Place::Inline { page, .. } => page,
        };
        BoltError::Page { page, problem }
    }

    fn first_page(&self) -> Result<Page<'a>, BoltError> {
        match self.place {
            Place::Page { number, parent } => self.database.page(number, parent, Keys::default()),
            Place::Inline { page, offset, bytes } => {
                let read = Page::of(page, offset, bytes, Keys::default());
                let read = read.and_then(|read| if read.is_leaf { Ok(read) } else { Err(PageProblem::Kind) });
                read.map_err(|problem| self.wrong(problem))
            }
        }
    }

    fn child(&self, page: &Page<'a>, index: usize) -> Result<Page<'a>, BoltError> {
        let (number, parent, keys) = page.child(index);
        self.database.page(number, parent, keys)
    }

    fn entry(&self, page: &Page<'a>, element: Element<'a>) -> Result<Entry<'a>, BoltError> {
        let Element { value, is_bucket, value_offset, .. } = element;
        if !is_bucket {
            return Ok(Entry::Value(value));
        }
        let first = first_page(value).map_err(|problem| BoltError::Page { page: page.number, problem })?;
        let place = match first {
            Some(number) => Place::Page { number, parent: value_offset as u64 },
            None => Place::Inline {
                page: page.number,
                offset: value_offset + BUCKET_BYTES,
                bytes: &value[BUCKET_BYTES..],
            },
        };
        Ok(Entry::Bucket(Self { database: self.database, place }))
    }
}

/// The keys of a bucket, with what they stand for.
#[derive(Debug)]
pub struct Entries<'a> {
    bucket: Bucket<'a>,
    /// From the first page to a leaf, each with what comes next of it.
    path: Vec<(Page<'a>, usize)>,
}

impl<'a> Entries<'a> {
    fn step(&mut self) -> Result<Option<(&'a [u8], Entry<'a>)>, BoltError> {
        while let Some((page, next)) = self.path.last_mut() {
            let index = *next;
            if index == page.len {
                self.path.pop();
                continue;
            }
            *next += 1;
            let page = *page;
            if page.is_leaf {
                let element = page.element(index);
                return Ok(Some((element.key, self.bucket.entry(&page, element)?)));
            }
            self.path.push((self.bucket.child(&page, index)?, 0));
        }
        Ok(None)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<(&'a [u8], Entry<'a>), BoltError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.path.clear();
        }
        step.transpose()
    }
}
