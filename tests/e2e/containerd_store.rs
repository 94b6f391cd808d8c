//! `sealift containerd-store` beside the containerds whose roots it reads: 350 images in three namespaces.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use sealift::containerd_store::Store;
use serde_json::{Value, json};

use crate::command::output_of;
use crate::containerd::{Containerd, Content};
use crate::docker::Docker;
use crate::images::{MANIFEST_LIST, PLATFORMS, SIXTY_LAYERS};
use crate::layer::{Layer, LayerBuilder, header};
use crate::loader::Loader;
use crate::registry::{OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, digest_of};
use crate::sealift::sealift;
use crate::session::{Set, session};

/// How many images each namespace gets by import; three more are pulled into the first.
const NAMESPACES: [(&str, usize); 3] = [("store-one", 117), ("store-two", 115), ("k8s.io", 115)];
const PULLED: usize = 3;
/// A namespace in which images come and go.
const BUSY: &str = "store-busy";

/// A containerd with 350 images.
struct Filled {
    set: Set,
    root: PathBuf,
}

static OLD: LazyLock<Filled> = LazyLock::new(|| Filled::of(Set::Old));
static MODERN: LazyLock<Filled> = LazyLock::new(|| Filled::of(Set::Modern));

impl Filled {
    fn of(set: Set) -> Self {
        let filled = Self { set, root: session().state.join(format!("{}-containerd", set.name())) };
        let folder = session().work_folder(&format!("store-{}", set.name()));
        for (namespace, count) in NAMESPACES {
            let archive = folder.join("images.tar");
            fs::write(&archive, oci_archive(namespace, count)).unwrap();
            let content = filled.content(namespace);
            let mut import = content.ctr(&["images", "import", "--no-unpack", "--all-platforms"]);
            output_of(import.arg(&archive));
        }
        let (first, _) = NAMESPACES[0];
        for image in [&*PLATFORMS, &*MANIFEST_LIST, &*SIXTY_LAYERS] {
            let content = filled.content(first);
            let mut pull = content.ctr(&["content", "fetch", "--plain-http", "--platform", "linux/amd64"]);
            output_of(pull.arg(image.name()));
        }
        for number in [1, 2] {
            let name = name(first, number);
            output_of(&mut filled.content(first).ctr(&["images", "label", &name, "team=web", "a.b/c=d e"]));
        }
        filled
    }

    fn content(&self, namespace: &str) -> Content {
        Content { namespace: namespace.to_owned(), ..Containerd(self.set).content() }
    }

    /// What is told of the images of these namespaces, by a line for each.
    fn listed(&self, options: &[&str]) -> Vec<Value> {
        let mut list = sealift(&["containerd-store", "list", "--json", "--root"]);
        let text = output_of(list.arg(&self.root).args(options));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn export(&self, namespace: &str, names: &[String], to: &Path) {
        let mut export = sealift(&["containerd-store", "export", "-q", "-n", namespace, "--root"]);
        output_of(export.arg(&self.root).arg("-o").arg(to).args(names));
    }

    /// What containerd's own list prints of the images told of.
    fn as_ctr_prints(&self, listed: &[Value]) -> String {
        let heading = ["REF", "TYPE", "DIGEST", "SIZE", "PLATFORMS", "LABELS"].map(str::to_owned);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let row = |image: &Value| {
            let platforms = image["platforms"].as_array().unwrap();
            let mut names: Vec<_> = platforms.iter().map(|one| text(&one["platform"])).collect();
            // containerd 1.6 takes attestations for images.
            if self.set == Set::Old && image["name"] == PLATFORMS.name() {
                names.push("unknown/unknown".into());
            }
            names.sort();
            names.dedup();
            let labels = image["labels"].as_object().unwrap().iter();
            let mut labels: Vec<_> = labels.map(|(key, value)| format!("{key}={}", text(value))).collect();
            labels.sort();
            if labels.is_empty() {
                labels.push("-".into());
            }
            let own = platforms.iter().find(|one| one["platform"] == "linux/amd64").unwrap();
            let is_index = own["manifest"] != image["digest"];
            let index_bytes = if is_index { image["blobs"][0]["size_bytes"].as_u64().unwrap() } else { 0 };
            let size_bytes = index_bytes + own["size_bytes"].as_u64().unwrap();
            let (name, kind, digest) =
                (text(&image["name"]), text(&image["media_type"]), text(&image["digest"]));
            [name, kind, digest, ctr_size(size_bytes), names.join(","), labels.join(",")]
        };
        let rows: Vec<_> = [heading].into_iter().chain(listed.iter().map(row)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap() + 1;
        let widths: Vec<_> = (0..6).map(width).collect();
        let line = |row: &[String; 6]| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            cells.collect::<String>() + "\n"
        };
        rows.iter().map(line).collect()
    }
}

/// A size as `ctr` prints it.
#[allow(clippy::cast_precision_loss, reason = "so does ctr")]
fn ctr_size(size_bytes: u64) -> String {
    let mut size = size_bytes as f64;
    let mut units = ["B", "KiB", "MiB", "GiB"].into_iter();
    let mut unit = units.next().unwrap();
    while size >= 1024.0 {
        size /= 1024.0;
        unit = units.next().unwrap();
    }
    format!("{size:.1} {unit}")
}

/// The name of an image of a namespace: some as long as they may be.
fn name(namespace: &str, number: usize) -> String {
    let namespace = namespace.replace('.', "-");
    let team = if number.is_multiple_of(3) { "team/".repeat(30) } else { "team/".into() };
    format!("registry.example/{team}{namespace}/app-{number:03}:v1")
}

/// What is in an OCI archive.
#[derive(Default)]
struct Archive {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: Vec<Value>,
}

impl Archive {
    fn blob(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let (digest, size) = (digest_of(&bytes), bytes.len());
        self.blobs.insert(digest.clone(), bytes);
        json!({"mediaType": media_type, "digest": digest, "size": size})
    }

