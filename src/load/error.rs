//! Why an archive and a daemon don't go together.

use std::path::PathBuf;

use crate::image::{Digest, Platform};

/// An archive can't be loaded, or was not loaded right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// It came through a pipe, and can't be read again.
    #[error("what came through a pipe can't be read again")]
    WentBy,
    /// Images are for machines of another kind.
    #[error("{daemon} runs {wanted}, {}", in_words(.images))]
    OtherPlatform {
        /// The daemon.
        daemon: &'static str,
        /// What it runs.
        wanted: Box<Platform>,
        /// The images, with what they are for.
        images: Vec<(String, Vec<Platform>)>,
    },
    /// The daemon's disk has too little room.
    #[error("the archive has {size_bytes} bytes, the disk of {} has {free_bytes} free", .folder.display())]
    NoRoom {
        /// Where the daemon keeps images.
        folder: PathBuf,
        /// The archive's size.
        size_bytes: u64,
        /// What the file system has left.
        free_bytes: u64,
    },
    /// New names are for one image.
    #[error("`--tag` names one image, and there are {0} in the archive")]
    OneImageOnly(usize),
    /// The daemon has images by name only.
    #[error("{daemon} has images by their names only, and the archive gives {id} none")]
    Nameless {
        /// The daemon.
        daemon: &'static str,
        /// The image's config.
        id: Digest,
    },
    /// The daemon found no fault with the archive, but an image is not there.
    #[error("{daemon} took the archive, but has no {image} now")]
    Missing {
        /// The daemon.
        daemon: &'static str,
        /// The image's name or ID.
        image: String,
    },
    /// What the daemon has by the name is something else, or not whole.
    #[error("{daemon} took the archive, but its {image} is not the archive's: {found}")]
    Another {
        /// The daemon.
        daemon: &'static str,
        /// The image's name or ID.
        image: String,
        /// What the daemon has.
        found: Digest,
    },
}

fn in_words(images: &[(String, Vec<Platform>)]) -> String {
    let one = |(name, platforms): &(String, Vec<Platform>)| {
        let platforms: Vec<_> = platforms.iter().map(ToString::to_string).collect();
        format!("{name} is for {}", platforms.join(" and "))
    };
    images.iter().map(one).collect::<Vec<_>>().join(", ")
}
