//! What is worth a word but no error, and the words.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use crate::foreign::shown;
use crate::image::{Digest, Platform, Reference, Registry};

/// What is worth a word but no error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// The only image there is was built for another platform, and none was asked for.
    #[error("`{reference}` is an image for {found} only")]
    OtherPlatform {
        /// What was asked for.
        reference: Box<Reference>,
        /// What the image is for.
        found: Box<Platform>,
    },
    /// The disk may be too small for what layers inflate to.
    #[error(
        "{} takes about {estimated_bytes} bytes once its layers are inflated, and {spool_bytes} more on the way; \
         its disk has {free_bytes} free",
        .path.display()
    )]
    MayNotFit {
        /// The output.
        path: PathBuf,
        /// Its size, estimated.
        estimated_bytes: u64,
        /// What the compressed layers take until then.
        spool_bytes: u64,
        /// What the file system has left for us.
        free_bytes: u64,
    },
    /// What an earlier run left under the name was to become another archive.
    #[error("what an earlier run left of {} was of another image, platform or kind of archive: it is begun anew", .path.display())]
    StartedAnew {
        /// The output.
        path: PathBuf,
    },
    /// The daemon's disk may be too small for what an archive holds.
    #[error(
        "the archive has {size_bytes} bytes; the disk of {}, where the images go, has {free_bytes} free",
        .folder.display()
    )]
    DaemonMayBeFull {
        /// Where the daemon keeps images.
        folder: PathBuf,
        /// The archive's size.
        size_bytes: u64,
        /// What the file system has left.
        free_bytes: u64,
    },
    /// An index and the config of its image don't agree on the architecture.
    #[error("the index of `{reference}` says {index}, the image's config says {config}")]
    PlatformsDiffer {
        /// What was asked for.
        reference: Box<Reference>,
        /// What the index says; this is believed.
        index: Box<Platform>,
        /// What the config says.
        config: Box<Platform>,
    },
    /// Images for several versions of an os fit, and none was asked for.
    #[error("`{reference}` is there for several os versions: {taken} is taken, the highest; there is also {}",
        listed(.others))]
    OsVersions {
        /// What was asked for.
        reference: Box<Reference>,
        /// The highest.
        taken: Box<Platform>,
        /// The others, in the index's order.
        others: Vec<Platform>,
    },
    /// More layers than some loaders take.
    #[error(
        "`{reference}` has {layers} layers: Docker's graph driver takes at most {MAX_GRAPH_DRIVER_LAYERS}"
    )]
    ManyLayers {
        /// What was asked for.
        reference: Box<Reference>,
        /// How many layers it has.
        layers: usize,
    },
    /// An index can't be pushed, as an archive has not all that it names.
    #[error("{origin} has {there} of the {named} images of `{name}`: {}", instead(*.there))]
    NotWhole {
        /// The archive.
        origin: String,
        /// The image's name.
        name: String,
        /// How many of its manifests are there.
        there: usize,
        /// How many the index names.
        named: usize,
    },
    /// A foreign layer that an archive does not have: the registry gets none, and whoever pulls needs its URLs.
    #[error("{origin} does not have the foreign layer {digest}: it is not pushed")]
    ForeignLeftOut {
        /// The archive.
        origin: String,
        /// The layer.
        digest: Box<Digest>,
    },
    /// A registry's limit is near.
    #[error("{}", few_left(registry, *.left, *.allowed, *.window))]
    FewLeft {
        /// The registry.
        registry: Registry,
        /// How many images may still be pulled; of other registries than Docker Hub requests.
        left: u64,
        /// How many are allowed in all.
        allowed: Option<u64>,
        /// In which time.
        window: Option<Duration>,
    },
    /// A mirror could not be used; the next one is, or the registry itself.
    #[error("the mirror {mirror} of {registry} is passed over: {problem}")]
    MirrorPassedOver {
        /// The mirror, as configured.
        mirror: String,
        /// Whose mirror it is.
        registry: Registry,
        /// What was wrong.
        problem: String,
    },
    /// A mirror sent other bytes than those of a digest.
    #[error(
        "the mirror {mirror} of {registry} is asked nothing more: what it sent for {digest} was something else"
    )]
    MirrorDropped {
        /// The mirror, as configured.
        mirror: String,
        /// Whose mirror it is.
        registry: Registry,
        /// What it was asked for.
        digest: Box<Digest>,
    },
    /// Layers that a store has unpacked only were made anew of their snapshots.
    #[error("{} of `{reference}` {} there unpacked only, and made anew; {}",
        if *.layers == 1 { "1 layer".to_owned() } else { format!("{layers} layers") },
        if *.layers == 1 { "was" } else { "were" }, made_anew(others))]
    LayersRebuilt {
        /// The image.
        reference: Box<Reference>,
        /// How many.
        layers: usize,
        /// Those that are not what they were to the byte, by their numbers from 1.
        others: Vec<usize>,
    },
    /// A layer that was made anew has not all that its snapshot has.
    #[error("layer {layer} of `{reference}` is made anew without {what}")]
    LeftOutOfLayer {
        /// The image.
        reference: Box<Reference>,
        /// The layer's number, from 1.
        layer: usize,
        /// What is not in it.
        what: String,
    },
    /// An image that nothing but a grab refers to.
    #[error("nothing else refers to the image {id}, and its layers from {first} on: {}", left_alone(*.goes))]
    NothingElse {
        /// The image.
        id: Box<Digest>,
        /// The number of the first layer that is in no other image.
        first: usize,
        /// True if it goes with the grab's name.
        goes: bool,
    },
    /// An archive without the lower layers is for graph drivers alone.
    #[error("{} loads only into a Docker with a graph driver that has the layers below", .path.display())]
    ForGraphDrivers {
        /// The archive.
        path: PathBuf,
    },
    /// An image keeps a name that a grab gave it.
    #[error(
        "{image} still has the name {name}, which it was given for a while; the next grab takes it away, `docker rmi` may \
             take the image with it"
    )]
    StillNamed {
        /// The image.
        image: Box<Digest>,
        /// The name.
        name: String,
    },
    /// A container is frozen for a while.
    #[error(
        "the container `{}` is paused until its layer is read: the file has what was written until now, as after a power \
         cut; what its programs still hold in memory is not in it",
        shown(.container)
    )]
    Frozen {
        /// The container.
        container: String,
    },
    /// A frozen container was not let go on.
    #[error("the container `{}` is still paused: `docker unpause` lets it go on", shown(.container))]
    StillPaused {
        /// The container.
        container: String,
    },
    /// Something is mounted into a container, and so is not of its layer.
    #[error("the {} `{}` at `{}` is not in the container's layer: back it up by itself",
        shown(.kind), shown(.outside), shown(.inside))]
    NotInLayer {
        /// `volume`, `bind`, `tmpfs`.
        kind: String,
        /// A volume's name, or where it is outside.
        outside: String,
        /// Where it is inside.
        inside: String,
    },
    /// Sockets, which are nothing without the program that listens there.
    #[error("{} left out; the program that listens there makes it anew: {}",
        if *.sockets == 1 { "1 socket is".to_owned() } else { format!("{sockets} sockets are") }, some_of(.paths))]
    SocketsLeftOut {
        /// How many.
        sockets: u64,
        /// The first of them.
        paths: Vec<String>,
    },
    /// What a file of an older version does not have.
    #[error("lost when this file of version 1.0 was made: {what}")]
    LostInFile {
        /// What was lost, in words.
        what: String,
    },
    /// A layer goes into a container of another image than its own, as was asked for.
    #[error("the layer is of the image {of_layer}; the container is of {of_container}")]
    LayerOfOtherImage {
        /// The layer's image.
        of_layer: String,
        /// The container's.
        of_container: String,
    },
    /// An import that died was cleaned up after.
    #[error("an import that did not end left something in {}: {}", .folder.display(), if *.is_ended {
        "its layer was in place already, and what was missing is done now"
    } else {
        "what it had unpacked is removed, the layer is as it was before"
    })]
    ImportLeftOver {
        /// The folder.
        folder: PathBuf,
        /// True if its layer was in place already.
        is_ended: bool,
    },
    /// What an import that died left will not go away.
    #[error(
        "an import that did not end left what can't be removed: {why}; the container does without it, but it takes room"
    )]
    LeftOverStays {
        /// What failed, with its causes.
        why: String,
    },
    /// A mirror has no longer all of images that it had.
    #[error("{} names {} no more, as not all of {} is there; the blobs stay", .folder.display(), counted(*.images),
        if *.images == 1 { "it" } else { "them" })]
    MirrorForgets {
        /// The mirror.
        folder: PathBuf,
        /// How many it names no more.
        images: usize,
    },
    /// A mirror's metadata gives way to another root's.
    #[error("{} names {} no more, as its metadata is the root's now; the blobs stay", .folder.display(), counted(*.images))]
    MirrorOverwritten {
        /// The mirror.
        folder: PathBuf,
        /// How many it names no more.
        images: usize,
    },
}

