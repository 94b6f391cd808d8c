//! The images of the tests: each is made and pushed when the first test asks for it, and pulled by sealift once.

mod by_hand;
mod debian;
pub(crate) mod filesystem;
mod fleet;
mod layers;
mod manifest_list;
mod members;
mod noise;
mod platforms;
mod zstd;

use std::path::{Path, PathBuf};
use std::sync::{LazyLock, OnceLock};

pub(crate) use debian::push_debian;
pub(crate) use layers::{push_many_layers, push_on, push_own, push_repeated, push_small};
pub(crate) use platforms::push_platforms;

use crate::registry::{Resolved, resolve};
use crate::sealift::{Layers, pull_with};
use crate::session::session;

/// An image in the session's registry.
pub(crate) struct Image {
    pub(crate) repository: &'static str,
    /// What to run in a container, nothing for the image's own command; `None` where there is nothing to run.
    pub(crate) command: Option<&'static [&'static str]>,
    /// What that prints.
    pub(crate) prints: String,
    archives: [OnceLock<PathBuf>; 3],
}

pub(crate) const TAG: &str = "v1";

impl Image {
    pub(crate) fn new(repository: &'static str, prints: impl Into<String>) -> Self {
        Self { repository, command: Some(&[]), prints: prints.into(), archives: Default::default() }
    }

    /// The full name, as `sealift pull` is given it.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}:{TAG}", session().registry, self.repository)
    }

    /// What the registry has under the name.
    pub(crate) fn resolved(&self) -> Resolved {
        resolve(self.repository, TAG)
    }

    /// The archive that sealift makes of it by itself.
    pub(crate) fn archive(&self) -> &Path {
        self.archive_with(Layers::Auto)
    }

    /// The archive that sealift makes of it with its layers so.
    pub(crate) fn archive_with(&self, layers: Layers) -> &Path {
        self.archives[layers as usize].get_or_init(|| {
            let folder = session().work_folder(&format!("archive-of-{}-{layers:?}", self.file_stem()));
            let file = folder.join("image.tar");
            pull_with(layers, &self.name(), &file);
            file
        })
    }

    /// Whether Docker 20.10 can't take the layers as they are.
    pub(crate) fn has_zstd_layers(&self) -> bool {
        let manifest = self.resolved().manifest.json;
        let mut layers = manifest["layers"].as_array().unwrap().iter();
        layers.any(|layer| layer["mediaType"].as_str().unwrap().ends_with("+zstd"))
    }

    /// Fails unless the registry has the layers compressed this way: a tool that did otherwise would prove nothing.
    fn with_layers(self, compressions: &[&str]) -> Self {
        let manifest = self.resolved().manifest.json;
        let layers = manifest["layers"].as_array().unwrap().iter();
        let found: Vec<_> = layers.map(|layer| layer["mediaType"].as_str().unwrap()).collect();
        let expected: Vec<_> = compressions
            .iter()
            .map(|name| format!("application/vnd.oci.image.layer.v1.tar+{name}"))
            .collect();
        assert_eq!(found, expected, "{}", self.name());
        self
    }

    /// The repository in a form fit for a file's name.
    pub(crate) fn file_stem(&self) -> String {
        self.repository.replace('/', "-")
    }
}

pub(crate) static DEBIAN: LazyLock<Image> = LazyLock::new(debian::push);
pub(crate) static FILESYSTEM: LazyLock<Image> = LazyLock::new(filesystem::push);
pub(crate) static PLATFORMS: LazyLock<Image> = LazyLock::new(|| push_platforms("e2e/platforms"));
pub(crate) static MANIFEST_LIST: LazyLock<Image> = LazyLock::new(manifest_list::push);
pub(crate) static SIXTY_LAYERS: LazyLock<Image> = LazyLock::new(|| push_many_layers(60));
pub(crate) static REPEATED_LAYERS: LazyLock<Image> = LazyLock::new(|| push_repeated("e2e/repeated-layers"));
pub(crate) static NO_LAYERS: LazyLock<Image> = LazyLock::new(layers::push_none);
pub(crate) static CONFIG_BYTES: LazyLock<Image> = LazyLock::new(layers::push_config_bytes);
pub(crate) static BIG_LAYER: LazyLock<Image> = LazyLock::new(noise::push_big);
pub(crate) static LARGE: LazyLock<Image> = LazyLock::new(noise::push_large);
pub(crate) static UNDERSTATED: LazyLock<Image> = LazyLock::new(noise::push_understated);
pub(crate) static FLEET: LazyLock<Vec<Image>> = LazyLock::new(fleet::push_fleet);
pub(crate) static ZSTD_BY_PODMAN: LazyLock<Image> = LazyLock::new(zstd::push_by_podman);
pub(crate) static ZSTD_BY_BUILDAH: LazyLock<Image> = LazyLock::new(zstd::push_by_buildah);
pub(crate) static ZSTD_CHUNKED: LazyLock<Image> = LazyLock::new(zstd::push_chunked);
pub(crate) static ZSTD_ON_GZIP: LazyLock<Image> = LazyLock::new(zstd::push_mixed);
pub(crate) static GZIP_MEMBERS: LazyLock<Image> = LazyLock::new(members::push_members);
