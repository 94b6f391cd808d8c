//! Small blobs (configs), fetched whole into memory.

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;

use crate::blob::Verifier;
use crate::error::{Error, Result};
use crate::image::{Descriptor, Repository};
use crate::source::Source;

/// Fetches and verifies a blob. The caller has checked that its size is bearable.
pub(super) async fn fetch_small(
    source: &dyn Source,
    repository: &Repository,
    blob: &Descriptor,
) -> Result<Bytes> {
    let refused = |error| Error::in_blob(source, repository.registry())(error);
    let mut stream = source.open_blob(repository, blob, 0..blob.size_bytes).await?;
    let mut verifier = Verifier::new(blob);
    let mut bytes = BytesMut::new();
    while let Some(chunk) = stream.try_next().await? {
        verifier.update(&chunk).map_err(refused)?;
        bytes.extend_from_slice(&chunk);
    }
    verifier.finish().map_err(refused)?;
    Ok(bytes.freeze())
}
