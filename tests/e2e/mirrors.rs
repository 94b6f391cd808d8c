//! Mirrors: docker-registry as a pull-through cache that config.json names. One that stops, and one whose disk alters what
//! it holds; the archive is the registry's own, by its own name.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::command::{output_of, said_by};
use crate::daemon::{await_that, free_address};
use crate::docker_registry::DockerRegistry;
use crate::front::{Front, are_the_same};
use crate::images::{Image, LARGE};
use crate::nginx::{Nginx, server};
use crate::running::Running;
use crate::sealift::Layers;
use crate::session::session;

/// A registry, and a cache of it.
struct Case {
    registry: Front,
    cache: DockerRegistry,
    config: PathBuf,
}

impl Case {
    fn new(test: &str) -> Self {
        let registry = Front::start(test);
        let remote = format!("proxy: {{remoteurl: 'http://{}'}}\n", session().registry);
        let cache = DockerRegistry::of_its_own(&registry.folder, &remote);
        let config = registry.folder.join("config.json");
        let case = Self { registry, cache, config };
        case.name_mirror(&case.cache.address);
        case
    }

    fn name_mirror(&self, address: &str) {
        let config = json!({"registries": {&self.registry.address: [address]}});
        fs::write(&self.config, config.to_string()).unwrap();
    }

    /// A pull with the mirror named.
    fn pull(&self, image: &Image, how: Layers) -> Command {
        let mut pull = self.registry.pull(image, how.options());
        pull.arg("--config").arg(&self.config);
        pull
    }

    /// Pulls by the cache, until it has all layers on its disk; where those are.
    fn warm(&self, image: &Image) -> Vec<PathBuf> {
        output_of(&mut self.pull(image, Layers::Auto));
        fs::remove_file(self.registry.folder.join("image.tar")).unwrap();
        let manifest = image.resolved().manifest.json;
        let layers = manifest["layers"].as_array().unwrap().iter();
        let files = layers.map(|layer| {
            let digest = layer["digest"].as_str().unwrap();
            let hex = digest.strip_prefix("sha256:").unwrap();
            let blobs = self.cache.storage.join("docker/registry/v2/blobs/sha256");
            (blobs.join(&hex[..2]).join(hex).join("data"), layer["size"].as_u64().unwrap())
        });
        let files = files.map(|(file, size_bytes)| {
            await_that("the cache has the layer", || {
                fs::metadata(&file).is_ok_and(|found| found.len() == size_bytes)
            });
            file
        });
        files.collect()
    }

    /// Fails unless the archive that was pulled has these bytes.
    fn is_right(&self, right: &Path) {
        let made = self.registry.folder.join("image.tar");
        are_the_same(right, &made);
        fs::remove_file(made).unwrap();
    }
}

#[test]
fn a_cache_gives_what_the_registry_has_whether_it_had_it_or_not() {
    let mut case = Case::new("mirror-cache");
    let right = case.registry.right_archive(&LARGE, Layers::Auto);
    // It sends layers whole while it has none, so the registry may be asked for their parts.
    output_of(&mut case.pull(&LARGE, Layers::Auto));
    case.is_right(&right);
    case.warm(&LARGE);
    case.registry.nginx.requests();
    output_of(&mut case.pull(&LARGE, Layers::Auto));
    case.is_right(&right);
    assert!(case.registry.nginx.requests().is_empty(), "the registry was asked itself");
}

#[test]
fn a_cache_that_stops_within_a_layer_leaves_the_rest_to_the_registry() {
    let mut case = Case::new("mirror-stops");
    let right = case.registry.right_archive(&LARGE, Layers::Auto);
    case.warm(&LARGE);
    let (folder, address) = (session().work_folder("mirror-stops-nginx"), free_address());
    let mut slow = Nginx::start(&folder, &server(&address, "limit_rate 1m;", &case.cache.address));
    case.name_mirror(&address);
    case.registry.nginx.requests();

    let mut pull = Running::start(&case.registry.folder, &mut case.pull(&LARGE, Layers::Auto));
    pull.await_bytes(8 << 20);
    slow.stop();
    let said = pull.end().well();
    assert!(said.contains(&address), "it was not said which mirror failed: {said}");
    case.is_right(&right);
    let (whole, of_registry) = (fs::metadata(&right).unwrap().len(), case.registry.layer_bytes(&LARGE));
    assert!(of_registry > 0 && of_registry < whole - (7 << 20), "{of_registry} of {whole} bytes were sent");
}

#[test]
fn a_cache_whose_disk_altered_a_layer_is_dropped_by_name() {
    let case = Case::new("mirror-lies");
    let layer = case.warm(&LARGE).pop().unwrap();
    let file = fs::File::options().read(true).write(true).open(layer).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 10 << 20).unwrap();
    file.write_all_at(&[!byte[0]], 10 << 20).unwrap();
    for how in [Layers::Keep, Layers::Plain] {
        let right = case.registry.right_archive(&LARGE, how);
        let said = said_by(&mut case.pull(&LARGE, how));
        let warnings = said.lines().filter(|line| line.starts_with("warning: "));
        assert!(warnings.filter(|line| line.contains(&case.cache.address)).count() == 1, "{said}");
        case.is_right(&right);
    }
}
