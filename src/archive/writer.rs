//! From a plan to a file: [`PartialArchive`] → [`CompleteArchive`] → [`DurableArchive`] → a name.
//!
//! The types carry the promise: only an archive whose every blob was verified in its own region becomes complete,
//! and only a complete one can be committed.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::{Content, Plan, PlannedBlob};
use crate::blob::{RegionWriter, VerifiedBlob};
use crate::fsio::{Existing, FileError, PartialFile};

/// An archive being filled: everything but the blobs is in its place.
#[derive(Debug)]
pub struct PartialArchive {
    plan: Plan,
    file: PartialFile,
}

impl PartialArchive {
    /// Sets the space aside, beside `target`, and writes all that the plan knows. Blocks on the disk.
    pub fn create(plan: Plan, target: &Path, existing: Existing) -> Result<Self, FileError> {
        let file = PartialFile::create(target, plan.size_bytes(), existing)?;
        let writer = file.writer();
        for entry in plan.entries() {
            writer.write_at(&entry.header, entry.offset_bytes)?;
            if let Content::Literal(bytes) = &entry.content {
                writer.write_at(bytes, entry.content_offset_bytes())?;
            }
        }
        Ok(Self { plan, file })
    }

    /// The plan that is being filled.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where `blob` goes.
    pub fn region(&self, blob: &PlannedBlob) -> RegionWriter {
        RegionWriter::new(self.file.writer(), blob.offset_bytes, &blob.descriptor)
    }

    /// Holds the proofs against the plan: each planned blob was verified where the plan has it.
    pub fn complete(self, blobs: &[VerifiedBlob]) -> Result<CompleteArchive, Incomplete> {
        let file = self.file.writer();
        let proofs: HashSet<_> = blobs
            .iter()
            .filter_map(|blob| Some((blob.digest(), blob.size_bytes(), blob.offset_bytes_in(&file)?)))
            .collect();
        let is_missing = |blob: &&PlannedBlob| {
            let descriptor = &blob.descriptor;
            !proofs.contains(&(&descriptor.digest, descriptor.size_bytes, blob.offset_bytes))
        };
        match self.plan.blobs().find(is_missing) {
            Some(blob) => Err(Incomplete(blob.descriptor.digest.clone())),
            None => Ok(CompleteArchive { size_bytes: self.plan.size_bytes(), file: self.file }),
        }
    }
}

/// A blob of the plan was never verified: a fault in sealift, told rather than shipped.
#[derive(Debug, thiserror::Error)]
#[error("blob {0} was not verified in its place")]
pub struct Incomplete(crate::image::Digest);

/// An archive whose every byte is in place and verified.
#[derive(Debug)]
pub struct CompleteArchive {
    size_bytes: u64,
    file: PartialFile,
}

impl CompleteArchive {
    /// Waits until the disk has the archive. Blocks.
    pub fn sync(self) -> Result<DurableArchive, FileError> {
        self.file.sync()?;
        Ok(DurableArchive(self))
    }
}

/// A complete archive that outlives a power cut.
#[derive(Debug)]
pub struct DurableArchive(CompleteArchive);

impl DurableArchive {
    /// Gives the archive its name.
    pub fn commit(self) -> Result<CommittedArchive, FileError> {
        let Self(CompleteArchive { size_bytes, file }) = self;
        Ok(CommittedArchive { path: file.commit()?, size_bytes })
    }
}

/// An archive under its final name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedArchive {
    /// Its path.
    pub path: PathBuf,
    /// Its size.
    pub size_bytes: u64,
}
