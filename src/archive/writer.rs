//! From a plan to a file: [`PartialArchive`] → [`CompleteArchive`] → [`DurableArchive`] → a name.
//!
//! The types carry the promise: only an archive whose every blob was verified in its own region becomes complete,
//! and only a complete one can be committed.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::{Content, Plan, PlannedBlob};
use crate::blob::{RegionWriter, VerifiedLayer, WrittenBlob};
use crate::fsio::{Existing, FileError, FileHandle, LeftOver, PartialFile};

/// Less than a block of padding, and the two blocks at the end.
const MAX_ZEROS: usize = 3 * 512;

/// An archive being filled: everything but the layers is in its place.
#[derive(Debug)]
pub struct PartialArchive {
    plan: Plan,
    file: PartialFile,
}

impl PartialArchive {
    /// Sets the space aside, beside `target`, and writes all that the plan knows. What an earlier run of the same plan
    /// left there is kept, for the regions to verify. Blocks on the disk.
    pub fn open(plan: Plan, target: &Path, existing: Existing) -> Result<(Self, LeftOver), FileError> {
        let identity = plan.identity();
        let (file, left_over) = PartialFile::resume(target, plan.least_size_bytes(), existing, &identity)?;
        write_frame(&file.handle(), &plan)?;
        Ok((Self { plan, file }, left_over))
    }

    /// How many bytes an earlier run claims to have written.
    pub fn claimed_bytes(&self) -> u64 {
        self.file.handle().claimed(&(0..u64::MAX)).bytes()
    }

    /// Changes to a plan that differs only in the sizes of inflated layers, and so in what stands after them. Of the
    /// regions of its layers nothing is touched. Blocks on the disk.
    pub fn settle(self, plan: Plan) -> Result<Self, FileError> {
        self.file.resize(plan.size_bytes())?;
        write_frame(&self.file.handle(), &plan)?;
        Ok(Self { plan, ..self })
    }

    /// The plan that is being filled.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where `blob` goes.
    pub fn region(&self, blob: &PlannedBlob) -> RegionWriter {
        RegionWriter::new(self.handle(), blob.offset_bytes, &blob.descriptor)
    }

    /// The file, for layers that are inflated into it.
    pub fn handle(&self) -> FileHandle {
        self.file.handle()
    }

    /// Holds the proofs against the plan: each planned blob and layer was verified where the plan has it.
    pub fn complete(
        self,
        blobs: &[WrittenBlob],
        layers: &[VerifiedLayer],
    ) -> Result<CompleteArchive, Incomplete> {
        let file = self.file.handle();
        let blobs = blobs
            .iter()
            .filter_map(|blob| Some((blob.digest(), blob.size_bytes(), blob.offset_bytes_in(&file)?)));
        let layers = layers.iter().filter_map(|layer| {
            Some((layer.diff_id().digest(), layer.size_bytes(), layer.offset_bytes_in(&file)?))
        });
        let proofs: HashSet<_> = blobs.chain(layers).collect();
        for entry in self.plan.entries() {
            let digest = match &entry.content {
                Content::Nothing | Content::Literal(_) => continue,
                Content::Blob(blob) => &blob.descriptor.digest,
                Content::Inflated(layer) => layer.diff_id.digest(),
            };
            let region = (digest, entry.content_size_bytes(), entry.content_offset_bytes());
            if !proofs.contains(&region) {
                return Err(Incomplete(digest.clone()));
            }
        }
        Ok(CompleteArchive { size_bytes: self.plan.size_bytes(), file: self.file })
    }
}

/// Writes all but the layers: headers, small files, and the zeros after each content and at the end, where a layer
/// may have been before its size was known.
fn write_frame(file: &FileHandle, plan: &Plan) -> Result<(), FileError> {
    let zeros = [0; MAX_ZEROS];
    let mut end_bytes = 0;
    for entry in plan.entries() {
        write_zeros(file, &zeros, end_bytes, entry.offset_bytes)?;
        file.write_at(&entry.header, entry.offset_bytes)?;
        if let Content::Literal(bytes) = &entry.content {
            file.write_at(bytes, entry.content_offset_bytes())?;
        }
        end_bytes = entry.content_offset_bytes() + entry.content_size_bytes();
    }
    write_zeros(file, &zeros, end_bytes, plan.size_bytes())
}

fn write_zeros(file: &FileHandle, zeros: &[u8], from_bytes: u64, to_bytes: u64) -> Result<(), FileError> {
    let missing = usize::try_from(to_bytes - from_bytes).unwrap_or(usize::MAX).min(zeros.len());
    if missing == 0 { Ok(()) } else { file.write_at(&zeros[..missing], from_bytes) }
}

/// A blob or layer of the plan was never verified: a fault in sealift, told rather than shipped.
#[derive(Debug, thiserror::Error)]
#[error("{0} was not verified in its place")]
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
