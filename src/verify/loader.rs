//! What each loader makes of an archive. Every rule was measured on the versions it names (`docs/formats.md`).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

use crate::archive::names::Kind;
use crate::archived::{Archive, ArchivedImage, Contents, ImageName, Problem};
use crate::blob::Packing;
use crate::event::MAX_GRAPH_DRIVER_LAYERS;
use crate::foreign::shown;
use crate::image::Digest;

/// The layers that podman 4.3 runs: more it loads, and says `max depth exceeded` then.
const PODMAN_4_LAYERS: usize = 128;

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
        match self.loaded(archive, contents, problems) {
            Ok(images) => Verdict::Loads(images),
            Err(why) => Verdict::Refuses(why),
        }
    }

    /// The images it loads, or why it takes nothing, or less than all.
    fn loaded(
        self,
        archive: &Archive,
        contents: &Contents,
        problems: &[Problem],
    ) -> Result<Vec<(String, Option<Digest>)>, String> {
        if let Some(broken) = problems.iter().find(|problem| breaks(archive, problem)) {
            return Err(broken.to_string());
        }
        let half = self.half(archive)?;
        refused(self.refuses_form(half, archive))?;
        let images: Vec<_> = archive.images().iter().filter(|image| self.sees(half, image)).collect();
        let mut platforms: HashMap<Option<&Digest>, usize> = HashMap::new();
        for image in &images {
            *platforms.entry(image.root_digest()).or_default() += 1;
        }
        let (mut loaded, mut met) = (Vec::new(), HashSet::new());
        for image in &images {
            refused(self.refuses_layers(half, image, archive, contents))?;
            let id = self.id(half, image, platforms[&image.root_digest()]);
            let names = self.names(half, image, archive)?;
            // Of several platforms of one name it speaks once.
            let new = names.into_iter().map(|name| (name, id.clone()));
            loaded.extend(new.filter(|one| met.insert(one.clone())));
        }
        Ok(loaded)
    }

    /// The half it goes by.
    fn half(self, archive: &Archive) -> Result<Half, String> {
        let images = archive.images();
        let has_docker = images.iter().any(|image| image.form.docker);
        let has_layout = archive.names().place("oci-layout").is_some();
        let named = named_by_index(images);
        match self {
            Self::Docker20 if has_docker => Ok(Half::Docker),
            Self::Docker20 => Err("it has no `manifest.json`".to_owned()),
            Self::Docker29 | Self::Containerd if has_layout && named > 0 => Ok(Half::Oci),
            Self::Docker29 | Self::Containerd if has_docker => Ok(Half::Docker),
            Self::Docker29 | Self::Containerd => Err("it has no `oci-layout`".to_owned()),
            Self::Podman if named == 1 => Ok(Half::Oci),
            Self::Podman if has_docker => Ok(Half::Docker),
            Self::Podman => Err(format!("`index.json` has {named} names, and it takes one")),
            // It is told which, and of several images each by its name.
            Self::Skopeo if images.iter().all(|image| image.form.oci) => Ok(Half::Oci),
            Self::Skopeo => Ok(Half::Docker),
        }
    }

    fn sees(self, half: Half, image: &ArchivedImage) -> bool {
        match half {
            _ if self == Self::Skopeo => true,
            Half::Docker => image.form.docker,
            Half::Oci => image.form.oci,
        }
    }

    fn refuses_form(self, half: Half, archive: &Archive) -> Option<String> {
        if archive.is_folder() {
            let takes_layouts = matches!(self, Self::Podman | Self::Skopeo) && half == Half::Oci;
            return (!takes_layouts).then(|| {
                "it takes files, not folders: make a tar of it (`tar -C FOLDER -cf FILE .`)".to_owned()
            });
        }
        let name = archive.packing().name();
        let only_newer = |old: &str, new: &str| {
            Some(format!(
                "the archive as a whole is packed with {name}, which {old} can't read ({new} can): unpack it first"
            ))
        };
        match (self, archive.packing()) {
            (Self::Docker20, Packing::Zstd) | (Self::Containerd, Packing::Xz) => {
                Some(format!("the archive as a whole is packed with {name}: unpack it first"))
            }
            (Self::Docker29, Packing::Xz) => Some(format!(
                "the archive as a whole is packed with {name}, which it reads only where the program `xz` is \
                 installed: unpack it first"
            )),
            (Self::Containerd, Packing::Gzip | Packing::Zstd) => only_newer("containerd 1.6", "2.1"),
            (Self::Podman, Packing::Gzip) if half == Half::Docker => only_newer("podman 4.3", "5.8"),
            (Self::Skopeo, Packing::Gzip) if half == Half::Docker => only_newer("skopeo 1.9", "1.22"),
            _ => self.refuses_links(half, archive),
        }
    }

    /// containerd looks for what each symlink leads to, whoever names it.
    fn refuses_links(self, half: Half, archive: &Archive) -> Option<String> {
        if half == Half::Oci || !matches!(self, Self::Docker29 | Self::Containerd) {
            return None;
        }
        let names = archive.names();
        let leads_nowhere =
            |path: &&str| names.kind(path) == Some(Kind::Symlink) && names.place(path).is_none();
        names.paths().find(leads_nowhere).map(|path| format!("the symlink `{}` leads nowhere", shown(path)))
    }

    fn refuses_layers(
        self,
        half: Half,
        image: &ArchivedImage,
        archive: &Archive,
        contents: &Contents,
    ) -> Option<String> {
        let layers = image.layers.len();
        if self == Self::Docker20 && layers > MAX_GRAPH_DRIVER_LAYERS {
            let label = image.label();
            return Some(format!("{label} has {layers} layers, it takes at most {MAX_GRAPH_DRIVER_LAYERS}"));
        }
        if self == Self::Podman && layers > PODMAN_4_LAYERS {
            let label = image.label();
            return Some(format!(
                "{label} has {layers} layers, podman 4.3 runs at most {PODMAN_4_LAYERS} (5.8 more)"
            ));
        }
        image.layers.iter().find_map(|layer| {
            let path = shown(&layer.path);
            // What `index.json` leads to is found by its digest, or unpacked with its links.
            match archive.names().kind(&layer.path).filter(|_| half == Half::Docker) {
                Some(Kind::HardLink) if self != Self::Docker20 => {
                    return Some(format!("`manifest.json` names `{path}`, which is a hard link"));
                }
                Some(Kind::Symlink) if matches!(self, Self::Podman | Self::Skopeo) => {
                    return Some(format!("`manifest.json` names `{path}`, which is a symlink"));
                }
                _ => {}
            }
            let measured = layer.place.and_then(|place| contents.get(&place)?.as_ref().ok())?;
            let refuses_zstd = self == Self::Docker20 && measured.packing == Packing::Zstd;
            refuses_zstd.then(|| format!("`{path}` is packed with zstd, which needs Docker 23"))
        })
    }

    /// What it calls the image, one of so many `platforms`; none where that is not known before.
    fn id(self, half: Half, image: &ArchivedImage, platforms: usize) -> Option<Digest> {
        match (self, half) {
            // Of an image without a manifest they make one.
            (Self::Docker29 | Self::Containerd, Half::Docker) => None,
            (Self::Docker29 | Self::Containerd, Half::Oci) => image.root_digest().cloned(),
            // Of several platforms they take their own machine's.
            (Self::Podman | Self::Skopeo, Half::Oci) if platforms > 1 => None,
            _ => image.config.as_ref().map(|config| config.digest.clone()),
        }
    }

    /// Under which names the image is there then.
    fn names(self, half: Half, image: &ArchivedImage, archive: &Archive) -> Result<Vec<String>, String> {
        let given = image.names.iter().filter(|name| match half {
            _ if self == Self::Skopeo => true,
            Half::Docker => name.in_docker,
            Half::Oci => name.in_oci,
        });
        let names = given.map(|name| self.name_of(half, name)).collect::<Result<Vec<_>, _>>()?;
        let has_none = names.is_empty() || (self == Self::Podman && archive.is_folder());
        match self {
            Self::Containerd if has_none => {
                Err(format!("{} has no name, and it keeps nothing without one", image.label()))
            }
            _ if has_none => Ok(vec!["<none>".to_owned()]),
            _ => Ok(names),
        }
    }

    fn name_of(self, half: Half, name: &ImageName) -> Result<String, String> {
        let text = shown(&name.text);
        let is_tag_alone = !name.text.contains(['/', ':', '@']);
        let Some(reference) = &name.reference else {
            return match (self, half) {
                (Self::Containerd, Half::Oci) if is_tag_alone => Ok(format!("import-<date>:{text}")),
                (Self::Podman, Half::Oci) if is_tag_alone => Ok(format!("localhost/{text}:latest")),
                (Self::Skopeo, _) | (Self::Containerd, Half::Oci) => Ok(text),
                _ => Err(format!("`{text}` is no name of an image")),
            };
        };
        let has_tag = reference.tag().is_some_and(|tag| name.text.ends_with(&format!(":{tag}")));
        // Where both halves have a name, its text is that of `manifest.json`.
        let is_whole = (half == Half::Oci && name.in_docker)
            || name.text.starts_with(&format!("{}/", reference.registry().as_str()));
        let in_full = reference.tagged_name().unwrap_or_else(|| reference.to_string());
        match (self, half, reference.familiar_tagged_name()) {
            (Self::Docker20 | Self::Podman, Half::Docker, _) if !has_tag => {
                Err(format!("`{text}` has no tag"))
            }
            (Self::Docker29, Half::Oci, _) if !is_whole || !has_tag && reference.tag().is_some() => {
                Err(format!("`{text}` is not a whole name, by which alone it finds images: `{in_full}`"))
            }
            (Self::Docker20 | Self::Docker29, _, Some(familiar)) => Ok(familiar),
            // Names without a registry are its own machine's.
            (Self::Podman, ..) if !is_whole => {
                Ok(format!("localhost/{}", reference.familiar_tagged_name().unwrap_or(in_full)))
            }
            // It keeps names of `index.json` as they stand there.
            (Self::Containerd, Half::Oci, _) if !name.in_docker => Ok(text),
            _ => Ok(in_full),
        }
    }
}

