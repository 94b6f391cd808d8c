//! Databases made page by page, so that each thing that can be wrong with one is.

use super::layout::{BRANCH, BUCKET_BYTES, ELEMENT_BYTES, HEADER_BYTES, IS_BUCKET, LEAF};
use super::meta::fnv1a;
use super::*;

const PAGE_BYTES: usize = 4096;

/// What stands for a key in a leaf that is made.
enum Made {
    Value(Vec<u8>),
    /// A bucket that begins at a page.
    Bucket(u64),
    /// A bucket within its value.
    Inline(Vec<u8>),
}

fn value(key: &str, value: &str) -> (Vec<u8>, Made) {
    (key.into(), Made::Value(value.into()))
}

/// Flags, the page a branch leads to, key and value.
type Parts = (u32, [u8; 8], Vec<u8>, Vec<u8>);

/// A page's header, elements and data.
fn page(number: u64, flags: u16, elements: &[Parts]) -> Vec<u8> {
    let mut page = number.to_le_bytes().to_vec();
    page.extend(flags.to_le_bytes());
    page.extend(u16::try_from(elements.len()).unwrap().to_le_bytes());
    page.extend([0; 4]);
    let mut data = Vec::new();
    for (index, (is_bucket, child, key, value)) in elements.iter().enumerate() {
        let from = (elements.len() - index) * ELEMENT_BYTES + data.len();
        let from = u32::try_from(from).unwrap().to_le_bytes();
        let key_bytes = u32::try_from(key.len()).unwrap().to_le_bytes();
        let value_bytes = u32::try_from(value.len()).unwrap().to_le_bytes();
        if flags == BRANCH {
            page.extend([&from[..], &key_bytes, child].concat());
        } else {
            page.extend([is_bucket.to_le_bytes(), from, key_bytes, value_bytes].concat());
        }
        data.extend([&key[..], value].concat());
    }
    page.extend(data);
    page
}

fn leaf(number: u64, elements: Vec<(Vec<u8>, Made)>) -> Vec<u8> {
    let bucket = |first: u64| [first.to_le_bytes(), 0u64.to_le_bytes()].concat();
    let element = |(key, made)| match made {
        Made::Value(value) => (0, [0; 8], key, value),
        Made::Bucket(first) => (IS_BUCKET, [0; 8], key, bucket(first)),
        Made::Inline(page) => (IS_BUCKET, [0; 8], key, [bucket(0), page].concat()),
    };
    page(number, LEAF, &elements.into_iter().map(element).collect::<Vec<_>>())
}

fn branch(number: u64, children: &[(&str, u64)]) -> Vec<u8> {
    let element = |(key, child): &(&str, u64)| (0, child.to_le_bytes(), key.as_bytes().to_vec(), vec![]);
    page(number, BRANCH, &children.iter().map(element).collect::<Vec<_>>())
}

fn meta(number: u64, page_bytes: u32, root: u64, end: u64, transaction: u64) -> Vec<u8> {
    let mut meta = 0xED0C_DAEDu32.to_le_bytes().to_vec();
    meta.extend([2u32, page_bytes, 0].iter().flat_map(|field| field.to_le_bytes()));
    meta.extend([root, 0, u64::MAX, end, transaction].iter().flat_map(|field| field.to_le_bytes()));
    meta.extend(fnv1a(&meta).to_le_bytes());
    let mut page = page(number, 0x04, &[]);
    page.extend(meta);
    page
}

