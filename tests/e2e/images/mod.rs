//! The images of the tests: each is made and pushed when the first test asks for it, and pulled by sealift once.

mod big;
mod by_hand;
mod debian;
mod filesystem;
mod fleet;
mod layers;
mod manifest_list;
mod platforms;

use std::path::{Path, PathBuf};
use std::sync::{LazyLock, OnceLock};

pub(crate) use layers::push_small;
pub(crate) use platforms::push_platforms;

use crate::registry::{Resolved, resolve};
use crate::sealift::pull;
use crate::session::session;

/// An image in the session's registry.
pub(crate) struct Image {
    pub(crate) repository: &'static str,
    /// What to run in a container, nothing for the image's own command; `None` where there is nothing to run.
    pub(crate) command: Option<&'static [&'static str]>,
    /// What that prints.
    pub(crate) prints: String,
    archive: OnceLock<PathBuf>,
}

pub(crate) const TAG: &str = "v1";

impl Image {
    fn new(repository: &'static str, prints: impl Into<String>) -> Self {
        Self { repository, command: Some(&[]), prints: prints.into(), archive: OnceLock::new() }
    }

    /// The full name, as `sealift pull` is given it.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}:{TAG}", session().registry, self.repository)
    }

    /// What the registry has under the name.
    pub(crate) fn resolved(&self) -> Resolved {
        resolve(self.repository, TAG)
    }

    /// The archive that sealift makes of it.
    pub(crate) fn archive(&self) -> &Path {
        self.archive.get_or_init(|| {
            let folder = session().work_folder(&format!("archive-of-{}", self.file_stem()));
            let file = folder.join("image.tar");
            pull(&self.name(), &file);
            file
        })
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
pub(crate) static SIXTY_LAYERS: LazyLock<Image> = LazyLock::new(layers::push_sixty);
pub(crate) static REPEATED_LAYERS: LazyLock<Image> = LazyLock::new(layers::push_repeated);
pub(crate) static NO_LAYERS: LazyLock<Image> = LazyLock::new(layers::push_none);
pub(crate) static CONFIG_BYTES: LazyLock<Image> = LazyLock::new(layers::push_config_bytes);
pub(crate) static BIG_LAYER: LazyLock<Image> = LazyLock::new(big::push);
pub(crate) static FLEET: LazyLock<Vec<Image>> = LazyLock::new(fleet::push_fleet);
