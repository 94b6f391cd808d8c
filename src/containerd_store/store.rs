//! The images of one namespace.

use std::collections::HashMap;
use std::path::Path;

use super::error::StoreError;
use super::image::StoredImage;
use super::inventory::{BlobState, Inventory, LayersFrom};
use super::meta_db::damaged;
use super::names;
use super::root::Root;
use crate::bolt::{Bucket, Entry};
use crate::fsio::of_each;
use crate::image::{Descriptor, Platform};

/// The images of one namespace of a containerd root.
#[derive(Clone, Debug)]
pub struct Store {
    root: Root,
    namespace: String,
}

impl Store {
    /// Opens a namespace of the containerd root at `root`: `default`, `k8s.io` on nodes of Kubernetes, `moby` in
    /// Docker's.
    pub fn open(root: &Path, namespace: &str) -> Result<Self, StoreError> {
        let root = Root::open(root)?;
        let known = root.namespaces()?;
        if !known.iter().any(|known| known == namespace) {
            let (namespace, root) = (namespace.to_owned(), root.path().to_owned());
            return Err(StoreError::NoSuchNamespace { namespace, root, known });
        }
        Ok(Self::of(root, namespace))
    }

    pub(super) fn of(root: Root, namespace: &str) -> Self {
        Self { root, namespace: namespace.to_owned() }
    }

    /// The root it is of.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The namespace's name.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// All images, in the order of their names.
    pub fn list(&self) -> Result<Vec<StoredImage>, StoreError> {
        self.images()?.into_iter().collect()
    }

    /// The same, with an error in the place of each image that can't be read. Where what leads to images is damaged, the
    /// error is the last.
    pub fn images(&self) -> Result<Vec<Result<StoredImage, StoreError>>, StoreError> {
        let meta_db = self.root.meta_db();
        let damaged = damaged(&meta_db);
        let Some(bucket) = self.bucket()? else { return Ok(Vec::new()) };
        let entries = bucket.entries().map_err(&damaged)?;
        let buckets: Vec<_> = entries
            .filter_map(|entry| match entry {
                Ok((name, Entry::Bucket(image))) => Some(Ok((name, image))),
                Ok((_, Entry::Value(_))) => None,
                Err(error) => Some(Err(error)),
            })
            .collect();
        Ok(of_each(&buckets, |bucket| match bucket {
            Ok((name, image)) => StoredImage::of(name, image, &meta_db),
            Err(error) => Err(damaged(error.clone())),
        }))
    }

    /// The image of exactly this name.
    pub fn named(&self, name: &str) -> Result<Option<StoredImage>, StoreError> {
        let meta_db = self.root.meta_db();
        let Some(bucket) = self.bucket()? else { return Ok(None) };
        let image = bucket.bucket(name.as_bytes()).map_err(damaged(&meta_db))?;
        image.map(|image| StoredImage::of(name.as_bytes(), &image, &meta_db)).transpose()
    }

    /// The images that `text` means, in the order of their names: a name in full, or as people write it (`nginx` is
    /// `docker.io/library/nginx:latest`), a pattern (`quay.io/*`), a digest or its first digits, of the target, of a
    /// manifest or of a config. Several names of one digest are all meant; without any it is an error.
    /// Images that can't be read are none that was meant, unless nothing else is.
    pub fn find(&self, text: &str) -> Result<Vec<StoredImage>, StoreError> {
        Ok(self.look_for(text)?.0)
    }

    /// The same, with what can't be read of the others.
    pub(super) fn look_for(&self, text: &str) -> Result<(Vec<StoredImage>, Option<StoreError>), StoreError> {
        let (mut images, mut problem) = (Vec::new(), None);
        for image in self.images()? {
            match image {
                Ok(image) => images.push(image),
                Err(StoreError::Field { image, .. }) if image != text && !names::is_pattern(text) => {}
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        let meant = names::meant(text, &images, self.root.content());
        if !meant.is_empty() {
            return Ok((meant.into_iter().cloned().collect(), problem));
        }
        let (name, root) = (text.to_owned(), self.root.path().to_owned());
        let near = names::near(text, &images);
        Err(problem.unwrap_or(StoreError::NoSuchImage { name, root, near }))
    }

    /// The one image that `text` means, as in [`find`](Self::find). Of several names of one image it is the first.
    pub fn resolve(&self, text: &str) -> Result<StoredImage, StoreError> {
        if let Some(image) = self.named(text)? {
            return Ok(image);
        }
        let mut found = self.find(text)?;
        let image = found.swap_remove(0);
        if found.iter().any(|other| other.target.digest != image.target.digest) {
            let images = found.into_iter().chain([image]).map(|image| image.name);
            return Err(StoreError::Ambiguous { name: text.to_owned(), images: images.collect() });
        }
        Ok(image)
    }

    /// The platforms of an image that are meant: those `asked` for or, where nobody asked, linux/amd64 or the only one that
    /// is there.
    pub fn platforms(
        &self,
        image: &StoredImage,
        asked: &[Platform],
        layers: LayersFrom,
    ) -> Result<Vec<Platform>, StoreError> {
        let inventory = self.inventory(image);
        let there = inventory.available(layers);
        if !there.is_empty() {
            return inventory.choose(asked, layers).map_err(|wanted| StoreError::NoSuchPlatform {
                name: image.name.clone(),
                wanted: wanted.into(),
                root: self.root.path().to_owned(),
                there,
            });
        }
        // Something is in the way before it comes to platforms.
        let path = |digest| self.root.content().path(digest);
        let lacking = inventory.lacking().next().map(|blob| (blob.state, path(&blob.descriptor.digest)));
        let manifest = inventory.platforms.first().map(|held| (held.state, path(&held.manifest.digest)));
        Err(match lacking.or(manifest) {
            Some((BlobState::Damaged, path)) => StoreError::WrongBytes { path },
            Some((_, path)) => StoreError::Missing { path },
            None => StoreError::NoImage { name: image.name.clone() },
        })
    }

    /// What of an image is there.
    pub fn inventory(&self, image: &StoredImage) -> Inventory {
        let mut inventory = Inventory::of(&image.target, self.root.content());
        for held in inventory.platforms.iter_mut().filter(|held| !held.is_whole()) {
            held.unpacked_in = self.unpacked_in(held);
        }
        inventory
    }

    /// What is told of each image by what of it is there, in their order. What several names stand for is looked at once,
    /// and all by as many threads as there are processors.
    pub fn survey<T: Send>(
        &self,
        images: &[StoredImage],
        tell: impl Fn(&StoredImage, &Inventory) -> T + Sync,
    ) -> Vec<T> {
        let mut by_target: HashMap<_, Vec<usize>> = HashMap::new();
        for (place, image) in images.iter().enumerate() {
            let Descriptor { digest, media_type, size_bytes, .. } = &image.target;
            by_target.entry((digest, media_type, size_bytes)).or_default().push(place);
        }
        let targets: Vec<_> = by_target.into_values().collect();
        let told = of_each(&targets, |places| {
            let inventory = self.inventory(&images[places[0]]);
            let told = places.iter().map(|place| (*place, tell(&images[*place], &inventory)));
            told.collect::<Vec<_>>()
        });
        let mut told: Vec<_> = told.into_iter().flatten().collect();
        told.sort_unstable_by_key(|(place, _)| *place);
        told.into_iter().map(|(_, told)| told).collect()
    }

    fn bucket(&self) -> Result<Option<Bucket<'_>>, StoreError> {
        let Some(namespace) = self.root.namespace(&self.namespace)? else { return Ok(None) };
        namespace.bucket(b"images").map_err(damaged(&self.root.meta_db()))
    }
}
