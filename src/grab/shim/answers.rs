//! What the shim says it has.

use std::collections::HashSet;

use crate::image::{Algorithm, DiffId, Digest};

/// What a push is for.
#[derive(Clone, Debug, Default)]
pub(in crate::grab) struct Asked {
    /// The layer that is wanted.
    pub(in crate::grab) layer: Option<DiffId>,
    /// Small blobs that are wanted.
    pub(in crate::grab) documents: HashSet<Digest>,
    /// Blobs that are not here: one of them may be the layer.
    pub(in crate::grab) missing: HashSet<Digest>,
    /// Blobs that are none of what is wanted, once they are known: nothing else is here then.
    pub(in crate::grab) others: Option<HashSet<Digest>>,
    /// True if uploads are taken, and thrown away unless they are wanted.
    pub(in crate::grab) takes_uploads: bool,
}

impl Asked {
    /// Does the shim say that it has this blob?
    pub(super) fn has(&self, digest: &Digest) -> bool {
        if self.missing.contains(digest) || self.documents.contains(digest) {
            return false;
        }
        self.others.as_ref().is_none_or(|others| others.contains(digest))
    }

    /// By what uploads are hashed besides SHA-256, which the server does.
    pub(super) fn second_algorithm(&self) -> Option<Algorithm> {
        let mut wanted = self.missing.iter().chain(&self.documents).map(Digest::algorithm);
        wanted.find(|algorithm| *algorithm != Algorithm::Sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_here_but_what_is_wanted() {
        let [wanted, other, unknown, config] = [b"a", b"b", b"c", b"d"].map(|blob| Digest::of(blob));
        let missing = [wanted.clone()].into();
        let asked = Asked { missing, documents: [config.clone()].into(), ..Asked::default() };
        assert!(!asked.has(&wanted) && asked.has(&other) && asked.has(&unknown) && !asked.has(&config));
        let asked = Asked { others: Some([other.clone(), wanted.clone()].into()), ..asked };
        assert!(!asked.has(&wanted) && asked.has(&other) && !asked.has(&unknown));
    }
}
