//! The check of every blob: exact size, then digest.

use crate::image::{Descriptor, Digest, Hasher};

/// Takes in a blob's bytes in order and says in the end whether they are what the descriptor promised.
///
/// More bytes than promised are refused as they come, before they are written anywhere.
#[derive(Clone)]
pub struct Verifier {
    expected: Digest,
    size_bytes: u64,
    seen_bytes: u64,
    hasher: Hasher,
}

impl Verifier {
    /// Expects the blob of `descriptor`.
    pub fn new(descriptor: &Descriptor) -> Self {
        Self {
            expected: descriptor.digest.clone(),
            size_bytes: descriptor.size_bytes,
            seen_bytes: 0,
            hasher: Hasher::new(descriptor.digest.algorithm()),
        }
    }

    /// Takes in the next bytes; says no if they are more than the blob has.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        let seen_bytes = self.seen_bytes + bytes.len() as u64;
        if seen_bytes > self.size_bytes {
            return Err(BlobError::TooLong { digest: self.expected.clone(), size_bytes: self.size_bytes });
        }
        self.seen_bytes = seen_bytes;
        self.hasher.update(bytes);
        Ok(())
    }

    /// How many bytes were taken in.
    pub fn seen_bytes(&self) -> u64 {
        self.seen_bytes
    }

    /// Compares size and digest.
    pub fn finish(self) -> Result<VerifiedBlob, BlobError> {
        let Self { expected, size_bytes, seen_bytes, hasher } = self;
        if seen_bytes < size_bytes {
            return Err(BlobError::TooShort { digest: expected, size_bytes, seen_bytes });
        }
        let got = hasher.finish();
        if got != expected {
            return Err(BlobError::WrongDigest { expected, got, size_bytes });
        }
        Ok(VerifiedBlob { digest: expected, size_bytes })
    }
}

/// Proof that a blob's bytes had its digest. Only a [`Verifier`] makes one.
#[derive(Clone, Debug)]
pub struct VerifiedBlob {
    digest: Digest,
    size_bytes: u64,
}

impl VerifiedBlob {
    /// The blob's digest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The blob's size.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}

/// A blob isn't what its descriptor promised.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// More bytes came than the descriptor says.
    #[error("blob {digest} is longer than the {size_bytes} bytes its descriptor says")]
    TooLong {
        /// The blob.
        digest: Digest,
        /// Its size by the descriptor.
        size_bytes: u64,
    },
    /// The bytes ended early.
    #[error("blob {digest} ended after {seen_bytes} of {size_bytes} bytes")]
    TooShort {
        /// The blob.
        digest: Digest,
        /// Its size by the descriptor.
        size_bytes: u64,
        /// The bytes that came.
        seen_bytes: u64,
    },
    /// The bytes hash to something else.
    #[error("expected {expected}, got {got} after {size_bytes} bytes")]
    WrongDigest {
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of what came.
        got: Digest,
        /// How many bytes came.
        size_bytes: u64,
    },
}

impl BlobError {
    /// The blob it is about.
    pub fn digest(&self) -> &Digest {
        match self {
            Self::TooLong { digest, .. } | Self::TooShort { digest, .. } => digest,
            Self::WrongDigest { expected, .. } => expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::MediaType;

    fn verify(promised: &[u8], size_bytes: u64, chunks: &[&[u8]]) -> Result<VerifiedBlob, BlobError> {
        let descriptor = Descriptor::new(MediaType::of("x"), Digest::of(promised), size_bytes);
        let mut verifier = Verifier::new(&descriptor);
        for chunk in chunks {
            verifier.update(chunk)?;
        }
        verifier.finish()
    }

    #[test]
    fn only_the_promised_bytes_verify() {
        assert!(verify(b"layer", 5, &[b"la", b"", b"yer"]).is_ok());
        assert!(matches!(verify(b"layer", 5, &[b"la", b"yeR"]), Err(BlobError::WrongDigest { .. })));
        assert!(matches!(verify(b"layer", 5, &[b"laye"]), Err(BlobError::TooShort { seen_bytes: 4, .. })));
        assert!(matches!(verify(b"layer", 5, &[b"layer", b"s"]), Err(BlobError::TooLong { .. })));
        assert!(matches!(verify(b"layer", 4, &[b"layer"]), Err(BlobError::TooLong { .. })));
    }
}