/// A database of these pages, the first of which is number 2, with its root there.
fn database(pages: &[Vec<u8>]) -> Vec<u8> {
    let page_bytes = u32::try_from(PAGE_BYTES).unwrap();
    let sizes = pages.iter().map(|page| page.len().next_multiple_of(PAGE_BYTES));
    let end = 2 + (sizes.sum::<usize>() / PAGE_BYTES) as u64;
    let metas = [meta(0, page_bytes, 2, end, 6), meta(1, page_bytes, 2, end, 7)];
    let mut bytes = Vec::new();
    for page in metas.iter().chain(pages) {
        bytes.extend(page);
        let more = page.len().div_ceil(PAGE_BYTES) - 1;
        let start = bytes.len() - page.len();
        bytes[start + 12..start + 16].copy_from_slice(&u32::try_from(more).unwrap().to_le_bytes());
        bytes.resize(bytes.len().next_multiple_of(PAGE_BYTES), 0);
    }
    bytes
}

/// A tree of two levels with every kind of bucket, and a leaf that takes two pages.
fn whole() -> Vec<u8> {
    let inner = leaf(0, vec![value("deep", "inner")]);
    let inline = leaf(0, vec![value("a", "1"), (b"b".to_vec(), Made::Inline(inner))]);
    database(&[
        branch(2, &[("a", 3), ("m", 4)]),
        leaf(3, vec![value("a", "first"), value("c", "third"), (b"d".to_vec(), Made::Inline(inline))]),
        leaf(4, vec![(b"m".to_vec(), Made::Bucket(6)), value("z", &"long ".repeat(1200))]),
        leaf(6, vec![value("k", "v")]),
    ])
}

/// Everything in a bucket, as lines.
fn told(bucket: &Bucket<'_>, depth: usize) -> Result<Vec<String>, BoltError> {
    let mut lines = Vec::new();
    for entry in bucket.entries()? {
        let (key, entry) = entry?;
        let key = format!("{}{}", "  ".repeat(depth), String::from_utf8_lossy(key));
        match entry {
            Entry::Value(value) => lines.push(format!("{key}={}", &String::from_utf8_lossy(value)[..1])),
            Entry::Bucket(inner) => {
                lines.push(key);
                lines.extend(told(&inner, depth + 1)?);
            }
        }
    }
    Ok(lines)
}

fn problem(bytes: Vec<u8>) -> BoltError {
    Database::of(bytes).and_then(|database| database.check()).unwrap_err()
}

fn page_problem(number: u64, pages: &[Vec<u8>]) -> PageProblem {
    match problem(database(pages)) {
        BoltError::Page { page, problem } if page == number => problem,
        other => panic!("{other}"),
    }
}

#[test]
fn keys_values_and_buckets_of_every_kind_are_read() {
    let database = Database::of(whole()).unwrap();
    database.check().unwrap();
    assert_eq!(database.transaction(), 7);
    let root = database.root();
    let lines = ["a=f", "c=t", "d", "  a=1", "  b", "    deep=i", "m", "  k=v", "z=l"];
    assert_eq!(told(&root, 0).unwrap(), lines);
    assert_eq!(root.value(b"c").unwrap(), Some(&b"third"[..]));
    assert_eq!(root.value(b"z").unwrap().map(<[u8]>::len), Some(6000));
    for missing in [&b""[..], b"A", b"b", b"cc", b"n", b"zz"] {
        assert!(root.get(missing).unwrap().is_none(), "{missing:?}");
    }
    let inner = root.bucket(b"d").unwrap().unwrap().bucket(b"b").unwrap().unwrap();
    assert_eq!(inner.value(b"deep").unwrap(), Some(&b"inner"[..]));
    assert!(root.value(b"d").is_err() && root.bucket(b"a").is_err());
}

#[test]
fn an_empty_bucket_has_nothing() {
    let database = Database::of(database(&[leaf(2, vec![])])).unwrap();
    assert_eq!(told(&database.root(), 0).unwrap(), Vec::<String>::new());
    assert!(database.root().get(b"a").unwrap().is_none());
}

