//! One blob into one repository: there, mounted, or sent; hashed on its way.
//!
//! What a source gives is believed by nobody: the last bytes go out only when all have the blob's digest. What fails and may
//! pass is tried again from where the registry says that it is, or from the start. A blob goes in one request, but in
//! pieces where such a one broke for good or was refused as too large, so that the next cut costs a piece.

use bytes::{Buf, Bytes};
use futures::stream::{self, Stream};
use futures::{StreamExt, TryStreamExt};

use super::{ImageToPush, Places, Push};
use crate::attempts::Attempts;
use crate::blob::{BlobError, Verifier};
use crate::error::{Error, Result};
use crate::event::{Event, Warning};
use crate::image::{Descriptor, MediaType, Repository};
use crate::registry::{Begun, RegistryError, Retry, SendError, Upload};
use crate::source::{BlobStream, SourceError};

/// What goes at once where all at once is too much.
const PIECE_BYTES: u64 = 8 << 20;

/// How a blob came to be where it was to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// The registry had it there.
    WasThere,
    /// It had it in another repository.
    Mounted,
    /// It was sent.
    Sent,
    /// The source does not have it, and registries need not: a foreign layer.
    LeftOut,
}

/// In how many requests a blob goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Whole,
    Pieces,
    /// As the registry takes no pieces.
    OnlyWhole,
}

/// A blob under way.
struct Transfer {
    upload: Option<Upload>,
    is_started: bool,
    /// True if the registry has to be asked how far it came.
    is_broken: bool,
    /// How much the registry has.
    at_bytes: u64,
    /// The furthest it ever came.
    best_bytes: u64,
    /// What was told as progress.
    told_bytes: u64,
    /// What was read of the blob since the upload was begun.
    verifier: Verifier,
    way: Way,
}

impl Push<'_> {
    /// Makes sure that the image's repository at the registry has `blob`.
    pub(super) async fn place_blob(
        &self,
        places: &Places,
        image: &ImageToPush,
        blob: &Descriptor,
    ) -> Result<Placed> {
        let known = places.of(&blob.digest);
        let mut known = known.lock().await; // before a turn is taken: who waits for another needs none
        let to = image.to.repository();
        if known.contains(to) {
            return Ok(Placed::WasThere);
        }
        // The semaphore is never closed.
        let _turn = places.turns.acquire().await;
        let (digest, size_bytes) = (&blob.digest, blob.size_bytes);
        if self.is_elsewhere(image, blob).await? {
            return Ok(Placed::LeftOut);
        }
        let how = self.transfer(image, blob, known.first()).await?;
        match how {
            Placed::Sent => self.reporter.report(Event::BlobVerified { digest }),
            _ if known.is_empty() => self.reporter.report(Event::BlobSkipped { digest, size_bytes }),
            _ => {} // it was told of the first
        }
        known.push(to.clone());
        Ok(how)
    }

    /// True if the source does not have a layer that registries need not have either.
    async fn is_elsewhere(&self, image: &ImageToPush, blob: &Descriptor) -> Result<bool> {
        if !matches!(blob.media_type, MediaType::Layer(kind) if kind.foreign) {
            return Ok(false);
        }
        let look = self.source.open_blob(&image.from, blob, 0..blob.size_bytes.min(1)).await;
        match look {
            Err(error) if error.is_missing() => {
                let (origin, digest) = (self.origin.to_owned(), Box::new(blob.digest.clone()));
                self.reporter.report(Event::Warning(&Warning::ForeignLeftOut { origin, digest }));
                self.reporter
                    .report(Event::BlobSkipped { digest: &blob.digest, size_bytes: blob.size_bytes });
                Ok(true)
            }
            // Whatever else is wrong will be told when it is sent.
            _ => Ok(false),
        }
    }

    async fn transfer(
        &self,
        image: &ImageToPush,
        blob: &Descriptor,
        mut elsewhere: Option<&Repository>,
    ) -> Result<Placed> {
        let mut attempts = Attempts::new(self.retries);
        let mut transfer = Transfer {
            upload: None,
            is_started: false,
            is_broken: false,
            at_bytes: 0,
            best_bytes: 0,
            told_bytes: 0,
            verifier: Verifier::new(blob),
            way: Way::Whole,
        };
        loop {
            let error = match self.advance(&mut transfer, image, blob, elsewhere).await {
                Ok(placed) => return Ok(placed),
                Err(error) => error,
            };
            if transfer.at_bytes > transfer.best_bytes {
                transfer.best_bytes = transfer.at_bytes;
                attempts.progressed();
            }
            if let Error::Source(SourceError::Registry(RegistryError::NewToken { .. })) = error {
                transfer.is_broken = false; // it took nothing
            }
            if transfer.changed_way(&error, blob.size_bytes) {
                continue;
            }
            if let Error::Damaged { .. } = error {
                if let Some(upload) = transfer.upload.take() {
                    upload.cancel().await;
                }
                if !self.source.distrust(&image.from, blob) {
                    return Err(error);
                }
                continue;
            }
            let (error, delay) = attempts.failed(error).map_err(|error| match error {
                Error::GaveUp { .. } => Error::NotSent {
                    digest: blob.digest.clone(),
                    registry: image.to.registry().clone(),
                    has_bytes: transfer.at_bytes,
                    size_bytes: blob.size_bytes,
                    source: Box::new(error),
                },
                other => other,
            })?;
            self.reporter.report(Event::Retrying { what: &blob.digest.to_string(), error: &error, delay });
            tokio::time::sleep(delay).await;
            elsewhere = None;
        }
    }

    /// Gets on with a blob, to its end or an error.
    async fn advance(
        &self,
        transfer: &mut Transfer,
        image: &ImageToPush,
        blob: &Descriptor,
        elsewhere: Option<&Repository>,
    ) -> Result<Placed> {
        let (to, digest, size_bytes) = (image.to.repository(), &blob.digest, blob.size_bytes);
        transfer.find_place().await?;
        let Transfer { upload, is_started, is_broken, at_bytes, told_bytes, verifier, way, .. } = transfer;
        let upload = match upload {
            Some(upload) => upload,
            none @ None => {
                let begun = match elsewhere {
                    Some(from) => self.client.mount_blob(from, to, digest).await?,
                    None if self.has_blob(to, digest).await? => return Ok(Placed::WasThere),
                    None => Begun::Upload(self.client.begin_upload(to, digest).await?),
                };
                let Begun::Upload(begun) = begun else { return Ok(Placed::Mounted) };
                (*is_broken, *at_bytes, *verifier) = (false, 0, Verifier::new(blob));
                if !std::mem::replace(is_started, true) {
                    self.reporter.report(Event::BlobStarted { digest, size_bytes });
                }
                none.insert(begun)
            }
        };
        if size_bytes == 0 {
            verifier.clone().finish().map_err(|error| self.damaged(error))?;
        }
        loop {
            let end = match way {
                Way::Whole | Way::OnlyWhole => size_bytes,
                Way::Pieces => size_bytes.min(*at_bytes + PIECE_BYTES.max(upload.min_piece_bytes())),
            };
            let range = *at_bytes..end;
            let stream = self.source.open_blob(&image.from, blob, range.clone()).await?;
            let checked = self.checked(stream, range.clone(), verifier, told_bytes, blob);
            *is_broken = true;
            *at_bytes = upload.send(range, size_bytes, checked).await.map_err(|error| match error {
                SendError::Body(error) => error,
                SendError::Registry(error) => error.into(),
            })?;
            *is_broken = false;
            if *at_bytes == size_bytes && end == size_bytes {
                return Ok(Placed::Sent);
            }
        }
    }

    /// The bytes of a stream that begins at `range`, hashed as far as they were not before. Those with which the blob is
    /// complete are handed on only if it is what its digest says.
    fn checked<'s>(
        &'s self,
        stream: BlobStream,
        range: std::ops::Range<u64>,
        verifier: &'s mut Verifier,
        told_bytes: &'s mut u64,
        blob: &'s Descriptor,
    ) -> impl Stream<Item = Result<Bytes>> + Send + 's {
        let begin = (stream, range.start, verifier, told_bytes);
        let end = range.end;
        let next = move |(mut stream, at, verifier, told_bytes): (
            BlobStream,
            u64,
            &'s mut Verifier,
            &'s mut u64,
        )| async move {
            let Some(chunk) = stream.try_next().await? else {
                return if at < end { Err(self.damaged(too_short(verifier))) } else { Ok(None) };
            };
            let mut new = chunk.clone();
            let known_bytes = verifier.seen_bytes().saturating_sub(at);
            new.advance(usize::try_from(known_bytes).unwrap_or(usize::MAX).min(chunk.len()));
            verifier.update(&new).map_err(|error| self.damaged(error))?;
            if verifier.seen_bytes() == blob.size_bytes {
                verifier.clone().finish().map_err(|error| self.damaged(error))?;
            }
            let bytes = verifier.seen_bytes().saturating_sub(*told_bytes);
            if bytes > 0 {
                *told_bytes += bytes;
                self.reporter.report(Event::BlobProgressed { digest: &blob.digest, bytes });
            }
            let at = at + chunk.len() as u64;
            Ok(Some((chunk, (stream, at, verifier, told_bytes))))
        };
        stream::try_unfold(begin, next).boxed()
    }
}

