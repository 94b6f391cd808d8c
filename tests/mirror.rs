//! Mirrors of containerd roots: what is in them, what is verified, what stays when it goes wrong.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use sealift::Error;
use sealift::bolt::NewBucket;
use sealift::containerd_store::{Content, LayersFrom, META_DB, Root, Store, StoreError, written_varint};
use sealift::event::{Event, Reporter, Silent};
use sealift::image::manifest::Parsed;
use sealift::image::{Descriptor, Digest, Document, ImageConfig, MediaType, Reference, ResolvedImage};
use sealift::mirror::{Metadata, Mirror, Mirrored, MirroredImage, WantedImage, export_images_to_dir};
use sealift::source::SourceError;
use serde_json::json;
use tempfile::TempDir;

const NAMESPACE: &str = "k8s.io";

/// A containerd root that a test fills.
struct Fixture {
    folder: TempDir,
    metadata: NewBucket,
}

impl Fixture {
    fn new() -> Self {
        let mut metadata = NewBucket::default();
        metadata.bucket("v1").put("version", [6]);
        metadata.bucket("v1").bucket(NAMESPACE).bucket("labels").put("owner", "tests");
        Self { folder: tempfile::tempdir().unwrap(), metadata }
    }

    /// Puts a blob there, with labels as a pull leaves them.
    fn blob(&mut self, kind: &str, bytes: &[u8], labels: &[(&str, &str)]) -> Descriptor {
        let digest = Digest::of(bytes);
        let path = Content::of(self.folder.path()).path(&digest);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        let all = self.metadata.bucket("v1").bucket(NAMESPACE);
        let entry = all.bucket("content").bucket("blob").bucket(digest.to_string());
        entry.put("size", written_varint(bytes.len().try_into().unwrap()));
        entry.put("createdat", [1; 15]);
        for (key, value) in labels {
            entry.bucket("labels").put(*key, *value);
        }
        Descriptor::new(MediaType::of(kind), digest, bytes.len() as u64)
    }

    /// An image of these layers behind an index, which also names a platform that isn't there.
    fn image(&mut self, name: &str, layers: &[&[u8]]) -> Descriptor {
        self.image_beside(name, layers, &Descriptor::new(MediaType::OciManifest, Digest::of(b"arm"), 3))
    }

