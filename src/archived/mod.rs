//! Archives of images that somebody made: opened, their entries indexed, their images read.
//!
//! Takes tars (plain, or packed as a whole with gzip, zstd or xz, or from a pipe) and folders: sealift's archives,
//! `docker save` of any age, docker-archives and OCI archives of skopeo, podman, crane and others, OCI image layouts,
//! and folders of layers as Docker 1.9 wrote them. Nothing is unpacked to a disk.
//!
//! Threats: all of it is foreign. The tar is read by [`crate::archive::reader`], names by [`crate::archive::names`], which
//! bound entries, headers and links. Documents are bounded one by one and together. What an archive says of its layers
//! is a claim: [`Archive::measure`] tells what they are, and whoever takes their bytes hashes them.
//!
//! Neighbours: [`ArchiveSource`] is a [`crate::source::Source`], for the verbs that write them elsewhere;
//! [`crate::verify`] compares what is claimed with what is there.

mod docker;
mod error;
mod image;
mod index;
mod known;
mod legacy;
mod medium;
mod open;
mod outer_folder;
mod problem;
mod reading;
mod resolve;
mod source;
mod unsound;

pub use error::OpenError;
pub use image::{ArchivedImage, ArchivedLayer, Form, ImageName, StoredConfig};
pub use known::Known;
pub use open::{Archive, Contents, Measuring, Progress};
pub use problem::{Problem, Problems};
pub use resolve::Unresolved;
pub use source::ArchiveSource;
pub use unsound::Unsound;
