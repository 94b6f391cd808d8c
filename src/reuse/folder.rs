//! What stands under a path: an archive, an OCI layout (OCI image-spec, "Image Layout"), or a folder of archives.

use std::fs::{self, DirEntry, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Holding, HoldingKind, ReuseError, contents_of};
use crate::archive::{ClaimedBlob, Contents};
use crate::blob::Packing;
use crate::fsio::{FileError, Links, open_regular};
use crate::image::{Algorithm, Digest};

/// Archives of one folder that are looked into.
pub(super) const MAX_ARCHIVES: usize = 1000;
/// Entries of one folder that are looked at.
const MAX_ENTRIES: usize = 100_000;
/// What was found under a path.
#[derive(Debug, Default)]
pub(super) struct Finding {
    pub(super) holdings: Vec<Holding>,
    pub(super) problems: Vec<ReuseError>,
}

impl Finding {
    fn problem(problem: impl Into<ReuseError>) -> Self {
        Self { holdings: vec![], problems: vec![problem.into()] }
    }
}

/// Where a layout has a blob.
pub(super) fn blob_path(layout: &Path, digest: &Digest) -> PathBuf {
    layout.join("blobs").join(digest.algorithm().name()).join(digest.hex())
}

/// Looks into the file or folder at `path`.
pub(super) fn look_into(path: &Path, links: Links) -> Finding {
    let mut finding = if !path.is_dir() {
        archive(path, links)
    } else if open_regular(&path.join("oci-layout"), Links::Refuse).is_ok() {
        layout(path)
    } else {
        folder(path)
    };
    let has_blobs = finding.holdings.iter().any(|holding| !holding.blobs.is_empty());
    if !has_blobs && finding.problems.is_empty() {
        finding.problems.push(ReuseError::NoBlobs(path.to_owned()));
    }
    finding
}

fn archive(path: &Path, links: Links) -> Finding {
    let mut file = match open_regular(path, links) {
        Ok(file) => file,
        Err(error) => return Finding::problem(error),
    };
    if let Some(packing) = packing_of(&mut file) {
        return Finding::problem(ReuseError::Compressed { path: path.to_owned(), packing });
    }
    let Contents { blobs, problem, .. } = contents_of(file);
    let problem = problem.map(|source| ReuseError::Archive { path: path.to_owned(), source });
    let holding = Holding { origin: Arc::from(path), kind: HoldingKind::Archive, blobs };
    Finding { holdings: vec![holding], problems: problem.into_iter().collect() }
}

fn packing_of(file: &mut File) -> Option<&'static str> {
    let mut head = Vec::new();
    file.take(8).read_to_end(&mut head).ok()?;
    let packing = Packing::of(&head);
    (packing != Packing::Plain).then(|| packing.name())
}

/// The blobs of an OCI layout, by name and size.
fn layout(path: &Path) -> Finding {
    let mut finding = Finding::default();
    let mut blobs = Vec::new();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let folder = path.join("blobs").join(algorithm.name());
        if !folder.is_dir() {
            continue;
        }
        let claimed = |entry: &DirEntry| {
            let digest = format!("{}:{}", algorithm.name(), entry.file_name().to_str()?).parse().ok()?;
            let found = entry.metadata().ok()?; // of the entry itself: a link is no file
            found.is_file().then_some(ClaimedBlob { digest, offset_bytes: 0, size_bytes: found.len() })
        };
        match entries(&folder) {
            Ok(entries) => blobs.extend(entries.iter().filter_map(claimed)),
            Err(error) => finding.problems.push(error.into()),
        }
    }
    finding.holdings.push(Holding { origin: Arc::from(path), kind: HoldingKind::Layout, blobs });
    finding
}

/// The archives in a folder, by their names; folders in it are not looked into.
fn folder(path: &Path) -> Finding {
    let entries = match entries(path) {
        Ok(entries) => entries,
        Err(error) => return Finding::problem(error),
    };
    let is_archive = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "tar");
    let mut archives: Vec<_> = entries.iter().map(DirEntry::path).filter(is_archive).collect();
    archives.sort_unstable();
    let mut finding = Finding::default();
    if archives.len() > MAX_ARCHIVES {
        finding.problems.push(ReuseError::TooManyArchives(path.to_owned()));
    }
    for path in archives.iter().take(MAX_ARCHIVES) {
        let Finding { holdings, problems } = archive(path, Links::Refuse);
        finding.holdings.extend(holdings);
        finding.problems.extend(problems);
    }
    finding
}

fn entries(folder: &Path) -> Result<Vec<DirEntry>, FileError> {
    let entries = fs::read_dir(folder).and_then(|entries| entries.take(MAX_ENTRIES).collect());
    entries.map_err(FileError::io("read", folder))
}