/// Docker refuses images with more (`max depth exceeded`), unless it has the containerd image store.
pub const MAX_GRAPH_DRIVER_LAYERS: usize = 125;

fn counted(images: usize) -> String {
    if images == 1 { "1 image that it had".to_owned() } else { format!("{images} images that it had") }
}

fn left_alone(goes: bool) -> &'static str {
    if goes { "`--clean` takes it away" } else { "`docker image prune` would take it away" }
}

fn some_of(paths: &[String]) -> String {
    const MAX_TOLD: usize = 3;
    let told =
        paths.iter().take(MAX_TOLD).map(|path| format!("`{}`", shown(path))).collect::<Vec<_>>().join(", ");
    if paths.len() > MAX_TOLD { format!("{told}, …") } else { told }
}

fn made_anew(others: &[usize]) -> String {
    let numbers = others.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match others {
        [] => "all is the same to the byte, so the image keeps its ID".to_owned(),
        [_] => format!("layer {numbers} is not the same to the byte, so the image gets another ID"),
        _ => format!("layers {numbers} are not the same to the byte, so the image gets another ID"),
    }
}

fn instead(there: usize) -> &'static str {
    if there == 1 {
        "that one is pushed under the name, by its own digest"
    } else {
        "an index of those is pushed, whose digest is new"
    }
}

