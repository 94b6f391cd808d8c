//! The documents of an archive, one by one, and what was found wrong on the way.
//!
//! Threats: each is bounded, and all together.

use std::io;

use bytes::Bytes;

use super::Problem;
use crate::archive::names::{Names, Place};
use crate::image::config::MAX_CONFIG_BYTES;
use crate::image::{ImageConfig, JsonError};

/// The largest `manifest.json`, `index.json` or `repositories` that is read.
pub(super) const MAX_LIST_BYTES: u64 = 16 << 20;
/// All documents together.
const MAX_DOCUMENT_BYTES: u64 = 128 << 20;

/// Layers of all images together.
const MAX_LAYERS: usize = 200_000;

/// Gives the bytes of a content.
pub(super) type Fetch<'a> = &'a dyn Fn(Place) -> io::Result<Option<Bytes>>;

/// An archive's documents on their way to be read.
pub(super) struct Reading<'a> {
    pub(super) names: &'a Names,
    pub(super) problems: Vec<Problem>,
    fetch: Fetch<'a>,
    read_bytes: u64,
    layers: usize,
}

impl<'a> Reading<'a> {
    pub(super) fn new(names: &'a Names, fetch: Fetch<'a>) -> Self {
        Self { names, problems: Vec::new(), fetch, read_bytes: 0, layers: 0 }
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

    /// False, once and for all that follow, if with so many layers more there are more than are looked at.
    pub(super) fn take_layers(&mut self, count: usize) -> bool {
        let was_over = self.layers > MAX_LAYERS;
        self.layers = self.layers.saturating_add(count);
        let is_over = self.layers > MAX_LAYERS;
        if is_over && !was_over {
            self.problems.push(Problem::TooManyLayers { limit: MAX_LAYERS });
        }
        !is_over
    }

    /// The config in an entry; none if it is missing or can't be read, which is told.
    pub(super) fn config(&mut self, image: &str, path: &str) -> Option<ImageConfig> {
        if self.names.place(path).is_none() {
            let (image, what, path) = (image.to_owned(), "config".to_owned(), path.to_owned());
            self.problems.push(Problem::Missing { image, what, path });
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
