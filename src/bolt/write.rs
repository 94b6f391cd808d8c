//! A bolt database written in one go: all that is to be in it is known, so every page is written once and in its place.
//!
//! ```text
//! page 0, 1: metas   2: freelist (empty)   3…: for each bucket its leaves, then the branches over them
//! ```
//!
//! Buckets come before the bucket that names them, so their roots are known when it is written; the two metas come last.
//! Small buckets without buckets of their own stand inline, in the value that names them, as bolt keeps them.

use std::collections::BTreeMap;

use super::layout::{BRANCH, BUCKET_BYTES, ELEMENT_BYTES, HEADER_BYTES, IS_BUCKET, LEAF};
use super::meta::{MAGIC, VERSION, fnv1a};

/// The size of pages: that of memory on most machines. A reader goes by what the meta says.
const PAGE_BYTES: usize = 4096;
/// The largest page that stands inline in its bucket's value.
const MAX_INLINE_BYTES: usize = PAGE_BYTES / 4;

const META: u16 = 0x04;
const FREELIST: u16 = 0x10;
const FREELIST_PAGE: u64 = 2;
const FIRST_DATA_PAGE: u64 = 3;

/// A bucket that is to be written: values and buckets by their keys, which bolt takes with 1 to 32,768 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewBucket(BTreeMap<Vec<u8>, NewItem>);

/// One or the other; a bucket where there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct NewItem {
    value: Vec<u8>,
    bucket: Option<NewBucket>,
}

impl NewBucket {
    /// Gives `key` a value, in place of what it had.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.0.insert(key.into(), NewItem { value: value.into(), bucket: None });
    }

    /// The bucket that `key` has, made where there is none.
    pub fn bucket(&mut self, key: impl Into<Vec<u8>>) -> &mut Self {
        let item = self.0.entry(key.into()).or_default();
        item.value.clear();
        item.bucket.get_or_insert_default()
    }

    /// True if there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes of a database with this as its root.
    pub fn to_database(&self) -> Vec<u8> {
        let mut pages = Pages(vec![0; PAGE_BYTES * 3]);
        let (elements, _) = pages.elements(self);
        let root = pages.write_tree(&elements);
        pages.finish(root)
    }
}

/// An element of a page. `word` is what its kind has beside key and value: a leaf's flags, a branch's page.
struct Element<'a> {
    word: u64,
    key: &'a [u8],
    value: Vec<u8>,
}

impl Element<'_> {
    fn size_bytes(&self) -> usize {
        ELEMENT_BYTES + self.key.len() + self.value.len()
    }
}

/// The database as far as it is written.
struct Pages(Vec<u8>);

