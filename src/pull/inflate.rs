//! Inflate: layers whose size nobody knows before they were inflated.
//!
//! Their blobs go, compressed, into a scratch file (the spool), each to its region and verified like any blob; only
//! then are they inflated, on as many threads as there are cores. Where a layer goes depends on the sizes of those
//! before it. Most blobs say how large they will be, so a layer is inflated to where it belongs by those hints as it
//! arrives. When all are through, the true sizes are known, and what a wrong hint misplaced, or no hint placed, is
//! inflated once more. To a pipe nothing can be placed twice: there the first pass only measures.

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};

use futures::channel::mpsc;
use futures::{StreamExt, TryStreamExt, future, stream};
use tokio::sync::Semaphore;

use super::{Pull, blocking};
use crate::archive::{InflatedLayer, PartialArchive, Plan};
use crate::blob::{InflateError, Inflated, Inflation, RegionWriter, VerifiedLayer, WrittenBlob};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::fsio::{FileError, FileHandle, ScratchFile};
use crate::image::Digest;

/// Room on disk for the compressed blobs of a plan's inflated layers.
pub(super) struct Spool {
    plan: Plan,
    file: ScratchFile,
}

impl Spool {
    /// How much room the blobs of `plan` need.
    pub(super) fn size_bytes(plan: &Plan) -> u64 {
        plan.inflated().map(|layer| layer.descriptor.size_bytes).sum()
    }

    /// The layers, each with where its blob goes.
    fn regions(&self) -> impl Iterator<Item = (&InflatedLayer, RegionWriter)> {
        let mut end_bytes = 0;
        self.plan.inflated().map(move |layer| {
            let region = RegionWriter::new(self.file.handle(), end_bytes, &layer.descriptor);
            end_bytes += layer.descriptor.size_bytes;
            (layer, region)
        })
    }
}

/// A layer that was inflated once.
pub(super) struct Arrived {
    layer: InflatedLayer,
    blob: WrittenBlob,
    inflated: Inflated,
}

/// All inflated layers of an archive, their sizes known.
pub(super) struct Layers(Vec<Arrived>);

impl Layers {
    /// The archive with its true sizes.
    pub(super) async fn settle(&self, archive: PartialArchive) -> Result<PartialArchive> {
        let sizes: HashMap<_, _> =
            self.0.iter().map(|one| (&one.layer.descriptor.digest, one.inflated.size_bytes)).collect();
        let plan = archive.plan().with_sizes(|digest| sizes.get(digest).copied())?;
        Ok(blocking(move || archive.settle(plan)).await?)
    }
}

