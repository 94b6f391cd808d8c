//! How far a request reaches: which repository, and what it does there. Tokens are asked for by this (distribution's "Token
//! Scope Documentation").

use crate::image::Repository;

/// What a request does, and where.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reach<'a> {
    /// It reads.
    Pull(&'a Repository),
    /// It writes, and looks at what is there before.
    Push(&'a Repository),
    /// It makes a blob of one repository one of another, too.
    Mount { from: &'a Repository, to: &'a Repository },
}

impl<'a> Reach<'a> {
    /// The repository the request is for.
    pub(super) fn repository(self) -> &'a Repository {
        match self {
            Self::Pull(repository) | Self::Push(repository) | Self::Mount { to: repository, .. } => {
                repository
            }
        }
    }

    /// What its token has to allow, if the registry doesn't say.
    pub(super) fn scope(self) -> String {
        let path = self.repository().path();
        match self {
            Self::Pull(_) => format!("repository:{path}:pull"),
            Self::Push(_) => format!("repository:{path}:pull,push"),
            Self::Mount { from, .. } => {
                format!("repository:{path}:pull,push repository:{}:pull", from.path())
            }
        }
    }

    /// True if it only reads: then the registry's word on what the token has to allow is enough. One that writes begins
    /// by looking, and what a look needs is less.
    pub(super) fn is_pull(self) -> bool {
        matches!(self, Self::Pull(_))
    }
}
