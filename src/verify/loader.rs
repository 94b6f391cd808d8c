//! What each loader makes of an archive. Every rule was measured on the versions it names (`docs/formats.md`).

use std::fmt;
use std::str::FromStr;

use crate::archive::names::Kind;
use crate::archived::{Archive, ArchivedImage, Contents, Problem};
use crate::blob::Packing;
use crate::event::MAX_GRAPH_DRIVER_LAYERS;
use crate::foreign::shown;
use crate::image::Digest;

/// A program that takes archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loader {
    /// `docker load` of 20.10, and of later ones with a graph driver.
    Docker20,
    /// `docker load` of 28 and 29 with the containerd image store.
    Docker29,
    /// `ctr images import` of 1.6 to 2.x.
    Containerd,
    /// `podman load` of 4 and 5.
    Podman,
    /// `skopeo copy` from `docker-archive:` or `oci-archive:`.
    Skopeo,
}

/// What a loader does with an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It loads these images, each by a name and the ID it gets, as far as these can be told.
    Loads(Vec<(String, Option<Digest>)>),
    /// It takes nothing, or less than all.
    Refuses(String),
}

impl Loader {
    /// All there are.
    pub const ALL: [Self; 5] = [Self::Docker20, Self::Docker29, Self::Containerd, Self::Podman, Self::Skopeo];