impl Pull<'_> {
    /// Makes the spool for `plan` in a scratch file of the size it needs.
    pub(super) async fn spool(
        &self,
        plan: &Plan,
        create: impl FnOnce(u64) -> Result<ScratchFile, FileError> + Send + 'static,
    ) -> Result<Spool> {
        let size_bytes = Spool::size_bytes(plan);
        Ok(Spool { plan: plan.clone(), file: blocking(move || create(size_bytes)).await? })
    }

    /// Fetches the layers to inflate, and inflates each as it comes, to where it goes by what is known then.
    pub(super) async fn inflate_on_arrival(
        &self,
        spool: &Spool,
        archive: &PartialArchive,
        connections: &Semaphore,
    ) -> Result<Layers> {
        let places = Places { plan: archive.plan().clone(), sizes: Mutex::default() };
        let places = &places;
        let hint = |layer: &InflatedLayer, blob: &WrittenBlob| {
            // Two small reads of what was just written.
            if let Some(size_bytes) =
                (Inflation { blob, limits: self.limits, progress: &|_| true }).size_hint()
            {
                places.learn(layer, size_bytes);
            }
        };
        let layers = self.arrivals(spool, connections, hint, move |layer, blob| async move {
            let inflated = match places.place_of(&layer) {
                Some((offset_bytes, room_bytes)) => {
                    self.inflate_to(archive.handle(), &layer, &blob, offset_bytes, room_bytes).await?
                }
                None => Inflated { size_bytes: self.measure(&blob).await?, layer: None },
            };
            places.learn(&layer, inflated.size_bytes);
            Ok(Arrived { layer, blob, inflated })
        });
        Ok(Layers(layers.await?))
    }

    /// Inflates what is not yet where it belongs.
    pub(super) async fn inflate_the_rest(
        &self,
        archive: &PartialArchive,
        layers: Layers,
    ) -> Result<Vec<VerifiedLayer>> {
        let places: HashMap<&Digest, u64> =
            archive.plan().inflated().map(|layer| (&layer.descriptor.digest, layer.offset_bytes)).collect();
        let file = archive.handle();
        let (places, file) = (&places, &file);
        let inflations = layers.0.into_iter().map(|Arrived { layer, blob, inflated }| async move {
            let offset_bytes = places.get(&layer.descriptor.digest).copied().unwrap_or_default();
            if let Some(done) = inflated.layer
                && done.offset_bytes_in(file) == Some(offset_bytes)
            {
                return Ok::<_, Error>(Some(done));
            }
            let inflated = self.inflate_to(file.clone(), &layer, &blob, offset_bytes, None).await?;
            Ok(inflated.layer)
        });
        let done: Vec<_> = stream::iter(inflations).buffer_unordered(threads()).try_collect().await?;
        Ok(done.into_iter().flatten().collect())
    }

    /// Fetches the layers to inflate and learns their sizes: the plan with all of them, and the blobs.
    pub(super) async fn measure_all(
        &self,
        spool: &Spool,
        connections: &Semaphore,
    ) -> Result<(Plan, HashMap<Digest, WrittenBlob>)> {
        let measured = self.arrivals(
            spool,
            connections,
            |_, _| (),
            |_, blob| async move {
                let size_bytes = self.measure(&blob).await?;
                Ok((blob.digest().clone(), (size_bytes, blob)))
            },
        );
        let measured: HashMap<_, _> = measured.await?.into_iter().collect();
        let plan = spool.plan.with_sizes(|digest| measured.get(digest).map(|(size_bytes, _)| *size_bytes))?;
        Ok((plan, measured.into_iter().map(|(digest, (_, blob))| (digest, blob)).collect()))
    }

    /// Fetches the spool's blobs, and does `work` on each, in the plan's order, on a thread a core. Fetching goes on
    /// meanwhile. `look` sees each first, so that those before a blob have all been seen when work on it begins.
    async fn arrivals<T, F: Future<Output = Result<T>>>(
        &self,
        spool: &Spool,
        connections: &Semaphore,
        look: impl Fn(&InflatedLayer, &WrittenBlob),
        work: impl Fn(InflatedLayer, WrittenBlob) -> F,
    ) -> Result<Vec<T>> {
        let (arrived, arrivals) = mpsc::unbounded();
        let fetches = spool.regions().map(|(layer, region)| async move {
            let blob = self.fetch(&layer.repository, &layer.descriptor, region, connections).await?;
            Ok((layer.clone(), blob))
        });
        let fetches: Vec<_> = fetches.collect();
        let all = fetches.len().max(1);
        let fetching = stream::iter(fetches).buffered(all).try_for_each(move |arrival| {
            // Whoever should take it failed, and says why.
            let _ = arrived.unbounded_send(arrival);
            future::ready(Ok(()))
        });
        let working = arrivals
            .inspect(|(layer, blob)| look(layer, blob))
            .map(|(layer, blob)| work(layer, blob))
            .buffer_unordered(threads())
            .try_collect();
        let ((), done) = tokio::try_join!(fetching, working)?;
        Ok(done)
    }

    async fn measure(&self, blob: &WrittenBlob) -> Result<u64> {
        self.inflate(blob, |inflation| {
            inflation.measure().map(|size_bytes| Inflated { size_bytes, layer: None })
        })
        .await
        .map(|inflated| inflated.size_bytes)
    }

    async fn inflate_to(
        &self,
        file: FileHandle,
        layer: &InflatedLayer,
        blob: &WrittenBlob,
        offset_bytes: u64,
        room_bytes: Option<u64>,
    ) -> Result<Inflated> {
        let diff_id = layer.diff_id.clone();
        self.inflate(blob, move |inflation| inflation.write(&diff_id, &file, offset_bytes, room_bytes)).await
    }

    /// Does `work` on a thread of its own, and tells how far it is. When nobody waits any more it stops.
    async fn inflate(
        &self,
        blob: &WrittenBlob,
        work: impl FnOnce(&Inflation<'_>) -> Result<Inflated, InflateError> + Send + 'static,
    ) -> Result<Inflated> {
        let (digest, size_bytes) = (blob.digest(), blob.size_bytes());
        self.reporter.report(Event::InflateStarted { digest, size_bytes });
        let (told, progress) = mpsc::unbounded();
        let (owned, limits) = (blob.clone(), self.limits);
        let inflating = blocking(move || {
            let progress = move |bytes: u64| told.unbounded_send(bytes).is_ok();
            work(&Inflation { blob: &owned, limits, progress: &progress })
        });
        let telling = progress.for_each(|bytes| {
            self.reporter.report(Event::InflateProgressed { digest, bytes });
            future::ready(())
        });
        let (inflated, ()) = tokio::join!(inflating, telling);
        let inflated = inflated?;
        self.reporter.report(Event::Inflated { digest, inflated_bytes: inflated.size_bytes });
        Ok(inflated)
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Where layers go before all their sizes are known. What was once taken for a size stays, so that no two layers are
/// ever given one region: a layer that turns out larger is not written beyond its own.
struct Places {
    plan: Plan,
    sizes: Mutex<HashMap<Digest, u64>>,
}

impl Places {
    fn learn(&self, layer: &InflatedLayer, size_bytes: u64) {
        let mut sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.entry(layer.descriptor.digest.clone()).or_insert(size_bytes);
    }

    /// The layer's offset and the room it has; none as long as a layer before it could be of any size.
    fn place_of(&self, layer: &InflatedLayer) -> Option<(u64, Option<u64>)> {
        let digest = &layer.descriptor.digest;
        let sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        let offset_bytes = self.plan.offset_of(digest, |digest| sizes.get(digest).copied())?;
        Some((offset_bytes, sizes.get(digest).copied()))
    }
}