#[test]
fn the_last_whole_meta_page_counts() {
    let page_bytes = u32::try_from(PAGE_BYTES).unwrap();
    let transaction = |bytes| Database::of(bytes).map(|database| database.transaction());
    let mut bytes = whole();
    for (at, left) in [(PAGE_BYTES + 40, Ok(6)), (40, Err(BoltError::Metas))] {
        bytes[at] ^= 1;
        assert_eq!(transaction(bytes.clone()), left);
    }
    let mut first_is_damaged = whole();
    first_is_damaged[..80].fill(0xaa);
    assert_eq!(transaction(first_is_damaged), Ok(7));
    let mut first_is_newer = whole();
    first_is_newer[..80].copy_from_slice(&meta(0, page_bytes, 2, 7, 8));
    assert_eq!(transaction(first_is_newer), Ok(8));
    let mut of_another_version = whole();
    for at in [20, PAGE_BYTES + 20] {
        of_another_version[at] = 3;
    }
    assert_eq!(transaction(of_another_version), Err(BoltError::Version(3)));
}

#[test]
fn what_is_no_database_is_told_apart() {
    assert_eq!(problem(vec![]), BoltError::Empty);
    assert_eq!(problem(b"SQLite format 3\0".repeat(500)), BoltError::NotBolt);
    assert_eq!(problem(vec![0; 100_000]), BoltError::NotBolt);
    assert_eq!(problem(whole()[..50].to_vec()), BoltError::Cut { bytes: 50 });
    let cut = problem(whole()[..4 * PAGE_BYTES + 7].to_vec());
    assert_eq!(cut, BoltError::Page { page: 4, problem: PageProblem::Cut });
    let cut = problem(whole()[..6 * PAGE_BYTES - 1].to_vec());
    assert!(matches!(cut, BoltError::Page { problem: PageProblem::Cut, .. }), "{cut}");
}

#[test]
fn pages_that_can_not_be_are_refused() {
    let one = || vec![value("a", "1")];
    assert_eq!(page_problem(3, &[branch(2, &[("a", 3)])]), PageProblem::Beyond);
    assert_eq!(page_problem(1, &[branch(2, &[("a", 1)])]), PageProblem::Beyond);
    assert_eq!(page_problem(u64::MAX, &[branch(2, &[("a", u64::MAX)])]), PageProblem::Beyond);
    assert_eq!(page_problem(2, &[leaf(9, one())]), PageProblem::Misplaced);
    assert_eq!(page_problem(2, &[page(2, 0x10, &[])]), PageProblem::Kind);
    assert_eq!(page_problem(2, &[branch(2, &[])]), PageProblem::Empty);
    assert_eq!(page_problem(3, &[branch(2, &[("a", 3)]), leaf(3, vec![])]), PageProblem::Empty);
    let short = |key: &str| (key.into(), Made::Bucket(0));
    assert_eq!(page_problem(2, &[leaf(2, vec![short("a")])]), PageProblem::Kind);
}

#[test]
fn elements_lie_in_their_page_one_behind_the_other() {
    let first = HEADER_BYTES;
    // Of two elements (flags, place, key's size, value's size): what is changed, and to what.
    for (at, changed) in [
        (first + 4, 15u32),
        (first + 4, 31),
        (first + 4, u32::MAX),
        (first + 8, u32::MAX),
        (first + 8, 32769),
        (first + 12, u32::MAX),
        (first + 12, 4096),
        (first + 12, 2),
        (first + ELEMENT_BYTES + 4, 0),
    ] {
        let mut bytes = leaf(2, vec![value("a", "1"), value("b", "2")]);
        bytes[at..at + 4].copy_from_slice(&changed.to_le_bytes());
        let found = page_problem(2, &[bytes]);
        assert_eq!(found, PageProblem::Elements, "{at} {changed}");
    }
    let mut many = leaf(2, vec![value("a", "1")]);
    many[10..12].copy_from_slice(&u16::MAX.to_le_bytes());
    assert_eq!(page_problem(2, &[many]), PageProblem::Elements);
}