impl Pages {
    /// The elements of a bucket's leaves, and whether none of them is a bucket. Buckets in it are written by this.
    fn elements<'a>(&mut self, bucket: &'a NewBucket) -> (Vec<Element<'a>>, bool) {
        let mut has_values_only = true;
        let mut elements = Vec::with_capacity(bucket.0.len());
        for (key, item) in &bucket.0 {
            elements.push(match &item.bucket {
                None => Element { word: 0, key, value: item.value.clone() },
                Some(inner) => {
                    has_values_only = false;
                    Element { word: IS_BUCKET.into(), key, value: self.bucket_value(inner) }
                }
            });
        }
        (elements, has_values_only)
    }

    /// What stands in a leaf for a bucket: its root page and its sequence, or, without a page, all of it.
    fn bucket_value(&mut self, bucket: &NewBucket) -> Vec<u8> {
        let (elements, has_values_only) = self.elements(bucket);
        let size_bytes = HEADER_BYTES + elements.iter().map(Element::size_bytes).sum::<usize>();
        let mut value = vec![0; BUCKET_BYTES];
        if has_values_only && size_bytes <= MAX_INLINE_BYTES {
            value.extend(page(0, LEAF, &elements));
        } else {
            let root = self.write_tree(&elements);
            value[..8].copy_from_slice(&root.to_le_bytes());
        }
        value
    }

    /// Writes leaves, and branches over them until there is one page; its number.
    fn write_tree(&mut self, elements: &[Element<'_>]) -> u64 {
        let mut level = self.write_level(LEAF, elements);
        while level.len() > 1 {
            level = self.write_level(BRANCH, &level);
        }
        level[0].word
    }

    /// Writes elements to as many pages as they need, at least one. The branch elements that lead to those.
    fn write_level<'a>(&mut self, kind: u16, mut elements: &[Element<'a>]) -> Vec<Element<'a>> {
        let mut above = Vec::new();
        loop {
            let (here, rest) = elements.split_at(fitting(elements));
            let number = self.next_page();
            let mut bytes = page(number, kind, here);
            bytes.resize(bytes.len().next_multiple_of(PAGE_BYTES), 0);
            let overflow = little_u32(bytes.len() / PAGE_BYTES - 1);
            bytes[12..16].copy_from_slice(&overflow);
            self.0.extend(bytes);
            let key = here.first().map_or(&[][..], |first| first.key);
            above.push(Element { word: number, key, value: Vec::new() });
            elements = rest;
            if elements.is_empty() {
                return above;
            }
        }
    }

    fn next_page(&self) -> u64 {
        (self.0.len() / PAGE_BYTES) as u64
    }

    /// Puts the freelist and the metas where they go.
    fn finish(mut self, root: u64) -> Vec<u8> {
        debug_assert!(root >= FIRST_DATA_PAGE);
        let end = self.next_page();
        for number in [0, 1] {
            self.put_page(number, META);
            let meta = meta(root, end, number);
            self.0[page_offset(number) + HEADER_BYTES..][..meta.len()].copy_from_slice(&meta);
        }
        self.put_page(FREELIST_PAGE, FREELIST);
        self.0
    }

    fn put_page(&mut self, number: u64, kind: u16) {
        let header = page(number, kind, &[]);
        self.0[page_offset(number)..][..header.len()].copy_from_slice(&header);
    }
}

/// Where one of the first pages starts.
fn page_offset(number: u64) -> usize {
    usize::try_from(number).unwrap_or_default() * PAGE_BYTES
}