impl Push<'_> {
    fn damaged(&self, source: BlobError) -> Error {
        Error::Damaged { origin: self.origin.to_owned(), source }
    }
}

impl Transfer {
    /// After a break: where the registry is. It may have nothing, or have given the upload up: then a new one is begun.
    async fn find_place(&mut self) -> Result<()> {
        let Some(upload) = self.upload.as_mut().filter(|_| self.is_broken) else { return Ok(()) };
        match upload.received_bytes().await {
            Ok(bytes) if 0 < bytes && bytes <= self.verifier.seen_bytes() => {
                (self.at_bytes, self.is_broken) = (bytes, false);
                return Ok(());
            }
            Err(error)
                if !matches!(error, RegistryError::UploadLost { .. }) && error.retry() != Retry::Never =>
            {
                return Err(error.into());
            }
            Ok(_) | Err(_) => {}
        }
        (self.upload, self.at_bytes) = (None, 0);
        if self.way == Way::Whole {
            self.way = Way::Pieces;
        }
        Ok(())
    }

    /// True if the registry does not take the blob this way, and another is worth trying.
    fn changed_way(&mut self, error: &Error, size_bytes: u64) -> bool {
        let Error::Source(SourceError::Registry(error)) = error else { return false };
        self.way = match (self.way, error) {
            (Way::Whole, RegistryError::BodyTooLarge { .. }) if size_bytes > PIECE_BYTES => Way::Pieces,
            (Way::Pieces, RegistryError::UploadLost { .. }) if self.is_broken => Way::OnlyWhole,
            (Way::Pieces, RegistryError::UnexpectedStatus { .. } | RegistryError::WebPage { .. })
                if error.retry() == Retry::Never =>
            {
                Way::OnlyWhole
            }
            _ => return false,
        };
        (self.upload, self.at_bytes) = (None, 0);
        true
    }
}

fn too_short(verifier: &Verifier) -> BlobError {
    match verifier.clone().finish() {
        Err(error) => error,
        Ok(blob) => BlobError::TooShort {
            digest: blob.digest().clone(),
            size_bytes: blob.size_bytes(),
            seen_bytes: blob.size_bytes(),
        },
    }
}
