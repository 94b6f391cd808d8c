//! `--reuse` with what real parts left on this machine: only what is new crosses the wire.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::command::output_of;
use crate::docker::Docker;
use crate::front::{Front, are_the_same};
use crate::images::push_small;
use crate::loader::Loader;
use crate::registry::resolve;
use crate::sealift::{pull, sealift};
use crate::session::{Set, session};
use crate::skopeo::Skopeo;

/// A registry that counts, with an old image and a new one that differs in one layer.
struct Case {
    front: Front,
    repository: String,
    right: PathBuf,
}

impl Case {
    fn new(test: &str) -> Self {
        let (front, repository) = (Front::start(test), format!("e2e/{test}"));
        for tag in ["v1", "v2"] {
            push_small(&repository, tag);
        }
        let right = front.folder.join("right.tar");
        let case = Self { front, repository, right };
        pull(&case.name("v2"), &case.right);
        case
    }

    fn name(&self, tag: &str) -> String {
        format!("{}/{}:{tag}", self.front.address, self.repository)
    }

    /// What the session's own registry calls the old image.
    fn old(&self) -> String {
        format!("{}/{}:v1", session().registry, self.repository)
    }

    fn layers(&self, tag: &str) -> BTreeSet<String> {
        let manifest = resolve(&self.repository, tag).manifest.json;
        let layers = manifest["layers"].as_array().unwrap().iter();
        layers.map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
    }

    /// Pulls the new image with this to reuse; fails unless the archive is right. The layers that were fetched.
    fn fetched_beside(&mut self, path: &Path) -> BTreeSet<String> {
        self.front.nginx.requests();
        let made = self.front.folder.join("new.tar");
        let mut pull = sealift(&["pull", &self.name("v2"), "-o"]);
        output_of(pull.arg(&made).arg("--reuse").arg(path));
        are_the_same(&self.right, &made);
        fs::remove_file(made).unwrap();
        let requests = self.front.nginx.requests();
        let blobs = requests.iter().filter_map(|request| request.path.rsplit_once("/blobs/"));
        let layers = self.layers("v2");
        blobs.map(|(_, digest)| digest.to_owned()).filter(|digest| layers.contains(digest)).collect()
    }

    /// The layer that the old image does not have.
    fn new_layer(&self) -> BTreeSet<String> {
        let new: BTreeSet<_> = self.layers("v2").difference(&self.layers("v1")).cloned().collect();
        assert_eq!(new.len(), 1);
        new
    }
}

#[test]
fn of_an_archive_of_sealift_only_the_new_layer_is_fetched() {
    let mut case = Case::new("reuse-archive");
    let old = case.front.folder.join("old.tar");
    pull(&case.old(), &old);
    assert_eq!(case.fetched_beside(&old), case.new_layer());
}

/// What `docker save` makes of the old image.
fn docker_save(docker: &Docker, case: &Case) -> PathBuf {
    let saved = case.front.folder.join("saved.tar");
    output_of(&mut docker.docker(&["pull", &case.old()]));
    // Written by the client, where the test has its files.
    output_of(docker.docker(&["save", &case.old(), "--output"]).arg(&saved));
    docker.remove(&case.old());
    saved
}

#[test]
fn of_what_docker_28_saved_only_the_new_layer_is_fetched() {
    let mut case = Case::new("reuse-docker-28");
    let saved = docker_save(&Docker(Set::Modern), &case);
    assert_eq!(case.fetched_beside(&saved), case.new_layer());
}

/// It saves layers inflated, by names of its own: nothing the registry has.
#[test]
fn of_what_docker_20_saved_nothing_is_taken_for_a_layer() {
    let mut case = Case::new("reuse-docker-20");
    let saved = docker_save(&Docker(Set::Old), &case);
    assert_eq!(case.fetched_beside(&saved), case.layers("v2"));
}

#[test]
fn of_layouts_that_skopeo_copied_only_the_new_layer_is_fetched() {
    for (set, test) in [(Set::Old, "reuse-skopeo-1.9"), (Set::Modern, "reuse-skopeo-1.22")] {
        let mut case = Case::new(test);
        let layout = case.front.folder.join("layout");
        let target = format!("oci:{}:v1", layout.display());
        let source = format!("docker://{}", case.old());
        output_of(&mut Skopeo(set).skopeo(&["copy", "--src-tls-verify=false", &source, &target]));
        assert_eq!(case.fetched_beside(&layout), case.new_layer());
    }
}
