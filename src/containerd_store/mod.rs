//! containerd's images on a disk, of a node that runs or of one that never will again.
//!
//! A root (`/var/lib/containerd`) has metadata (`meta.db`, a bolt database: names and what they stand for, by namespace) and
//! content (a file for each blob, by its digest). Nothing is written there, nothing locked: containerd may run meanwhile.
//!
//! ```no_run
//! use std::path::Path;
//! use sealift::containerd_store::Store;
//!
//! let store = Store::open(Path::new("/var/lib/containerd"), "k8s.io")?;
//! for image in store.list()? {
//!     println!("{} {}", image.name, image.target.digest);
//! }
//! let nginx = store.resolve("nginx")?; // as people write it: docker.io/library/nginx:latest
//! println!("{}", store.root().content().path(&nginx.target.digest).display());
//! # Ok::<(), sealift::containerd_store::StoreError>(())
//! ```
//!
//! Threats: disks of dead nodes are damaged, and images come from anywhere. What [`crate::bolt`] hands out is a tree
//! within the file; names are texts that may hold anything; digests parse strictly, so no path leads out of the content
//! store, and links in it are not followed; on another system's disk no link leads to this machine's files. Documents are bounded and hashed before they are read. Whoever takes a blob
//! hashes it.

mod choice;
mod content;
mod error;
mod go;
mod image;
mod inventory;
mod known;
mod meta_db;
mod names;
mod rebuilt;
mod root;
mod snapshots;
mod source;
mod store;
mod system;
mod unpacked;

pub(crate) use choice::two_of_one_name;
pub use choice::{FoundImages, NamedImages, find_images, names_for_archive, names_for_mirror};
pub use content::{BLOBS, Content};
pub use error::StoreError;
pub use go::{Timestamp, written_varint};
pub use image::StoredImage;
pub use inventory::{BlobState, HeldBlob, HeldPlatform, Inventory, LayersFrom};
pub use known::find_root;
pub use rebuilt::{RebuildError, RebuiltImage, RebuiltLayer, RebuiltSource, rebuilt, under_one_index};
pub use root::{META_DB, Root};
pub use snapshots::Snapshots;
pub use source::StoreSource;
pub use store::Store;