    /// The same, beside this manifest for arm64.
    fn image_beside(&mut self, name: &str, layers: &[&[u8]], arm: &Descriptor) -> Descriptor {
        let source = ("containerd.io/distribution.source.docker.io", "library/app");
        let layers: Vec<_> = layers
            .iter()
            .map(|layer| self.blob("application/vnd.oci.image.layer.v1.tar+gzip", layer, &[source]))
            .collect();
        let config =
            json!({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": []}, "name": name});
        let snapshot = ("containerd.io/gc.ref.snapshot.overlayfs", "sha256:whatever");
        let config =
            self.blob(MediaType::OciConfig.as_str(), config.to_string().as_bytes(), &[snapshot, source]);
        let manifest = Document::manifest_of(&config, &layers);
        let manifest = self.blob(MediaType::OciManifest.as_str(), manifest.bytes(), &[]);
        let on = |platform: &str, manifest| Descriptor { platform: platform.parse().ok(), ..manifest };
        let entries = [on("linux/arm64", arm.clone()), on("linux/amd64", manifest)];
        let index = Document::index_of(MediaType::OciIndex, &entries);
        let index = self.blob(MediaType::OciIndex.as_str(), index.bytes(), &[]);
        let image = self.metadata.bucket("v1").bucket(NAMESPACE).bucket("images").bucket(name);
        image.put("createdat", [&[1][..], &[0; 7], &[9; 5], &[255, 255]].concat());
        image.bucket("labels").put("io.cri-containerd.image", "managed");
        let target = image.bucket("target");
        target.put("digest", index.digest.to_string());
        target.put("mediatype", index.media_type.as_str());
        target.put("size", written_varint(index.size_bytes.try_into().unwrap()));
        index
    }

    fn root(&self) -> Root {
        let meta_db = self.folder.path().join(META_DB);
        fs::create_dir_all(meta_db.parent().unwrap()).unwrap();
        fs::write(meta_db, self.metadata.to_database()).unwrap();
        Root::open(self.folder.path()).unwrap()
    }
}

fn document(root: &Root, descriptor: &Descriptor) -> Document {
    root.content().document(descriptor).unwrap()
}

/// The image of this name for the one platform that is there.
fn image(root: &Root, name: &str) -> MirroredImage {
    let image = root.store(NAMESPACE).named(name).unwrap().unwrap();
    let index = document(root, &image.target);
    let Parsed::Index(entries) = index.parse().unwrap() else { panic!("no index") };
    let manifest_document = document(root, &entries.manifests[1]);
    let Parsed::Manifest(manifest) = manifest_document.parse().unwrap() else { panic!("no manifest") };
    let config = fs::read(root.content().path(&manifest.config.digest)).unwrap();
    let config = ImageConfig::parse(config.into()).unwrap();
    let resolved = ResolvedImage {
        reference: name.parse::<Reference>().unwrap(),
        target: image.target.clone(),
        platform: config.platform(),
        asked_os_version: None,
        indexes: vec![index],
        manifest_document,
        manifest: *manifest,
        config,
    };
    MirroredImage { namespace: NAMESPACE.to_owned(), image, resolved: vec![resolved] }
}

fn mirror_with(
    root: &Root,
    folder: &Path,
    names: &[&str],
    metadata: Metadata,
    reporter: &dyn Reporter,
) -> Result<Mirrored, Error> {
    let images: Vec<_> = names.iter().map(|name| image(root, name)).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(Mirror { root, folder, metadata, reporter }.write(&images))
}

fn mirror(root: &Root, folder: &Path, names: &[&str]) -> Result<Mirrored, Error> {
    mirror_with(root, folder, names, Metadata::Anew, &Silent)
}

/// All files below a folder, from there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// A blob's labels by the metadata of a root.
fn labels(root: &Root, digest: &Digest) -> BTreeMap<String, String> {
    let digest = digest.to_string();
    let path = [b"content".as_slice(), b"blob", digest.as_bytes()];
    let namespace = root.namespace(NAMESPACE).unwrap().unwrap();
    let entry = path.iter().try_fold(namespace, |bucket, name| bucket.bucket(name).unwrap()).unwrap();
    let labels = entry.bucket(b"labels").unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let labels =
        labels.into_iter().flat_map(|labels| labels.entries().unwrap()).map(|label| match label.unwrap() {
            (key, sealift::bolt::Entry::Value(value)) => (text(key), text(value)),
            (_, sealift::bolt::Entry::Bucket(_)) => panic!("a bucket"),
        });
    labels.collect()
}

const APP: &str = "docker.io/library/app:1";
const OTHER: &str = "quay.io/org/other:2";

fn two_images() -> (Fixture, Root) {
    let mut fixture = Fixture::new();
    fixture.image(APP, &[b"shared layer", b"layer of app"]);
    fixture.image(OTHER, &[b"shared layer", &vec![7; 100_000]]);
    let root = fixture.root();
    (fixture, root)
}

#[test]
fn a_mirror_is_a_root_of_its_images_alone() {
    let (_fixture, root) = two_images();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("made/anew");
    let mirrored = mirror(&root, &out, &[APP]).unwrap();
    assert_eq!((mirrored.blobs, mirrored.kept), (5, 0), "index, manifest, config, two layers");
    let copy = Root::open(&out).unwrap();
    copy.database().check().unwrap();
    assert_eq!(copy.namespaces().unwrap(), [NAMESPACE]);
    let (before, after) = (root.store(NAMESPACE), copy.store(NAMESPACE));
    let [stored] = &after.list().unwrap()[..] else { panic!("one image") };
    assert_eq!(format!("{stored:?}"), format!("{:?}", before.named(APP).unwrap().unwrap()));
    assert_eq!(copy.schema_version().unwrap(), Some(&[6][..]));
    for path in files(&out) {
        if !path.ends_with("meta.db") {
            assert_eq!(fs::read(out.join(&path)).unwrap(), fs::read(root.path().join(&path)).unwrap());
        }
    }
    assert_eq!(files(&out).len(), 6);

    let index = &stored.target.digest;
    let resolved = &image(&copy, APP).resolved[0];
    let manifest = resolved.manifest_document.digest();
    let keeps =
        |key: &str, digest: &Digest| (format!("containerd.io/gc.ref.content.{key}"), digest.to_string());
    assert_eq!(labels(&copy, index), BTreeMap::from([keeps("m.1", manifest)]), "not what isn't there");
    let layers = &resolved.manifest.layers;
    let expected = [
        keeps("config", &resolved.manifest.config.digest),
        keeps("l.0", &layers[0].digest),
        keeps("l.1", &layers[1].digest),
    ];
    assert_eq!(labels(&copy, manifest), BTreeMap::from(expected));
    let source = ("containerd.io/distribution.source.docker.io".to_owned(), "library/app".to_owned());
    for blob in [&resolved.manifest.config, &layers[0]] {
        assert_eq!(labels(&copy, &blob.digest), BTreeMap::from([source.clone()]), "no snapshot");
    }
}

#[test]
fn a_mirror_can_be_mirrored() {
    let (_fixture, root) = two_images();
    let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let mirrored = mirror(&root, first.path(), &[APP, OTHER]).unwrap();
    assert_eq!(mirrored.blobs, 9, "the shared layer once");
    mirror(&Root::open(first.path()).unwrap(), second.path(), &[APP, OTHER]).unwrap();
    for path in files(first.path()) {
        assert_eq!(fs::read(first.path().join(&path)).unwrap(), fs::read(second.path().join(&path)).unwrap());
    }
    assert_eq!(files(first.path()), files(second.path()));
}

#[test]
fn what_is_there_is_verified_and_not_trusted() {
    let (_fixture, root) = two_images();
    let out = tempfile::tempdir().unwrap();
    mirror(&root, out.path(), &[OTHER]).unwrap();
    let layers = &image(&root, OTHER).resolved[0].manifest.layers;
    let there = Content::of(out.path());
    let modified = |digest: &Digest| fs::metadata(there.path(digest)).unwrap().modified().unwrap();
    let kept = modified(&layers[0].digest);
    fs::write(there.path(&layers[1].digest), vec![8; 100_000]).unwrap();
    let again = mirror(&root, out.path(), &[OTHER]).unwrap();
    assert_eq!((again.blobs, again.kept), (5, 4));
    assert_eq!(fs::read(there.path(&layers[1].digest)).unwrap(), vec![7; 100_000]);
    assert_eq!(modified(&layers[0].digest), kept);
}

#[test]
fn damage_is_told_with_its_path_and_gets_no_name() {
    let (_fixture, root) = two_images();
    let out = tempfile::tempdir().unwrap();
    let layer = &image(&root, OTHER).resolved[0].manifest.layers[1].digest;
    let path = root.content().path(layer);
    fs::write(&path, vec![8; 100_000]).unwrap();
    let error = mirror(&root, out.path(), &[OTHER]).unwrap_err();
    assert!(matches!(&error, Error::DamagedFile { path: told, .. } if *told == path), "{error:?}");
    let left = files(out.path());
    assert!(left.iter().all(|path| !path.ends_with(layer.hex()) && !path.ends_with("meta.db")), "{left:?}");
    assert!(left.iter().all(|path| path.extension().is_none()), "nothing half: {left:?}");

    fs::write(&path, vec![7; 50_000]).unwrap();
    let error = mirror(&root, out.path(), &[OTHER]).unwrap_err();
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");

    fs::remove_file(&path).unwrap();
    let error = mirror(&root, out.path(), &[OTHER]).unwrap_err();
    let is_missing = matches!(&error, Error::Source(SourceError::Store(StoreError::Missing { path: told })) if *told == path);
    assert!(is_missing, "{error:?}");
}

#[test]
fn what_is_taken_away_after_it_was_opened_is_copied_all_the_same() {
    struct Collector(Vec<PathBuf>);
    impl Reporter for Collector {
        fn report(&self, event: Event<'_>) {
            if let Event::MirrorStarted { .. } = event {
                self.0.iter().for_each(|path| fs::remove_file(path).unwrap());
            }
        }
    }
    let (_fixture, root) = two_images();
    let out = tempfile::tempdir().unwrap();
    let blobs = files(root.path()).into_iter().filter(|path| !path.ends_with("meta.db"));
    let collector = Collector(blobs.map(|path| root.path().join(path)).collect());
    let images = [image(&root, APP), image(&root, OTHER)];
    let mirror = Mirror { root: &root, folder: out.path(), metadata: Metadata::Anew, reporter: &collector };
    let mirrored = tokio::runtime::Runtime::new().unwrap().block_on(mirror.write(&images)).unwrap();
    assert_eq!((mirrored.blobs, mirrored.kept), (9, 0));
    assert_eq!(files(out.path()).len(), 10);
}

#[cfg(unix)]
#[test]
fn what_planted_links_lead_to_stays_as_it_is() {
    let (_fixture, root) = two_images();
    let [out, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let precious = other.path().join("precious");
    let layer = &image(&root, APP).resolved[0].manifest.layers[0].digest;
    for planted in [Content::of(out.path()).path(layer), out.path().join(META_DB)] {
        fs::create_dir_all(planted.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&precious, planted).unwrap();
    }
    // Not even the bytes that belong there are believed through a link.
    fs::write(&precious, b"shared layer").unwrap();
    let mirrored = mirror(&root, out.path(), &[APP]).unwrap();
    assert_eq!(mirrored.kept, 0);
    assert_eq!(fs::read(&precious).unwrap(), b"shared layer");
    assert!(!Content::of(out.path()).path(layer).is_symlink() && !out.path().join(META_DB).is_symlink());
    assert_eq!(Root::open(out.path()).unwrap().store(NAMESPACE).list().unwrap().len(), 1);
}

#[test]
fn verbatim_metadata_is_the_roots() {
    let (_fixture, root) = two_images();
    let out = tempfile::tempdir().unwrap();
    mirror_with(&root, out.path(), &[APP], Metadata::Verbatim, &Silent).unwrap();
    assert_eq!(fs::read(out.path().join(META_DB)).unwrap(), root.database().bytes());
}

#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Warnings {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Reporter for Warnings {
    fn report(&self, event: Event<'_>) {
        if let Event::Warning(warning) = event {
            self.0.lock().unwrap().push(warning.to_string());
        }
    }
}

fn names(root: &Path) -> Vec<String> {
    let images = Root::open(root).unwrap().store(NAMESPACE).list().unwrap();
    images.into_iter().map(|image| image.name).collect()
}

#[test]
fn a_mirror_is_added_to() {
    let (_fixture, root) = two_images();
    let [apart, at_once] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let warnings = Warnings::default();
    let mirror =
        |out: &Path, images: &[&str]| mirror_with(&root, out, images, Metadata::Anew, &warnings).unwrap();
    assert_eq!(mirror(apart.path(), &[OTHER]).earlier, 0);
    let added = mirror(apart.path(), &[APP]);
    assert_eq!((added.blobs, added.kept, added.earlier), (5, 1, 1), "the layer they share was there");
    mirror(at_once.path(), &[APP, OTHER]);
    assert_eq!(names(apart.path()), [APP, OTHER]);
    let meta_db = |out: &Path| fs::read(out.join(META_DB)).unwrap();
    assert!(meta_db(apart.path()) == meta_db(at_once.path()), "as if both had come at once");

    // From another root, too. A name that stands for another image there is that image's then.
    let mut second = Fixture::new();
    second.image(APP, &[b"another layer"]);
    second.image("docker.io/library/third:1", &[b"shared layer"]);
    let second = second.root();
    let images = [image(&second, APP), image(&second, "docker.io/library/third:1")];
    let mirror =
        Mirror { root: &second, folder: apart.path(), metadata: Metadata::Anew, reporter: &warnings };
    let added = tokio::runtime::Runtime::new().unwrap().block_on(mirror.write(&images)).unwrap();
    assert_eq!(added.earlier, 1);
    assert_eq!(names(apart.path()), [APP, "docker.io/library/third:1", OTHER]);
    let stored = Root::open(apart.path()).unwrap().store(NAMESPACE);
    for (name, root) in [(APP, &second), (OTHER, &root)] {
        let now = stored.named(name).unwrap().unwrap();
        assert_eq!(now.target, root.store(NAMESPACE).named(name).unwrap().unwrap().target);
        assert!(stored.inventory(&now).is_usable());
    }
    assert!(warnings.take().is_empty());
}

#[test]
fn a_platform_is_added_to_an_image() {
    let mut fixture = Fixture::new();
    let config = json!({"os": "linux", "architecture": "arm64", "rootfs": {"diff_ids": []}, "name": "arm"});
    let config = fixture.blob(MediaType::OciConfig.as_str(), config.to_string().as_bytes(), &[]);
    let layer = fixture.blob("application/vnd.oci.image.layer.v1.tar+gzip", b"layer of arm", &[]);
    let arm = Document::manifest_of(&config, &[layer]);
    fixture.blob(MediaType::OciManifest.as_str(), arm.bytes(), &[]);
    let index = fixture.image_beside(APP, &[b"layer of app"], &arm.descriptor(MediaType::OciManifest));
    let root = fixture.root();
    let out = tempfile::tempdir().unwrap();
    let store = root.store(NAMESPACE);
    let stored = store.named(APP).unwrap().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for platform in ["linux/amd64", "linux/arm64"] {
        let wanted = WantedImage {
            store: store.clone(),
            image: stored.clone(),
            platforms: vec![platform.parse().unwrap()],
        };
        let mirror = Mirror { root: &root, folder: out.path(), metadata: Metadata::Anew, reporter: &Silent };
        assert_eq!(runtime.block_on(mirror.export(&[wanted])).unwrap().earlier, 0, "it is the same image");
    }
    let copy = Root::open(out.path()).unwrap();
    let whole = copy.store(NAMESPACE).inventory(&stored).whole(LayersFrom::Content);
    assert_eq!(whole.iter().map(ToString::to_string).collect::<Vec<_>>(), ["linux/arm64", "linux/amd64"]);
    let kept: Vec<_> = labels(&copy, &index.digest).into_keys().collect();
    assert_eq!(kept, ["containerd.io/gc.ref.content.m.0", "containerd.io/gc.ref.content.m.1"]);
}

#[test]
fn images_of_a_namespace_are_exported_in_a_line() {
    let (_fixture, root) = two_images();
    let out = tempfile::tempdir().unwrap();
    let store = Store::open(root.path(), NAMESPACE).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let app = [store.resolve("app:1").unwrap()];
    assert_eq!(runtime.block_on(export_images_to_dir(&store, &app, out.path())).unwrap().blobs, 5);
    runtime.block_on(export_images_to_dir(&store, &store.list().unwrap(), out.path())).unwrap();
    assert_eq!(names(out.path()), [APP, OTHER]);
}

#[test]
fn a_mirror_whose_metadata_can_not_be_read_is_left_alone() {
    let (_fixture, root) = two_images();
    let out = tempfile::tempdir().unwrap();
    mirror(&root, out.path(), &[APP]).unwrap();
    fs::write(out.path().join(META_DB), "half of it").unwrap();
    let error = mirror(&root, out.path(), &[OTHER]).unwrap_err();
    assert!(matches!(error, Error::Source(SourceError::Store(StoreError::UnreadMirror { .. }))), "{error:?}");
    assert_eq!(fs::read(out.path().join(META_DB)).unwrap(), b"half of it");
}

#[test]
fn images_that_a_mirror_forgets_are_told() {
    let (_fixture, root) = two_images();
    let out = tempfile::tempdir().unwrap();
    let warnings = Warnings::default();
    let mirror = |metadata, images: &[&str]| {
        mirror_with(&root, out.path(), images, metadata, &warnings).unwrap();
        warnings.take()
    };
    assert!(mirror(Metadata::Anew, &[APP, OTHER]).is_empty());
    assert!(mirror(Metadata::Anew, &[APP, OTHER]).is_empty());
    // Of the same size: only who hashes it sees that.
    let layer = &image(&root, OTHER).resolved[0].manifest.layers[1].digest;
    fs::write(Content::of(out.path()).path(layer), vec![8; 100_000]).unwrap();
    let folder = out.path().display();
    let told =
        format!("{folder} names 1 image that it had no more, as not all of it is there; the blobs stay");
    assert_eq!(mirror(Metadata::Anew, &[APP]), [told]);
    assert_eq!(names(out.path()), [APP]);
    assert!(mirror(Metadata::Verbatim, &[OTHER]).is_empty(), "the root has them all");

    let mut second = Fixture::new();
    second.image(OTHER, &[b"another layer"]);
    let second = second.root();
    mirror_with(&second, out.path(), &[OTHER], Metadata::Verbatim, &warnings).unwrap();
    let told = format!(
        "{folder} names 1 image that it had no more, as its metadata is the root's now; the blobs stay"
    );
    assert_eq!(warnings.take(), [told]);
}
