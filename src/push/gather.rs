//! Gather: a name at the source → what goes to the registry under it: an index with all it names, or the one manifest
//! that is there, each by its own digest.
//!
//! An archive of one platform has the index that led there, and not the other platforms. An index can't be at a registry
//! without what it names, so then the platform's manifest takes its place, or for several an index of those.

use std::collections::HashSet;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{ImageToPush, Push, SourceImage, TypedDocument};
use crate::error::Result;
use crate::event::{Event, Warning};
use crate::image::manifest::{ManifestError, Parsed};
use crate::image::{Descriptor, Digest, Document, Manifest, Reference, Repository};
use crate::source::Selector;

/// Indexes of indexes exist; deeper nests than this are somebody's joke.
const MAX_INDEX_DEPTH: usize = 4;
/// How many documents one name may lead to.
const MAX_DOCUMENTS: usize = 1000;

/// What a name leads to can't be pushed.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// A document that is no manifest or index.
    #[error("{digest}, which `{name}` leads to, can't be used")]
    Manifest {
        /// The name.
        name: String,
        /// The document.
        digest: Digest,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// An index, and none of the manifests it names.
    #[error("`{name}` is an index of {named} images, and none of them is there")]
    Nothing {
        /// The name.
        name: String,
        /// How many it names.
        named: usize,
    },
    /// Indexes in indexes, too deep or too many.
    #[error(
        "`{name}` leads to more than {MAX_DOCUMENTS} documents, or through more than {MAX_INDEX_DEPTH} indexes"
    )]
    TooMany {
        /// The name.
        name: String,
    },
}

/// What is there below a document.
#[derive(Default)]
struct Found {
    /// True if all it names is.
    is_whole: bool,
    /// The documents, each after those it names; the last is the document itself.
    documents: Vec<TypedDocument>,
    /// The manifests among them, as the indexes name them.
    manifests: Vec<Descriptor>,
    /// How many manifests are named.
    named: usize,
    blobs: Vec<Descriptor>,
}

impl Push<'_> {
    /// Gathers what `image` stands for, to be pushed as `to`.
    pub async fn gather(&self, image: &SourceImage, to: Reference) -> Result<ImageToPush> {
        // What has no name is had by its digest alone, from wherever.
        let from = image.name.as_ref().unwrap_or(&to).repository().clone();
        let name = image.to_string();
        let document = self.source.fetch_manifest(&from, &image.target).await?;
        let mut search = Search { push: self, from: &from, name: &name, left: MAX_DOCUMENTS };
        let Found { is_whole, mut documents, manifests, named, mut blobs } =
            search.look_into(document, None, 0).await?;
        let nothing = || GatherError::Nothing { name: name.clone(), named };
        let index = documents.pop().ok_or_else(nothing)?;
        let root = if is_whole {
            index
        } else {
            self.reporter.report(Event::Warning(&Warning::NotWhole {
                origin: self.origin.to_owned(),
                name: name.clone(),
                there: manifests.len(),
                named,
            }));
            match &manifests[..] {
                [] => return Err(nothing().into()),
                [_] => documents.pop().ok_or_else(nothing)?,
                several => TypedDocument {
                    document: Document::index_of(index.media_type.clone(), several),
                    media_type: index.media_type,
                },
            }
        };
        let mut known = HashSet::new();
        documents.retain(|one| known.insert(one.document.digest().clone()));
        known.clear();
        blobs.retain(|blob| known.insert(blob.digest.clone()));
        // The largest go first, so that none is waited for alone at the end.
        blobs.sort_by_key(|blob| std::cmp::Reverse(blob.size_bytes));
        Ok(ImageToPush { name, from, to, root, children: documents, blobs })
    }
}

/// The way from a name to all that is there below it.
struct Search<'a> {
    push: &'a Push<'a>,
    from: &'a Repository,
    name: &'a str,
    /// How many documents it may still lead to.
    left: usize,
}

impl Search<'_> {
    /// Reads `document`, which an index named as `entry`, and all that is there below it.
    fn look_into(
        &mut self,
        document: Document,
        entry: Option<Descriptor>,
        depth: usize,
    ) -> BoxFuture<'_, Result<Found>> {
        async move {
            let too_many = || GatherError::TooMany { name: self.name.to_owned() };
            self.left = self.left.checked_sub(1).ok_or_else(too_many)?;
            let parsed = document.parse().map_err(|source| GatherError::Manifest {
                name: self.name.to_owned(),
                digest: document.digest().clone(),
                source,
            })?;
            let media_type = parsed.media_type().clone();
            let index = match parsed {
                Parsed::Manifest(manifest) => {
                    let entry = entry.unwrap_or_else(|| document.descriptor(media_type.clone()));
                    let blobs = blobs_of(*manifest);
                    let documents = vec![TypedDocument { document, media_type }];
                    return Ok(Found { is_whole: true, documents, manifests: vec![entry], named: 1, blobs });
                }
                Parsed::Index(_) if depth == MAX_INDEX_DEPTH => {
                    return Err(GatherError::TooMany { name: self.name.to_owned() }.into());
                }
                Parsed::Index(index) => index,
            };
            let mut found =
                Found { is_whole: names_so_many(&document, index.manifests.len()), ..Found::default() };
            for entry in index.manifests {
                let selector = Selector::Digest(entry.digest.clone());
                match self.push.source.fetch_manifest(self.from, &selector).await {
                    Ok(child) => {
                        let mut below = self.look_into(child, Some(entry), depth + 1).await?;
                        if !below.is_whole {
                            below.documents.pop(); // an index that can't be pushed
                        }
                        found.is_whole &= below.is_whole;
                        found.documents.extend(below.documents);
                        found.manifests.extend(below.manifests);
                        found.named += below.named;
                        found.blobs.extend(below.blobs);
                    }
                    Err(error) if error.is_missing() => {
                        found.is_whole = false;
                        found.named += 1;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            found.documents.push(TypedDocument { document, media_type });
            Ok(found)
        }
        .boxed()
    }
}

fn blobs_of(manifest: Manifest) -> Vec<Descriptor> {
    let mut blobs = manifest.layers;
    blobs.push(manifest.config);
    blobs
}

/// True if an index names so many manifests: there are none of a kind that can't be read.
fn names_so_many(index: &Document, count: usize) -> bool {
    #[derive(Deserialize)]
    struct Entries {
        manifests: Option<Vec<IgnoredAny>>,
    }
    let entries = serde_json::from_slice::<Entries>(index.bytes()).ok().and_then(|entries| entries.manifests);
    entries.map_or(0, |entries| entries.len()) == count
}