#[test]
fn keys_stand_where_they_are_looked_for() {
    let order = PageProblem::Order;
    for (number, pages) in [
        (2, vec![leaf(2, vec![value("b", "1"), value("a", "2")])]),
        (2, vec![leaf(2, vec![value("a", "1"), value("a", "2")])]),
        (2, vec![branch(2, &[("b", 3), ("a", 4)])]),
        (3, vec![branch(2, &[("b", 3), ("c", 4)]), leaf(3, vec![value("a", "1")])]),
        (3, vec![branch(2, &[("b", 3), ("c", 4)]), leaf(3, vec![value("b", "1"), value("c", "1")])]),
        (4, vec![branch(2, &[("a", 3)]), branch(3, &[("a", 4), ("b", 5)]), leaf(4, vec![value("c", "1")])]),
    ] {
        assert_eq!(page_problem(number, &pages), order);
    }
}

#[test]
fn a_page_has_one_place_that_leads_to_it() {
    let shared = PageProblem::Shared;
    // A ring of branches.
    assert_eq!(page_problem(2, &[branch(2, &[("a", 3)]), branch(3, &[("a", 2)])]), shared);
    // Buckets within each other.
    assert_eq!(page_problem(2, &[leaf(2, vec![(b"a".to_vec(), Made::Bucket(2))])]), shared);
    // Two buckets of one tree: of such, as many could be read as there are ways through them.
    let twice = || vec![(b"a".to_vec(), Made::Bucket(3)), (b"b".to_vec(), Made::Bucket(3))];
    assert_eq!(page_problem(3, &[leaf(2, twice()), leaf(3, vec![value("a", "1")])]), shared);
    // A page that another takes in.
    let pages = [
        leaf(2, vec![(b"a".to_vec(), Made::Bucket(3)), (b"b".to_vec(), Made::Bucket(4))]),
        leaf(3, vec![value("a", &"x".repeat(5000))]),
    ];
    let mut bytes = database(&pages);
    let inside = leaf(4, vec![value("a", "1")]);
    bytes[4 * PAGE_BYTES..4 * PAGE_BYTES + inside.len()].copy_from_slice(&inside);
    assert_eq!(problem(bytes), BoltError::Page { page: 4, problem: shared });
}

#[test]
fn inline_buckets_are_leaves_within_their_value() {
    let inline = |page: Vec<u8>| leaf(2, vec![(b"a".to_vec(), Made::Inline(page))]);
    assert_eq!(page_problem(2, &[inline(branch(0, &[("a", 2)]))]), PageProblem::Kind);
    assert_eq!(page_problem(2, &[inline(vec![])]), PageProblem::Kind);
    assert_eq!(page_problem(2, &[inline(vec![0; 11])]), PageProblem::Kind);
    let mut beyond = leaf(0, vec![value("a", "1")]);
    beyond.pop();
    assert_eq!(page_problem(2, &[inline(beyond)]), PageProblem::Elements);
    let bucket_is_short = page(2, LEAF, &[(IS_BUCKET, [0; 8], b"a".to_vec(), vec![0; BUCKET_BYTES - 1])]);
    assert_eq!(page_problem(2, &[bucket_is_short]), PageProblem::Bucket);
}

#[test]
fn after_any_flipped_bit_what_is_read_is_read_in_bounds() {
    let whole = whole();
    let lines = told(&Database::of(whole.clone()).unwrap().root(), 0).unwrap();
    let mut refused = 0;
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        let read = Database::of(bytes).and_then(|database| {
            let read = keys_in(&database.root())?;
            assert!(database.check().is_ok(), "what was read passes the check");
            Ok(read)
        });
        match read {
            Ok(keys) => assert!(keys <= lines.len(), "{at}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 100, "{refused}");
}

/// How many keys there are.
fn keys_in(bucket: &Bucket<'_>) -> Result<usize, BoltError> {
    let mut keys = 0;
    for entry in bucket.entries()? {
        keys += match entry?.1 {
            Entry::Value(_) => 1,
            Entry::Bucket(inner) => 1 + keys_in(&inner)?,
        };
    }
    Ok(keys)
}
