//! Archives, read by another reader than sealift's.

use std::io::Read;

/// Path and content of each entry, in the archive's order.
pub(crate) fn entries(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), bytes)
    });
    entries.collect()
}

/// True if a loader could take it for a whole archive: there is something, and it does not end inside an entry.
pub(crate) fn is_believable(archive: &[u8]) -> bool {
    let is_whole = tar::Archive::new(archive).entries().unwrap().all(|entry| {
        entry
            .and_then(|mut entry| Ok(entry.read_to_end(&mut Vec::new())? as u64 == entry.size()))
            .unwrap_or(false)
    });
    !archive.is_empty() && is_whole
}