    /// Its name, as options have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Docker20 => "docker-20.10",
            Self::Docker29 => "docker-29",
            Self::Containerd => "containerd",
            Self::Podman => "podman",
            Self::Skopeo => "skopeo",
        }
    }

    /// What it makes of an archive whose contents were measured.
    pub fn verdict(self, archive: &Archive, contents: &Contents, problems: &[Problem]) -> Verdict {
        if let Some(broken) = problems.iter().find(|problem| breaks(problem)) {
            return Verdict::Refuses(broken.to_string());
        }
        if let Some(unseen) = problems.iter().find(|problem| self.overlooks(problem)) {
            return Verdict::Refuses(unseen.to_string());
        }
        if let Some(why) = self.refuses_form(archive).or_else(|| self.refuses_layers(archive, contents)) {
            return Verdict::Refuses(why);
        }
        let images = archive.images().iter().filter(|image| self.sees(archive, image));
        Verdict::Loads(images.flat_map(|image| self.names(image)).collect())
    }

    /// True for an image that the half it goes by does not name.
    fn overlooks(self, problem: &Problem) -> bool {
        let Problem::InOnePart { not_in, .. } = problem else { return false };
        match self {
            Self::Docker20 => *not_in == "manifest.json",
            Self::Docker29 | Self::Containerd => *not_in == "index.json",
            Self::Podman | Self::Skopeo => false,
        }
    }

    /// Does it go by the half that names this image?
    fn sees(self, archive: &Archive, image: &ArchivedImage) -> bool {
        let goes_by_oci = matches!(self, Self::Docker29 | Self::Containerd)
            && archive.images().iter().any(|image| image.form.oci);
        if goes_by_oci { image.form.oci } else { image.form.docker || !self.is_docker20() }
    }

    fn is_docker20(self) -> bool {
        self == Self::Docker20
    }

    fn refuses_form(self, archive: &Archive) -> Option<String> {
        if archive.is_folder() && self != Self::Skopeo {
            return Some(
                "it takes files, not folders: make a tar of it (`tar -C FOLDER -cf FILE .`)".to_owned(),
            );
        }
        let refused: &[Packing] = match self {
            Self::Docker20 => &[Packing::Zstd],
            Self::Docker29 => &[],
            Self::Containerd => &[Packing::Gzip, Packing::Xz, Packing::Zstd],
            Self::Podman | Self::Skopeo => &[Packing::Gzip, Packing::Zstd],
        };
        if refused.contains(&archive.packing()) {
            let name = archive.packing().name();
            return Some(format!("the archive as a whole is packed with {name}: unpack it first"));
        }
        let has_docker = archive.images().iter().any(|image| image.form.docker);
        (self.is_docker20() && !has_docker).then(|| "it has no `manifest.json`".to_owned())
    }

    fn refuses_layers(self, archive: &Archive, contents: &Contents) -> Option<String> {
        let images = || archive.images().iter().filter(|image| self.sees(archive, image));
        if self.is_docker20()
            && let Some(image) = images().find(|image| image.layers.len() > MAX_GRAPH_DRIVER_LAYERS)
        {
            let (label, layers) = (image.label(), image.layers.len());
            return Some(format!("{label} has {layers} layers, it takes at most {MAX_GRAPH_DRIVER_LAYERS}"));
        }
        for image in images() {
            for layer in &image.layers {
                let path = shown(&layer.path);
                let kind = archive.names().kind(&layer.path);
                let refuses_hard_links = !self.is_docker20() && self != Self::Skopeo;
                if kind == Some(Kind::HardLink) && refuses_hard_links {
                    return Some(format!("`{path}` is a hard link"));
                }
                let refuses_symlinks = matches!(self, Self::Podman | Self::Skopeo) && !image.form.oci;
                if kind == Some(Kind::Symlink) && refuses_symlinks {
                    return Some(format!("`manifest.json` names `{path}`, which is a symlink"));
                }
                let measured = layer.place.and_then(|place| contents.get(&place)?.as_ref().ok());
                let is_zstd = measured.is_some_and(|measured| measured.packing == Packing::Zstd);
                if is_zstd && self.is_docker20() {
                    return Some(format!("`{path}` is packed with zstd, which needs Docker 23"));
                }
            }
        }
        None
    }

    /// Under which names the image is there then, with its ID.
    fn names(self, image: &ArchivedImage) -> Vec<(String, Option<Digest>)> {
        let config = || image.config.as_ref().map(|config| config.digest.clone());
        let root = || image.root.as_ref().map(|root| root.digest.clone());
        let id = match self {
            // Of an image without a manifest they make one, whose digest is not known before.
            Self::Docker29 | Self::Containerd => root(),
            _ => config(),
        };
        let names = image.names.iter().filter(|name| match self {
            Self::Docker20 => name.in_docker,
            _ => true,
        });
        let shown = names.filter_map(|name| {
            let reference = name.reference.as_ref()?;
            match self {
                Self::Docker20 => reference.familiar_tagged_name(),
                Self::Docker29 if reference.tag().is_some() => reference.familiar_tagged_name(),
                _ => Some(reference.tagged_name().unwrap_or_else(|| reference.to_string())),
            }
        });
        let names: Vec<_> = shown.map(|name| (name, id.clone())).collect();
        if names.is_empty() { vec![("<none>".to_owned(), id)] } else { names }
    }
}

/// True for what no loader gets over.
fn breaks(problem: &Problem) -> bool {
    !matches!(
        problem,
        Problem::NoEnd
            | Problem::Twice { .. }
            | Problem::LeadsOut { .. }
            | Problem::Backslash { .. }
            | Problem::NoOciLayout
            | Problem::NoName { .. }
            | Problem::BadName { .. }
            | Problem::SameName { .. }
            | Problem::InOnePart { .. }
            | Problem::NamesDiffer { .. }
            | Problem::Repositories { .. }
            | Problem::Legacy { .. }
            | Problem::WrongPlatform { .. }
            | Problem::WrongFile { .. }
            | Problem::Altered { .. }
            | Problem::Loader { .. }
    )
}

impl fmt::Display for Loader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A word that is no loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is none of docker-20.10, docker-29, containerd, podman and skopeo")]
pub struct UnknownLoader;

impl FromStr for Loader {
    type Err = UnknownLoader;

    fn from_str(text: &str) -> Result<Self, UnknownLoader> {
        Self::ALL.into_iter().find(|loader| loader.name() == text).ok_or(UnknownLoader)
    }
}
