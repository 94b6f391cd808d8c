//! A layer of its snapshot, in the form that gives the diff ID it had.

use std::io::{self, Write};
use std::path::Path;

use super::{RebuildError, RebuiltLayer};
use crate::fsio::{FileHandle, ScratchFile};
use crate::image::{Digest, Hasher};
use crate::overlay::{Form, write_layer};

impl RebuiltLayer {
    /// The layer as containerd or Docker writes it, if that is the one; else with all there is.
    pub(super) fn of(upper: &Path, number: usize, wanted: &Digest) -> Result<Self, RebuildError> {
        let mut layer = Self::written(upper, number, wanted, Form::Containerd)?;
        for form in [Form::Docker, Form::Full] {
            if !layer.is_exact {
                layer = Self::written(upper, number, wanted, form)?;
            }
        }
        Ok(layer)
    }

    fn written(upper: &Path, number: usize, wanted: &Digest, form: Form) -> Result<Self, RebuildError> {
        let file = ScratchFile::temporary(0)?.handle();
        let hasher = Hasher::new(wanted.algorithm());
        let mut output = Output { file: file.clone(), position_bytes: 0, hasher };
        let mut left_out = Vec::new();
        let written = write_layer(upper, form, &mut output, &mut |one| left_out.push(one.to_string()))?;
        let (diff_id, size_bytes) = (output.hasher.finish(), written.size_bytes);
        let is_exact = diff_id == *wanted;
        Ok(Self { number, is_exact, left_out, diff_id, size_bytes, file })
    }
}

/// A layer on its way to its file.
struct Output {
    file: FileHandle,
    position_bytes: u64,
    hasher: Hasher,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(bytes, self.position_bytes).map_err(io::Error::other)?;
        self.hasher.update(bytes);
        self.position_bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
