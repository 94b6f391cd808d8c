//! An nginx before the session's registry, which a test makes slow or breaks.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::output_of;
use crate::daemon::free_address;
use crate::images::{Image, TAG};
use crate::nginx::{Nginx, server};
use crate::sealift::{Layers, pull_with, sealift};
use crate::session::session;

pub(crate) struct Front {
    pub(crate) address: String,
    /// Where the test's files go.
    pub(crate) folder: PathBuf,
    pub(crate) nginx: Nginx,
}

impl Front {
    pub(crate) fn start(test: &str) -> Self {
        let (folder, address) = (session().work_folder(test), free_address());
        let nginx = Nginx::start(&folder, &server(&address, "", &session().registry));
        Self { address, folder, nginx }
    }

    /// Goes on with these settings. `http` stands before the server, `settings` in it.
    pub(crate) fn set(&mut self, http: &str, settings: &str) {
        self.nginx.start_with(&format!("{http}\n{}", server(&self.address, settings, &session().registry)));
    }

    /// What an image is called here.
    pub(crate) fn name(&self, image: &Image) -> String {
        format!("{}/{}:{TAG}", self.address, image.repository)
    }

    /// The archive of an image as it has to be: pulled while nothing is in the way.
    pub(crate) fn right_archive(&self, image: &Image, layers: Layers) -> PathBuf {
        let file = self.folder.join(format!("right-{layers:?}.tar"));
        pull_with(layers, &self.name(image), &file);
        file
    }

    /// How many bytes of the image's layers were sent since the nginx was asked last.
    pub(crate) fn layer_bytes(&mut self, image: &Image) -> u64 {
        let manifest = image.resolved().manifest.json;
        let layers: Vec<_> = manifest["layers"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|layer| layer["digest"].as_str())
            .collect();
        let requests = self.nginx.requests();
        let of_layers = requests.iter().filter(|one| layers.iter().any(|layer| one.path.ends_with(layer)));
        of_layers.map(|request| request.sent_bytes).sum()
    }

    /// A pull of the image into `image.tar`.
    pub(crate) fn pull(&self, image: &Image, options: &[&str]) -> Command {
        self.pull_to(Path::new("image.tar"), image, options)
    }

    pub(crate) fn pull_to(&self, archive: &Path, image: &Image, options: &[&str]) -> Command {
        let mut command = sealift(&["pull", &self.name(image), "-o"]);
        command.arg(archive).args(options).current_dir(&self.folder);
        command
    }
}

/// Fails unless both files have the same bytes.
pub(crate) fn are_the_same(one: &Path, other: &Path) {
    output_of(Command::new("cmp").arg(one).arg(other));
}
