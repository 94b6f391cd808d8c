//! bolt databases: whatever the bytes are, reading ends, and what is read once is read again.

use sealift::bolt::{BoltError, Bucket, Database, Entry};

use crate::text::check_error;

const PAGE_BYTES: usize = 1024;
/// What of a page the input says; the rest is nothing.
const PIECE_BYTES: usize = 128;

/// Any bytes, taken for a database; and for the pages of one whose meta pages are sound.
pub fn bolt(input: &[u8]) {
    read_all(input);
    let mut bytes = vec![0; 2 * PAGE_BYTES];
    let pieces = input.chunks(PIECE_BYTES);
    let end = 2 + pieces.len() as u64;
    for (number, piece) in (2u64..).zip(pieces) {
        let start = bytes.len();
        bytes.extend_from_slice(piece);
        bytes.resize(start + PAGE_BYTES, 0);
        bytes[start..start + 8].copy_from_slice(&number.to_le_bytes());
    }
    for page in [0, PAGE_BYTES] {
        let meta = meta(end);
        bytes[page + 16..page + 16 + meta.len()].copy_from_slice(&meta);
    }
    read_all(&bytes);
}

/// A meta of a database whose outermost bucket begins at page 2.
fn meta(end: u64) -> Vec<u8> {
    let mut meta = 0xED0C_DAED_u32.to_le_bytes().to_vec();
    meta.extend([2, 1024, 0_u32].iter().flat_map(|field| field.to_le_bytes()));
    meta.extend([2, 0, u64::MAX, end, 1].iter().flat_map(|field| field.to_le_bytes()));
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let checksum = meta.iter().fold(0xcbf2_9ce4_8422_2325, mix);
    meta.extend(checksum.to_le_bytes());
    meta
}

fn read_all(input: &[u8]) {
    let database = match Database::of(input.to_vec()) {
        Ok(database) => database,
        Err(error) => return check_error(&error),
    };
    assert!(database.bytes() == input && input.starts_with(database.metas()));
    let whole = database.check();
    let (mut keys, read_now) = (0, read(&database.root(), 0, &mut 0));
    if let Err(error) = &whole {
        check_error(error);
    } else if let Err(error) = read_now {
        panic!("checked, and then: {error}");
    }
    // What was read before changes nothing about what is read now.
    let again = Database::of(input.to_vec()).unwrap();
    let read_first = read(&again.root(), 0, &mut keys);
    assert!(whole.is_err() || read_first.is_ok(), "{read_first:?}");
    assert!(keys <= input.len(), "a key for each byte");
}

/// Reads all of a bucket: keys are in order, and each is found by itself.
fn read(bucket: &Bucket<'_>, depth: usize, keys: &mut usize) -> Result<(), BoltError> {
    let mut before: Option<&[u8]> = None;
    for entry in bucket.entries()? {
        let (key, entry) = entry?;
        *keys += 1;
        assert!(before.is_none_or(|before| before < key), "keys are in order");
        before = Some(key);
        match (entry, bucket.get(key)?) {
            (Entry::Value(listed), Some(Entry::Value(found))) => {
                assert!(std::ptr::eq(listed, found), "what is found is what is listed");
            }
            // Buckets within buckets end where the file does, but the stack before.
            (Entry::Bucket(inner), Some(Entry::Bucket(_))) if depth < 100 => read(&inner, depth + 1, keys)?,
            (Entry::Bucket(_), Some(Entry::Bucket(_))) => {}
            (listed, found) => panic!("{listed:?} {found:?}"),
        }
    }
    Ok(())
}
