//! Inflate: layers whose size nobody knows before they were inflated.
//!
//! Their blobs go, compressed, into a scratch file (the spool), each to its region and verified like any blob; only
//! then are they inflated, on as many threads as there are cores. Where a layer goes depends on the sizes of those
//! before it. Most blobs say how large they will be, so a layer is inflated to where it belongs by those hints as it
//! arrives. When all are through, the true sizes are known, and what a wrong hint misplaced, or no hint placed, is
//! inflated once more. To a pipe nothing can be placed twice: there the first pass only measures.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};

use futures::channel::mpsc;
use futures::{StreamExt, TryStreamExt, future, stream};

use super::fill::Job;
use super::{Pull, blocking};
use crate::archive::{CompleteArchive, InflatedLayer, PartialArchive, Plan};
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

    /// How much of them an earlier run left.
    pub(super) fn claimed_bytes(&self) -> u64 {
        self.file.handle().claimed(&(0..u64::MAX)).bytes()
    }

    /// Where the layers' blobs go.
    fn jobs(&self) -> impl Iterator<Item = Job> {
        let mut end_bytes = 0;
        self.plan.inflated().map(move |layer| {
            let region = RegionWriter::new(self.file.handle(), end_bytes, &layer.descriptor);
            end_bytes += layer.descriptor.size_bytes;
            Job { repository: layer.repository.clone(), region }
        })
    }

    /// It is needed no more.
    pub(super) fn remove(self) {
        self.file.remove();
    }
}

/// A layer that was inflated once.
struct Arrived {
    layer: InflatedLayer,
    blob: WrittenBlob,
    inflated: Inflated,
}

/// All inflated layers of an archive, their sizes known.
struct Layers(Vec<Arrived>);

