//! What is asked of a registry, as errors name it.

use std::fmt;

use crate::image::{Digest, Repository};
use crate::source::Selector;

/// What was asked of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A manifest or index.
    Manifest {
        /// Where it should be.
        repository: Repository,
        /// What it was asked for by.
        selector: Selector,
    },
    /// The tags of a repository.
    Tags {
        /// Where they should be.
        repository: Repository,
    },
    /// A repository, to put something into.
    Repository {
        /// Where it should be.
        repository: Repository,
    },
    /// A config or layer.
    Blob {
        /// Where it should be.
        repository: Repository,
        /// Its digest.
        digest: Digest,
    },
}

impl Object {
    /// The repository it was looked for in.
    pub fn repository(&self) -> &Repository {
        match self {
            Self::Manifest { repository, .. }
            | Self::Tags { repository }
            | Self::Repository { repository }
            | Self::Blob { repository, .. } => repository,
        }
    }

    /// Its digest, if it is a blob.
    pub(super) fn blob(&self) -> Option<&Digest> {
        match self {
            Self::Manifest { .. } | Self::Tags { .. } | Self::Repository { .. } => None,
            Self::Blob { digest, .. } => Some(digest),
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest { repository, selector: Selector::Tag(tag) } => {
                write!(formatter, "`{repository}:{tag}`")
            }
            Self::Manifest { repository, selector: Selector::Digest(digest) } => {
                write!(formatter, "`{repository}@{digest}`")
            }
            Self::Tags { repository } => write!(formatter, "the tags of `{repository}`"),
            Self::Repository { repository } => write!(formatter, "`{repository}`"),
            Self::Blob { repository, digest } => write!(formatter, "blob {digest} of `{repository}`"),
        }
    }
}

/// Which part of a name does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The whole repository.
    Repository,
    /// The tag, or the manifest of that digest.
    Manifest,
    /// A blob that a manifest names.
    Blob,
}
