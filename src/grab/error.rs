//! How a grab goes wrong.

use crate::blob::InflateError;
use crate::daemon::DaemonError;
use crate::daemon::address::Address;
use crate::foreign::shown;
use crate::image::{DiffId, Digest, Platform};
use crate::registry::server::StartError;

/// A layer can't be grabbed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrabError {
    /// There is nothing of that name.
    #[error("{daemon} has no image and no layer `{}`", shown(.text))]
    Nothing {
        /// What the daemon is called.
        daemon: &'static str,
        /// What was asked for.
        text: String,
    },
    /// Some digits are those of several.
    #[error("`{}` may be any of {}: {}", shown(.text), .matches.len(), .matches.join(", "))]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// What it may be, each with what it is.
        matches: Vec<String>,
    },
    /// An image has fewer layers, or others.
    #[error("{image} has no layer {asked}: it has {layers}")]
    NoSuchLayer {
        /// The image.
        image: String,
        /// Which layer was asked for.
        asked: String,
        /// How many it has.
        layers: usize,
    },
    /// An image is made of nothing.
    #[error("{image} has no layers")]
    NoLayers {
        /// The image.
        image: String,
    },
    /// The daemon is elsewhere, and so can't push to this machine's loopback.
    #[error("the daemon at {address} is on another machine, and can't push to this one's 127.0.0.1")]
    Remote {
        /// Its address.
        address: Box<Address>,
    },
    /// The daemon pushed, and the layer did not come.
    #[error("{daemon} pushed {image}, but not its layer {layer}")]
    NotSent {
        /// What the daemon is called.
        daemon: &'static str,
        /// The image.
        image: String,
        /// The layer.
        layer: DiffId,
    },
    /// What the daemon pushed inflates too far for what was agreed, and may be the layer.
    #[error("what came of {image} was not unpacked, and may be its layer {layer}")]
    TooLarge {
        /// The image.
        image: String,
        /// The layer.
        layer: DiffId,
        /// How far it inflates.
        source: Box<InflateError>,
    },
    /// The layer was asked for by the digest of a blob, and came as another blob.
    #[error("{daemon} packs layer {layer} anew: the blob that it pushed is {got}, not {asked}")]
    PackedAnew {
        /// What the daemon is called.
        daemon: &'static str,
        /// The layer.
        layer: DiffId,
        /// The blob that was asked for.
        asked: Box<Digest>,
        /// The blob that came.
        got: Box<Digest>,
    },
    /// Layers for different platforms can't be of one image.
    #[error("a layer for {one} and one for {other} make no image")]
    SeveralPlatforms {
        /// The platform of the last layer.
        one: Box<Platform>,
        /// Another one.
        other: Box<Platform>,
    },
    /// The daemon pushed, and the image's config or manifest did not come.
    #[error("{daemon} pushed {image}, but not its {what}")]
    NoDocument {
        /// What the daemon is called.
        daemon: &'static str,
        /// The image.
        image: String,
        /// Which of the two.
        what: &'static str,
    },
    /// The registry for the daemon could not be started.
    #[error("there can be no registry for the daemon to push to")]
    Start(#[from] StartError),
    /// The system gave no random numbers.
    #[error("the system has no random numbers, which the registry's name is made of")]
    NoRandomness,
    /// An image keeps a name that it had for a while.
    #[error("{image} still has the name {name}, which it was given for a while")]
    NotUntagged {
        /// The image.
        image: Digest,
        /// The name.
        name: String,
        /// Why it could not be taken away.
        source: Box<DaemonError>,
    },
}