/// The half of an archive that a loader goes by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    /// `manifest.json`.
    Docker,
    /// `index.json`.
    Oci,
}

fn refused(why: Option<String>) -> Result<(), String> {
    why.map_or(Ok(()), Err)
}

/// How many descriptors of images `index.json` has: one for each name, with all platforms of it.
fn named_by_index(images: &[ArchivedImage]) -> usize {
    let mut descriptors = BTreeSet::new();
    for image in images {
        let Some(root) = &image.root else { continue };
        let names: Vec<_> = image.names.iter().filter(|name| name.in_oci).map(|name| &name.text).collect();
        if names.is_empty() {
            descriptors.insert((&root.digest, None));
        }
        descriptors.extend(names.into_iter().map(|name| (&root.digest, Some(name))));
    }
    descriptors.len()
}

/// True for what no loader gets over.
pub fn breaks(archive: &Archive, problem: &Problem) -> bool {
    match problem {
        Problem::Twice { .. }
        | Problem::LeadsOut { .. }
        | Problem::Backslash { .. }
        | Problem::NoEnd { .. }
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
        | Problem::Loader { .. } => false,
        // How a config's file is called counts for `index.json` alone.
        Problem::WrongDigest { path, .. } => {
            let has_it =
                |image: &ArchivedImage| image.config.as_ref().is_some_and(|config| config.path == *path);
            archive.images().iter().any(|image| image.form.oci) || !archive.images().iter().any(has_it)
        }
        _ => true,
    }
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
