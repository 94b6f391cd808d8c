//! The documents of an archive, one by one, and what was found wrong on the way.
//!
//! Threats: each is bounded, and all together.

use std::io;

use bytes::Bytes;

use super::{Problem, Problems};
use crate::archive::names::{Names, Place};
use crate::image::config::MAX_CONFIG_BYTES;
use crate::image::{ImageConfig, JsonError};

/// The largest `manifest.json`, `index.json` or `repositories` that is read.
pub(super) const MAX_LIST_BYTES: u64 = 16 << 20;
/// All documents together.
const MAX_DOCUMENT_BYTES: u64 = 128 << 20;

/// Gives the bytes of a content.
pub(super) type Fetch<'a> = &'a dyn Fn(Place) -> io::Result<Option<Bytes>>;

/// An archive's documents on their way to be read.
pub(super) struct Reading<'a> {
    pub(super) names: &'a Names,
    pub(super) problems: Problems,
    fetch: Fetch<'a>,
    read_bytes: u64,
}

impl<'a> Reading<'a> {
    pub(super) fn new(names: &'a Names, fetch: Fetch<'a>) -> Self {
        Self { names, problems: Problems::default(), fetch, read_bytes: 0 }
    }

    /// The bytes of an entry; none if there is no such, or it can't be read, which is told then.
    pub(super) fn document(&mut self, path: &str, limit_bytes: u64) -> Option<Bytes> {
        let place = self.names.place(path)?;
        let size_bytes = place.size_bytes;
        self.read_bytes = self.read_bytes.saturating_add(size_bytes);
        let path = || path.to_owned();
        if size_bytes > limit_bytes || self.read_bytes > MAX_DOCUMENT_BYTES {
            self.problems.push(Problem::DocumentTooLarge { path: path(), size_bytes, limit_bytes });
            return None;
        }
        match (self.fetch)(place) {
            Ok(Some(bytes)) => Some(bytes),
            Ok(None) => {
                let source = io::Error::new(io::ErrorKind::Unsupported, "it went by and can't be read again");
                self.problems.push(Problem::Io { path: path(), source });
                None
            }
            Err(source) => {
                self.problems.push(Problem::Io { path: path(), source });
                None
            }
        }
    }

    /// The config that `named_by` names; none if it is missing or can't be read, which is told.
    pub(super) fn config(&mut self, image: &str, path: &str, named_by: &str) -> Option<ImageConfig> {
        if self.names.place(path).is_none() {
            let (image, what, path) = (image.to_owned(), "config".to_owned(), path.to_owned());
            self.problems.push(Problem::Missing { image, what, path, named_by: named_by.to_owned() });
            return None;
        }
        let bytes = self.document(path, MAX_CONFIG_BYTES)?;
        self.read(path, ImageConfig::parse(bytes))
    }

    /// What was read of a document; none if it could not be, which is told.
    pub(super) fn read<T>(&mut self, path: &str, read: Result<T, JsonError>) -> Option<T> {
        read.map_err(|source| self.problems.push(Problem::Document { path: path.to_owned(), source })).ok()
    }
}
