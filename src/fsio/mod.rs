//! Files that appear whole or not at all: written as `<name>.partial`, fsynced, renamed.
//!
//! What a run wrote before it ended is written down in a journal, for the next to carry on from.
//!
//! [`PartialFile`] is the only way to a final name; nothing else in sealift creates a file under one. [`write_whole`] is
//! that for small files, [`PartialFolder`] that for folders. [`ScratchFile`] never comes to a name. [`FileHandle`] writes and
//! reads an open file at offsets, from any thread, [`WriteBehind`] one after the other. [`open_regular`] and [`ForeignFolder`]
//! open files that others made, [`copy_range`] copies from them. [`blocking`] is where all that may wait, [`of_each`] does it for many
//! files side by side.

mod blocking;
mod copy;
mod each;
mod error;
mod foreign;
mod handle;
mod journal;
mod left_over;
mod open_files;
mod partial;
mod partial_folder;
mod private;
mod ranges;
mod scratch;
mod space;
mod stream;
mod target;
mod whole;
mod write_behind;

pub use blocking::{Waiting, blocking};
pub use copy::{CopyError, copy_range};
pub use each::of_each;
pub use error::FileError;
pub use foreign::{ForeignFolder, Links, open_regular};
#[cfg(target_os = "linux")]
pub(crate) use handle::begin_to_sync;
pub use handle::{FileHandle, HandleReader};
pub use left_over::LeftOver;
pub use open_files::allow_open_files;
pub use partial::PartialFile;
pub use partial_folder::PartialFolder;
pub use private::replace_private;
pub use ranges::Ranges;
pub use scratch::{LONGEST_SUFFIX, ScratchFile, nameless_beside, remove_unfinished, scratch_path};
pub use space::{FAT32_MAX_FILE_BYTES, RESERVED_BYTES, Space, check_room, check_room_for_tree, space};
pub use stream::stream_range;
pub use target::{Existing, check_folder, check_target, folder_of};
pub use whole::{write_program, write_whole};
pub use write_behind::WriteBehind;