fn listed(platforms: &[Platform]) -> String {
    platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn few_left(registry: &Registry, left: u64, allowed: Option<u64>, window: Option<Duration>) -> String {
    let hub = registry.is_docker_hub();
    let things = if hub { "pull" } else { "make" };
    let noun = match (hub, left) {
        (true, 1) => "image",
        (true, _) => "images",
        (false, 1) => "request",
        (false, _) => "requests",
    };
    let rule = match (allowed, window) {
        (Some(allowed), Some(window)) => format!(" ({allowed} are allowed in {})", in_words(window)),
        (Some(allowed), None) => format!(" ({allowed} are allowed)"),
        (None, Some(window)) => format!(" in the next {}", in_words(window)),
        (None, None) => String::new(),
    };
    format!("{registry} lets you {things} {left} more {noun}{rule}; those who log in may have more")
}

/// An error and its causes on one line.
pub fn with_causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause: &&dyn Error| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// A time as people say it: `90 s`, `2 min 30 s`, `6 h`.
pub fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds % 3600 / 60, seconds % 60) {
        (0, 0..2, _) => format!("{seconds} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Reference;

    #[test]
    fn times_are_told_as_people_say_them() {
        for (seconds, text) in [
            (0, "0 s"),
            (90, "90 s"),
            (120, "2 min"),
            (150, "2 min 30 s"),
            (3600, "1 h"),
            (5000, "1 h 23 min"),
        ] {
            assert_eq!(in_words(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_limit_that_is_near_is_told_in_words() {
        let registry = |name: &str| name.parse::<Reference>().unwrap().registry().clone();
        let window = Some(Duration::from_hours(6));
        let told = |name: &str, left, allowed, window| {
            Warning::FewLeft { registry: registry(name), left, allowed, window }.to_string()
        };
        assert_eq!(
            told("busybox", 5, Some(100), window),
            "docker.io lets you pull 5 more images (100 are allowed in 6 h); those who log in may have more"
        );
        assert_eq!(
            told("reg.example/x", 1, None, window),
            "reg.example lets you make 1 more request in the next 6 h; those who log in may have more"
        );
    }
}