impl Layers {
    /// The plan with their true sizes.
    fn settled(&self, plan: &Plan) -> Result<Plan> {
        let sizes: HashMap<_, _> =
            self.0.iter().map(|one| (&one.layer.descriptor.digest, one.inflated.size_bytes)).collect();
        Ok(plan.with_sizes(|digest| sizes.get(digest).copied())?)
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

    /// Fetches what is `kept` as it is and the layers to inflate, and brings all to where it belongs.
    pub(super) async fn fill_and_inflate(
        &self,
        kept: Vec<Job>,
        spool: &Spool,
        archive: PartialArchive,
    ) -> Result<CompleteArchive> {
        let file = archive.handle();
        let forget = |error: &Error| {
            if is_hopeless(error) {
                file.give_up();
            }
        };
        let (blobs, layers) = self.inflate_on_arrival(kept, spool, &archive).await.inspect_err(forget)?;
        let plan = layers.settled(archive.plan())?;
        let size_bytes = plan.size_bytes();
        if self.may_grow.is_some_and(|may_grow| !may_grow(size_bytes)) {
            file.give_up();
            return Err(Error::MayNotGrow { size_bytes });
        }
        let archive = blocking(move || archive.settle(plan)).await?;
        let layers = self.inflate_the_rest(&archive, layers).await.inspect_err(forget)?;
        Ok(archive.complete(&blobs, &layers)?)
    }

    /// Fetches, and inflates each layer as it comes, to where it goes by what is known then.
    async fn inflate_on_arrival(
        &self,
        kept: Vec<Job>,
        spool: &Spool,
        archive: &PartialArchive,
    ) -> Result<(Vec<WrittenBlob>, Layers)> {
        let places = Places { plan: archive.plan().clone(), sizes: Mutex::default() };
        let places = &places;
        let look = |layer: &InflatedLayer, blob: &WrittenBlob| {
            // Two small reads of what was just written.
            if let Some(size_bytes) =
                (Inflation { blob, limits: self.limits, progress: &|_| true }).size_hint()
            {
                places.learn(layer, size_bytes);
            }
        };
        let work = move |layer, blob| async move {
            let inflated = match places.place_of(&layer).filter(|place| self.may_write(*place)) {
                Some((offset_bytes, room_bytes)) => {
                    self.inflate_to(archive.handle(), &layer, &blob, offset_bytes, room_bytes).await?
                }
                None => Inflated { size_bytes: self.measure(&blob).await?, layer: None },
            };
            places.learn(&layer, inflated.size_bytes);
            Ok(Arrived { layer, blob, inflated })
        };
        let (blobs, layers) = self.fill_and(kept, spool, look, work).await?;
        Ok((blobs, Layers(layers)))
    }

    /// True if an archive may grow as far as a layer's region, in which no more is written than there is room.
    fn may_write(&self, (offset_bytes, room_bytes): (u64, Option<u64>)) -> bool {
        self.may_grow.is_none_or(|may_grow| {
            room_bytes.and_then(|bytes| offset_bytes.checked_add(bytes)).is_some_and(may_grow)
        })
    }

    /// Inflates what is not yet where it belongs.
    async fn inflate_the_rest(&self, archive: &PartialArchive, layers: Layers) -> Result<Vec<VerifiedLayer>> {
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
    pub(super) async fn measure_all(&self, spool: &Spool) -> Result<(Plan, HashMap<Digest, WrittenBlob>)> {
        let work = |_, blob: WrittenBlob| async move {
            let size_bytes = self.measure(&blob).await?;
            Ok((blob.digest().clone(), (size_bytes, blob)))
        };
        let (_, measured) = self.fill_and(vec![], spool, |_, _| (), work).await?;
        let measured: HashMap<_, _> = measured.into_iter().collect();
        let plan = spool.plan.with_sizes(|digest| measured.get(digest).map(|(size_bytes, _)| *size_bytes))?;
        Ok((plan, measured.into_iter().map(|(digest, (_, blob))| (digest, blob)).collect()))
    }

    /// Fetches what is `kept` and the spool's blobs, and does `work` on each of those, in the plan's order, on a thread a
    /// core. Fetching goes on meanwhile. `look` sees each first, so that those before a blob have all been seen when work
    /// on it begins.
    async fn fill_and<T, F: Future<Output = Result<T>>>(
        &self,
        kept: Vec<Job>,
        spool: &Spool,
        look: impl Fn(&InflatedLayer, &WrittenBlob),
        work: impl Fn(InflatedLayer, WrittenBlob) -> F,
    ) -> Result<(Vec<WrittenBlob>, Vec<T>)> {
        let first_spooled = kept.len();
        let jobs: Vec<Job> = kept.into_iter().chain(spool.jobs()).collect();
        let layers: Vec<InflatedLayer> = spool.plan.inflated().cloned().collect();
        let (arrived, arrivals) = mpsc::unbounded();
        let filling = async {
            let arrived = arrived; // dropped with the last one, which ends the work
            let (mut blobs, mut early, mut next) = (Vec::new(), BTreeMap::new(), 0);
            let filled = self.fill(&jobs, |number, blob| match number.checked_sub(first_spooled) {
                None => blobs.push(blob),
                Some(number) => {
                    early.insert(number, blob);
                    while let Some(blob) = early.remove(&next) {
                        // Whoever should take it failed, and says why.
                        let _ = arrived.unbounded_send((layers[next].clone(), blob));
                        next += 1;
                    }
                }
            });
            filled.await?;
            Ok(blobs)
        };
        let working = arrivals
            .inspect(|(layer, blob)| look(layer, blob))
            .map(|(layer, blob)| work(layer, blob))
            .buffer_unordered(threads())
            .try_collect();
        tokio::try_join!(filling, working)
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

/// True if no later run can make of what was fetched what this one could not, or what was fetched is to be no more.
pub(super) fn is_hopeless(error: &Error) -> bool {
    match error {
        Error::Inflate(error) => !error.is_of_limits(),
        error => matches!(error, Error::MayNotGrow { .. }),
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
