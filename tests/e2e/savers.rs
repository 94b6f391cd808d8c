//! The tools of both sets that write archives, each saving images that the session's registry has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::command::output_of;
use crate::containerd::Containerd;
use crate::docker::Docker;
use crate::images::{Image, TAG, filesystem, push_small};
use crate::loader::Loader;
use crate::podman::Podman;
use crate::registry::resolve;
use crate::session::{Set, session};
use crate::skopeo::Skopeo;

/// An image that is saved, and has to be found again.
#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) config_digest: String,
    /// What its name resolves to in the registry.
    pub(crate) digest: String,
    pub(crate) layers: Vec<String>,
    pub(crate) prints: String,
}

/// Where a test's archives go, and the images it saves: two that share their base.
pub(crate) struct Saving {
    pub(crate) folder: PathBuf,
    pub(crate) images: [Subject; 2],
}

impl Saving {
    pub(crate) fn of(test: &str) -> Self {
        let repository = format!("e2e/saved-{test}");
        let images = ["v1", "v2"].map(|tag| {
            let prints = push_small(&repository, tag);
            Subject::of(&repository, tag, prints)
        });
        Self { folder: session().work_folder(&format!("saved-{test}")), images }
    }

    /// Where an archive goes.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The name of the first image.
    pub(crate) fn name(&self) -> &str {
        &self.images[0].name
    }

    /// Another name of the first image.
    pub(crate) fn other_name(&self) -> String {
        format!("{}-too", self.name())
    }
}

impl Subject {
    fn of(repository: &str, tag: &str, prints: String) -> Self {
        let resolved = resolve(repository, tag);
        let layers = resolved.manifest.json["layers"].as_array().unwrap().iter();
        Self {
            name: format!("{}/{repository}:{tag}", session().registry),
            config_digest: resolved.config_digest().to_owned(),
            digest: resolved.digest().to_owned(),
            layers: layers.map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect(),
            prints,
        }
    }

    /// An image of the other tests.
    pub(crate) fn of_image(image: &Image) -> Self {
        Self::of(image.repository, TAG, image.prints.clone())
    }
}

/// A tool that keeps images under names, and saves them by those.
pub(crate) trait Saver: Loader {
    /// A command line of the tool.
    fn command(&self, arguments: &[&str]) -> Command;

    /// The command that pulls from the session's registry.
    fn pull(&self) -> &'static [&'static str];

    /// What it calls an image without a name.
    fn image_id(&self, image: &Subject) -> String;

    /// The command that saves into a file, whose path and the names come behind.
    fn save(&self) -> &'static [&'static str];

    /// Pulls the images, saves what `names` says, and removes them again: what is loaded later comes out of the archive.
    fn saves(&self, saving: &Saving, options: &[&str], names: &[String], file: &Path) {
        for image in &saving.images {
            output_of(self.command(self.pull()).arg(&image.name));
            assert_eq!(self.config_digest(&image.name), image.config_digest, "what it calls the image");
        }
        output_of(&mut self.command(&["tag", saving.name(), &saving.other_name()]));
        output_of(self.command(self.save()).arg(file).args(options).args(names));
        self.remove(&saving.other_name());
        saving.images.iter().for_each(|image| self.remove(&image.name));
    }
}

impl Saver for Docker {
    fn command(&self, arguments: &[&str]) -> Command {
        self.docker(arguments)
    }

    fn pull(&self) -> &'static [&'static str] {
        &["pull", "--quiet"]
    }

    fn image_id(&self, image: &Subject) -> String {
        match self.0 {
            Set::Old => image.config_digest.clone(),
            Set::Modern => image.digest.clone(),
        }
    }

    fn save(&self) -> &'static [&'static str] {
        &["save", "--output"]
    }
}

impl Saver for Podman {
    fn command(&self, arguments: &[&str]) -> Command {
        self.podman(arguments)
    }

    fn pull(&self) -> &'static [&'static str] {
        &["pull", "--quiet", "--tls-verify=false"]
    }

    fn image_id(&self, image: &Subject) -> String {
        image.config_digest.clone()
    }

    fn save(&self) -> &'static [&'static str] {
        &["save", "--quiet", "--output"]
    }
}

impl Skopeo {
    /// Copies an image of the session's registry to `target`.
    pub(crate) fn saves(&self, image: &Subject, options: &[&str], target: &str) {
        let source = format!("docker://{}", image.name);
        let copy = ["copy", "--quiet", "--src-tls-verify=false"];
        output_of(self.skopeo(&copy).args(options).args([&source, target]));
    }
}

impl Containerd {
    /// Pulls the image for all platforms or this machine's, and exports it.
    pub(crate) fn saves(&self, image: &Subject, platforms: &[&str], file: &Path) {
        let pull = ["images", "pull", "--plain-http"];
        output_of(self.ctr(&pull).args(platforms).arg(&image.name));
        // By its transfer service ctr 2.1 may end before the last bytes are in the file, on busy machines.
        let local: &[&str] = if matches!(self.0, Set::Modern) { &["--local"] } else { &[] };
        let mut export = self.ctr(&["images", "export"]);
        output_of(export.args(local).args(platforms).arg(file).arg(&image.name));
        self.remove(&image.name);
    }
}

/// buildah pulls the image and pushes it to `target`.
pub(crate) fn buildah_saves(image: &Subject, target: &str) {
    output_of(&mut filesystem::buildah(&["pull", "--quiet", "--tls-verify=false", &image.name]));
    output_of(&mut filesystem::buildah(&["push", "--quiet", &image.name, target]));
    output_of(&mut filesystem::buildah(&["rmi", "--force", &image.name]));
}

/// umoci makes an image of its own of the one in a layout, under the same tag, and all of it is packed as a tar. The
/// image it made.
pub(crate) fn umoci_saves(image: &Subject, folder: &Path, file: &Path) -> Subject {
    let layout = folder.join("layout");
    let tagged = format!("{}:v1", layout.display());
    Skopeo(Set::Old).saves(image, &[], &format!("oci:{tagged}"));
    let mut config = Command::new("/usr/bin/umoci");
    config.args(["config", "--config.label=org.example.by=umoci", "--image", &tagged]);
    output_of(&mut config);
    pack(&layout, file);
    let document = |digest: &str| -> Value {
        let blob = layout.join("blobs").join(digest.replace(':', "/"));
        serde_json::from_slice(&fs::read(blob).unwrap()).unwrap()
    };
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    let config_digest = document(digest)["config"]["digest"].as_str().unwrap().to_owned();
    assert_ne!(config_digest, image.config_digest);
    Subject { config_digest, digest: digest.to_owned(), ..image.clone() }
}

/// A tar of a layout, as people make it.
pub(crate) fn pack(layout: &Path, file: &Path) {
    output_of(
        Command::new("tar").arg("--create").arg("--file").arg(file).arg("--directory").arg(layout).arg("."),
    );
}
