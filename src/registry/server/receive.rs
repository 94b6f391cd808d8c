//! A blob on its way in: hashed as it comes, kept only as what it turned out to be.
//!
//! Every blob enters storage through [`Receiving::finish`], and no other place commits one.

use std::time::Instant;

use bytes::Bytes;

use super::ServerError;
use super::store::{Store, Upload};
use crate::image::{Algorithm, Digest, Hasher};

/// An unfinished blob. Dropped, nothing of it stays.
pub(super) struct Receiving {
    upload: Box<dyn Upload>,
    algorithm: Algorithm,
    hasher: Hasher,
    size_bytes: u64,
    touched: Instant,
}

impl Receiving {
    /// Begins a blob whose digest will most likely be of `algorithm`.
    pub(super) async fn start(store: &Store, algorithm: Algorithm) -> Result<Self, ServerError> {
        let upload = store.storage().start_upload().await?;
        Ok(Self { upload, algorithm, hasher: Hasher::new(algorithm), size_bytes: 0, touched: Instant::now() })
    }

    /// How many bytes are here.
    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// When bytes last came.
    pub(super) fn touched(&self) -> Instant {
        self.touched
    }

    /// Takes in the next bytes. After an error it must be dropped.
    pub(super) async fn append(&mut self, bytes: Bytes) -> Result<(), ServerError> {
        self.hasher.update(&bytes);
        self.size_bytes += bytes.len() as u64;
        self.touched = Instant::now();
        self.upload.append(bytes).await
    }

    /// Makes it a blob if it is what `expected` says.
    pub(super) async fn finish(mut self, expected: Digest) -> Result<Digest, ServerError> {
        let got = if expected.algorithm() == self.algorithm {
            self.hasher.finish()
        } else {
            self.upload.digest(expected.algorithm()).await?
        };
        if got != expected {
            return Err(ServerError::DigestMismatch { expected, got });
        }
        self.upload.commit(expected.clone()).await?;
        Ok(expected)
    }
}