    fn json(&mut self, media_type: &str, document: &Value) -> Value {
        self.blob(media_type, document.to_string().into_bytes())
    }

    fn image(&mut self, architecture: &str, layers: &[Layer]) -> Value {
        let diff_ids: Vec<_> = layers.iter().map(|layer| &layer.diff_id).collect();
        let config = json!({
            "os": "linux",
            "architecture": architecture,
            "config": {"Cmd": ["/bin/app"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = self.json(OCI_CONFIG, &config);
        let layers: Vec<_> =
            layers.iter().map(|layer| self.blob(layer.media_type, layer.blob.clone())).collect();
        let manifest =
            json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers});
        self.json(OCI_MANIFEST, &manifest)
    }

    fn bytes(&self) -> Vec<u8> {
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": self.manifests});
        let mut tar = tar::Builder::new(Vec::new());
        let mut add = |path: &str, bytes: &[u8]| {
            let mut header = header(tar::EntryType::Regular, 0o644, bytes.len() as u64);
            tar.append_data(&mut header, path, bytes).unwrap();
        };
        add("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        add("index.json", index.to_string().as_bytes());
        for (digest, bytes) in &self.blobs {
            add(&format!("blobs/{}", digest.replace(':', "/")), bytes);
        }
        tar.into_inner().unwrap()
    }
}

/// Images of a base and a layer of their own; each tenth under an index of two platforms.
fn oci_archive(namespace: &str, count: usize) -> Vec<u8> {
    let mut archive = Archive::default();
    let base = LayerBuilder::new().file("base", 0o644, &[b'x'; 5000]).gzip();
    for number in 0..count {
        let layer = |of: &str| {
            let text = format!("{of} {namespace} {number}\n").repeat(50);
            LayerBuilder::new().file("app", 0o755, text.as_bytes()).gzip()
        };
        let mut target = archive.image("amd64", &[base.clone(), layer("amd64")]);
        if number.is_multiple_of(10) {
            target["platform"] = json!({"os": "linux", "architecture": "amd64"});
            let mut other = archive.image("arm64", &[base.clone(), layer("arm64")]);
            other["platform"] = json!({"os": "linux", "architecture": "arm64", "variant": "v8"});
            let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [other, target]});
            target = archive.json(OCI_INDEX, &index);
        }
        target["annotations"] = json!({"io.containerd.image.name": name(namespace, number)});
        archive.manifests.push(target);
    }
    archive.bytes()
}

fn lists_what_ctr_lists(filled: &Filled) {
    let mut all = 0;
    for (namespace, count) in NAMESPACES {
        let listed = filled.listed(&["--namespace", namespace]);
        let by_ctr = output_of(&mut filled.content(namespace).ctr(&["images", "list"]));
        assert_eq!(filled.as_ctr_prints(&listed), by_ctr);
        assert!(listed.len() == count || listed.len() == count + PULLED);
        all += listed.len();
        let store = Store::open(&filled.root, namespace).unwrap();
        for line in by_ctr.lines().skip(1) {
            let words: Vec<_> = line.split_whitespace().collect();
            let image = store.resolve(words[0]).unwrap();
            assert_eq!((image.name.as_str(), image.target.digest.to_string().as_str()), (words[0], words[2]));
            assert_eq!(image.created, image.updated.min(image.created), "times are told");
        }
    }
    assert_eq!(all, 350);
    let whole = filled.listed(&["--all-namespaces"]);
    let of_ours = |image: &&Value| NAMESPACES.iter().any(|(namespace, _)| image["namespace"] == *namespace);
    for image in whole.iter().filter(of_ours) {
        assert!(image["is_whole"] == true, "{image:#}");
    }
}

#[test]
fn a_root_of_containerd_1_6_is_listed_as_ctr_lists_it() {
    lists_what_ctr_lists(&OLD);
}

#[test]
fn a_root_of_containerd_2_is_listed_as_ctr_lists_it() {
    lists_what_ctr_lists(&MODERN);
}

/// Exports images of each namespace, and compares what Docker makes of them with what containerd has.
fn loads_into_docker(filled: &Filled, of_each: usize) {
    let docker = Docker(Set::Old);
    let folder = session().work_folder(&format!("store-exports-{}-{of_each}", filled.set.name()));
    for (namespace, count) in NAMESPACES {
        let names: Vec<_> =
            (0..count).step_by(count / of_each).map(|number| name(namespace, number)).collect();
        let archive = folder.join(format!("{namespace}.tar"));
        filled.export(namespace, &names, &archive);
        docker.load(&archive);
        let content = filled.content(namespace);
        let targets = Store::open(&filled.root, namespace).unwrap();
        for name in &names {
            let target = targets.resolve(name).unwrap().target.digest.to_string();
            assert_eq!(docker.config_digest(name), content.config_digest(&target), "{name}");
            docker.remove(name);
        }
    }
}

#[test]
fn thirty_images_of_containerd_1_6_load_into_docker() {
    loads_into_docker(&OLD, 10);
}

#[test]
fn thirty_images_of_containerd_2_load_into_docker() {
    loads_into_docker(&MODERN, 10);
}

#[test]
#[ignore = "slow: tests/run --long"]
fn all_images_of_both_containerds_load_into_docker() {
    loads_into_docker(&OLD, 115);
    loads_into_docker(&MODERN, 115);
}

/// A pulled image of which containerd has one platform comes out as the registry has it, and runs.
fn a_pulled_image_runs(filled: &Filled) {
    let archive = session().work_folder(&format!("store-pulled-{}", filled.set.name())).join("pulled.tar");
    let name = PLATFORMS.name();
    filled.export(NAMESPACES[0].0, std::slice::from_ref(&name), &archive);
    output_of(Command::new("cmp").arg(&archive).arg(PLATFORMS.archive()));
}

#[test]
fn an_image_that_containerd_pulled_is_exported_as_sealift_pulls_it() {
    a_pulled_image_runs(&OLD);
    a_pulled_image_runs(&MODERN);
}

/// Lists and exports while another process imports and deletes.
fn is_read_while_it_changes(filled: &Filled, lists: usize, exports: usize) {
    let folder = session().work_folder(&format!("store-busy-{}-{lists}", filled.set.name()));
    let busy = folder.join("busy.tar");
    fs::write(&busy, oci_archive(BUSY, 20)).unwrap();
    let of_ours = |image: &Value| NAMESPACES.iter().any(|(namespace, _)| image["namespace"] == *namespace);
    let known: Vec<_> = filled.listed(&["--all-namespaces"]).into_iter().filter(of_ours).collect();
    assert_eq!(known.len(), 350);
    let (namespace, _) = NAMESPACES[1];
    let names: Vec<_> = (0..5).map(|number| name(namespace, number)).collect();
    let first = folder.join("first.tar");
    filled.export(namespace, &names, &first);
    let targets: BTreeMap<String, String> = {
        let content = filled.content(BUSY);
        output_of(content.ctr(&["images", "import", "--no-unpack", "--all-platforms"]).arg(&busy));
        let listed = filled.listed(&["--namespace", BUSY]);
        listed.iter().map(|image| (image["name"].to_string(), image["digest"].to_string())).collect()
    };
    assert_eq!(targets.len(), 20);
    let (is_over, rounds) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        let changing = scope.spawn(|| {
            let content = filled.content(BUSY);
            let all: Vec<_> = (0..20).map(|number| name(BUSY, number)).collect();
            while !is_over.load(Ordering::Relaxed) {
                output_of(content.ctr(&["images", "remove"]).args(&all));
                output_of(content.ctr(&["images", "import", "--no-unpack", "--all-platforms"]).arg(&busy));
                rounds.fetch_add(1, Ordering::Relaxed);
            }
        });
        let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let before = rounds.load(Ordering::Relaxed);
            for number in 0..lists {
                let listed = filled.listed(&["--all-namespaces"]);
                let ours: Vec<_> = listed.iter().filter(|image| of_ours(image)).collect();
                assert!(ours.iter().copied().eq(&known), "list {number} differs");
                for image in listed.iter().filter(|image| image["namespace"] == BUSY) {
                    assert_eq!(targets.get(&image["name"].to_string()), Some(&image["digest"].to_string()));
                }
                if number.is_multiple_of(lists / exports) {
                    let again = folder.join("again.tar");
                    filled.export(namespace, &names, &again);
                    output_of(Command::new("cmp").arg(&first).arg(&again));
                    fs::remove_file(again).unwrap();
                }
            }
            assert!(rounds.load(Ordering::Relaxed) > before, "containerd went on meanwhile");
        }));
        is_over.store(true, Ordering::Relaxed);
        changing.join().unwrap();
        read.unwrap();
    });
}

#[test]
fn a_root_of_containerd_1_6_is_read_while_it_changes() {
    is_read_while_it_changes(&OLD, 200, 10);
}

#[test]
fn a_root_of_containerd_2_is_read_while_it_changes() {
    is_read_while_it_changes(&MODERN, 200, 10);
}

#[test]
#[ignore = "slow: tests/run --long"]
fn roots_are_read_a_thousand_times_while_they_change() {
    is_read_while_it_changes(&OLD, 1000, 50);
    is_read_while_it_changes(&MODERN, 1000, 50);
}