/// How many elements fit into a page, but at least two, as bolt has it: of branches over one page each there is no end.
/// What is larger than a page gets overflow pages.
fn fitting(elements: &[Element<'_>]) -> usize {
    let mut size_bytes = HEADER_BYTES;
    let fit = elements.iter().take_while(|element| {
        size_bytes += element.size_bytes();
        size_bytes <= PAGE_BYTES
    });
    fit.count().max(2).min(elements.len())
}

/// A page's bytes, without overflow pages' padding: header, elements, then keys and values.
fn page(number: u64, kind: u16, elements: &[Element<'_>]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PAGE_BYTES);
    bytes.extend(number.to_le_bytes());
    bytes.extend(kind.to_le_bytes());
    // A page has no more elements than it has room for their descriptions, or two.
    bytes.extend(u16::try_from(elements.len()).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend([0; 4]);
    let mut data_offset = HEADER_BYTES + ELEMENT_BYTES * elements.len();
    for (index, element) in elements.iter().enumerate() {
        // Counted from the element itself.
        let position = data_offset - (HEADER_BYTES + ELEMENT_BYTES * index);
        if kind == BRANCH {
            bytes.extend(little_u32(position));
            bytes.extend(little_u32(element.key.len()));
            bytes.extend(element.word.to_le_bytes());
        } else {
            bytes.extend(&element.word.to_le_bytes()[..4]);
            bytes.extend(little_u32(position));
            bytes.extend(little_u32(element.key.len()));
            bytes.extend(little_u32(element.value.len()));
        }
        data_offset += element.key.len() + element.value.len();
    }
    for element in elements {
        bytes.extend_from_slice(element.key);
        bytes.extend_from_slice(&element.value);
    }
    bytes
}

/// A meta: what the root is, where the file ends, and the checksum of that.
fn meta(root: u64, end: u64, transaction: u64) -> Vec<u8> {
    let flags = [0; 4];
    let root_sequence = 0u64;
    let mut bytes = [MAGIC.to_le_bytes(), VERSION.to_le_bytes(), little_u32(PAGE_BYTES), flags].concat();
    for word in [root, root_sequence, FREELIST_PAGE, end, transaction] {
        bytes.extend(word.to_le_bytes());
    }
    let checksum = fnv1a(&bytes);
    bytes.extend(checksum.to_le_bytes());
    bytes
}

/// Sizes within the database, which is far smaller than 4 GiB as it was built in memory from names and labels.
fn little_u32(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bolt::{Bucket, Database, Entry};

    /// What was written, read back.
    fn read_back(bucket: Bucket<'_>) -> NewBucket {
        let mut read = NewBucket::default();
        for entry in bucket.entries().unwrap() {
            match entry.unwrap() {
                (key, Entry::Value(value)) => read.put(key, value),
                (key, Entry::Bucket(inner)) => *read.bucket(key) = read_back(inner),
            }
        }
        read
    }

    fn is_read_back(written: &NewBucket) -> Database {
        let database = Database::of(written.to_database()).unwrap();
        database.check().unwrap();
        assert_eq!(read_back(database.root()), *written);
        database
    }

    #[test]
    fn databases_of_any_size_read_back() {
        for count in [0, 1, 2, 3, 50, 51, 52, 1_000, 5_000] {
            let mut root = NewBucket::default();
            for number in 0..count {
                let image = root.bucket("v1").bucket(format!("image-{number:08}"));
                image.put("createdat", [0; 15]);
                image.bucket("target").put("digest", format!("sha256:{number:064x}"));
            }
            let database = is_read_back(&root);
            if count > 0 {
                let images = database.root().bucket(b"v1").unwrap().unwrap();
                assert!(images.bucket(b"image-00000000").unwrap().is_some());
                assert!(images.bucket(format!("image-{:08}", count - 1).as_bytes()).unwrap().is_some());
                assert!(images.bucket(b"image-00000000x").unwrap().is_none());
            }
        }
    }

    #[test]
    fn large_keys_and_values_have_overflow_pages() {
        let mut root = NewBucket::default();
        for number in 0..40u8 {
            root.bucket("keys").put([&[number][..], &[b'k'; 5_000]].concat(), "value");
            root.bucket("values").put([number], vec![number; 100_000]);
        }
        is_read_back(&root);
    }

    #[test]
    fn a_value_gives_way_to_a_bucket_and_the_other_way_round() {
        let mut root = NewBucket::default();
        root.put("a", "value");
        root.bucket("a").put("b", "inner");
        root.bucket("c").put("d", "inner");
        root.put("c", "value");
        let database = is_read_back(&root);
        assert!(matches!(database.root().get(b"a"), Ok(Some(Entry::Bucket(_)))));
        assert!(matches!(database.root().get(b"c"), Ok(Some(Entry::Value(b"value")))));
    }

    fn buckets() -> impl Strategy<Value = NewBucket> {
        let key = || prop::collection::vec(any::<u8>(), 1..300);
        let values =
            move || prop::collection::btree_map(key(), prop::collection::vec(any::<u8>(), 0..600), 0..30);
        let of = |values: BTreeMap<Vec<u8>, Vec<u8>>, buckets: BTreeMap<Vec<u8>, NewBucket>| {
            let mut bucket = NewBucket::default();
            for (key, value) in values {
                bucket.put(key, value);
            }
            for (key, inner) in buckets {
                *bucket.bucket(key) = inner;
            }
            bucket
        };
        let leaf = values().prop_map(move |values| of(values, BTreeMap::new()));
        leaf.prop_recursive(3, 12, 4, move |inner| {
            (values(), prop::collection::btree_map(key(), inner, 0..4)).prop_map(move |(v, b)| of(v, b))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_buckets_read_back(root in buckets()) {
            is_read_back(&root);
        }
    }
}
