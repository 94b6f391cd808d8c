//! `sealift pull -o - | docker load`: whole streams load, and no loader believes one that failed.

use std::process::{ExitStatus, Output, Stdio};

use sealift::image::MediaType;

use crate::containerd::Containerd;
use crate::docker::Docker;
use crate::images::{Image, REPEATED_LAYERS, TAG, push_repeated};
use crate::loader::Loader;
use crate::podman::Podman;
use crate::registry::blob;
use crate::sealift::{Layers, sealift};
use crate::session::Set;
use crate::support::registry::{Fault, TestRegistry};

/// Pulls `name` into the loader's standard input, and says how both ended and what the loader said.
fn pull_into(name: &str, layers: Layers, loader: &dyn Loader) -> (ExitStatus, Output) {
    // Tried again, most of the faults would pass.
    let mut pull = sealift(&["pull", name, "-q", "-o", "-", "--retry-times", "0"]);
    let mut pull = pull.args(layers.options()).stdout(Stdio::piped()).spawn().unwrap();
    let stream = pull.stdout.take().unwrap();
    let load = loader.load_stdin().stdin(stream).output().unwrap();
    (pull.wait().unwrap(), load)
}

fn loaders() -> Vec<Box<dyn Loader>> {
    let of = |set| -> [Box<dyn Loader>; 3] {
        [Box::new(Docker(set)), Box::new(Podman(set)), Box::new(Containerd(set))]
    };
    [Set::Old, Set::Modern].into_iter().flat_map(of).collect()
}

#[test]
fn a_pipe_loads_into_every_loader() {
    loads_from_a_pipe(Layers::Auto);
}

#[test]
fn a_pipe_of_plain_layers_loads_into_every_loader() {
    loads_from_a_pipe(Layers::Plain);
}

fn loads_from_a_pipe(layers: Layers) {
    let image = push_repeated(match layers {
        Layers::Plain => "e2e/piped-plain",
        _ => "e2e/piped",
    });
    for loader in loaders() {
        let (pull, load) = pull_into(&image.name(), layers, &*loader);
        assert!(pull.success() && load.status.success(), "{:?}: {pull}, {load:?}", loader.load_stdin());
        assert_eq!(loader.config_digest(&image.name()), image.resolved().config_digest());
        if let Some(command) = image.command {
            assert_eq!(loader.run(&image.name(), command), image.prints);
        }
        loader.remove(&image.name());
    }
}

/// The image in a registry that can be told to fail, under the same path.
fn copy(image: &Image) -> (TestRegistry, Vec<(String, usize)>) {
    let registry = TestRegistry::start();
    let manifest = image.resolved().manifest;
    let digest_of = |descriptor: &serde_json::Value| descriptor["digest"].as_str().unwrap().to_owned();
    registry.blob(blob(image.repository, &digest_of(&manifest.json["config"])));
    let layers = manifest.json["layers"].as_array().unwrap().iter().map(|layer| {
        let bytes = blob(image.repository, &digest_of(layer));
        let size = bytes.len();
        registry.blob(bytes);
        (digest_of(layer), size)
    });
    let layers = layers.collect();
    registry.manifest(image.repository, TAG, &MediaType::of(&manifest.media_type), manifest.bytes.clone());
    (registry, layers)
}

#[test]
fn no_loader_believes_a_pipe_that_failed() {
    none_believes_a_failed_pipe(Layers::Auto);
}

#[test]
fn no_loader_believes_a_pipe_of_plain_layers_that_failed() {
    none_believes_a_failed_pipe(Layers::Plain);
}

fn none_believes_a_failed_pipe(stored: Layers) {
    let image = &*REPEATED_LAYERS;
    let (registry, layers) = copy(image);
    let name = format!("{}/{}:{TAG}", registry.address(), image.repository);
    let (first, last) = (&layers[0], layers.last().unwrap());
    for loader in loaders() {
        for (digest, size) in [first, last] {
            let missing = Fault::Answer(404, vec![], "gone".into());
            for fault in
                [missing, Fault::Cut(size / 2), Fault::Cut(size - 1), Fault::Flip, Fault::Short(size - 1)]
            {
                registry.heal();
                registry.fault(&format!("/blobs/{digest}"), fault);
                let (pull, load) = pull_into(&name, stored, &*loader);
                let both_failed = !pull.success() && !load.status.success();
                assert!(both_failed, "{:?} of {digest}: {pull}, {load:?}", loader.load_stdin());
            }
        }
        registry.heal();
        let (pull, load) = pull_into(&name, stored, &*loader);
        assert!(pull.success() && load.status.success(), "{:?}: {pull}, {load:?}", loader.load_stdin());
        loader.remove(&name);
    }
}
