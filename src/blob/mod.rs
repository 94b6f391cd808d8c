//! Verified bytes: a blob's bytes are hashed on their way, and only the hash makes a [`VerifiedBlob`].
//!
//! Neighbours: [`crate::source`] opens the streams, [`crate::archive`] has the regions they are written to.

mod region;
mod verify;

pub use region::{RegionError, RegionWriter};
pub use verify::{BlobError, VerifiedBlob, Verifier};
