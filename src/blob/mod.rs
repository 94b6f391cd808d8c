//! Verified bytes: a blob's bytes are hashed on their way, and only the hash makes a proof of them.
//!
//! Neighbours: [`crate::source`] opens the streams, [`crate::archive`] has the regions they are written to. Layers are
//! inflated ([`inflate`]) from blobs that were verified before; only of what a daemon sends unasked for it is told on the
//! wire which layer it is ([`take_in`]).

mod hashing;
mod incoming;
pub mod inflate;
mod measure;
mod packing;
mod region;
mod tee;
mod verify;

pub use hashing::HashThread;
pub use incoming::{TakenIn, Unpacking, take_in};
pub use inflate::{Excess, InflateError, Inflated, Inflation, Limits, VerifiedLayer};
pub use measure::{Bounds, Hashes, InflatedContent, Measured, measure};
pub use packing::{Packing, Unpacked};
pub use region::{PartWriter, RegionError, RegionWriter, WrittenBlob};
pub use verify::{BlobError, VerifiedBlob, Verifier};
