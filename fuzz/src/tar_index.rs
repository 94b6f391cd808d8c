//! Foreign tars: passed over by seeking or read from a pipe, they have the same entries.

use std::io::Cursor;

use sealift::archive::names::Names;
use sealift::archive::reader::{Member, Members, ReadError};

/// Any bytes, taken for a tar.
pub fn tar_index(input: &[u8]) {
    let (sought, sought_error) = match Members::new(Cursor::new(input)) {
        Ok(members) => entries(members),
        Err(error) => (Vec::new(), Some(error)),
    };
    let (read, read_error) = entries(Members::streaming(input));
    // Where an entry goes beyond the end, seeking knows it before the entry is told of, reading after.
    let is_cut = matches!(sought_error, Some(ReadError::Truncated { .. }));
    assert!(read.starts_with(&sought) && read.len() <= sought.len() + usize::from(is_cut));
    assert_eq!(sought_error.is_some(), read_error.is_some(), "{sought_error:?} {read_error:?}");
    let mut names = Names::default();
    for member in &sought {
        let end_bytes = member.offset_bytes + member.size_bytes;
        assert!(end_bytes <= input.len() as u64);
        names.add(member);
    }
    for path in names.paths() {
        assert!(!path.starts_with('/') && !path.split('/').any(|part| part == ".."), "{path:?}");
        if let Some(place) = names.place(path) {
            let is_one = |member: &Member| {
                (member.offset_bytes, member.size_bytes) == (place.offset_bytes, place.size_bytes)
            };
            assert!(sought.iter().any(is_one));
        }
    }
}

fn entries<R: std::io::Read>(mut members: Members<R>) -> (Vec<Member>, Option<ReadError>) {
    let mut found = Vec::new();
    for member in &mut members {
        match member {
            Ok(member) => found.push(member),
            Err(error) => return (found, Some(error)),
        }
    }
    (found, None)
}
