//! Which layer is meant: by its image's name or ID, by its diff ID, by the digest of its blob, or by digits of one of them.

use std::collections::BTreeMap;
use std::path::Path;

use super::shim::{Asked, Form, Spool};
use super::{Ended, Grab, GrabError};
use crate::daemon::DaemonImage;
use crate::error::Result;
use crate::event::Event;
use crate::image::{DiffId, Digest};

/// Fewer digits are taken for a name.
const FEWEST_DIGITS: usize = 4;
/// Fewer are not looked for among blobs.
const FEWEST_DIGITS_OF_BLOBS: usize = 12;

/// A layer of an image.
#[derive(Clone, Debug)]
pub struct Found {
    /// The image.
    pub image: DaemonImage,
    /// Which of its layers, from 0.
    pub position: usize,
    /// The digest of the layer's blob, where it was asked for by that.
    pub blob: Option<Digest>,
    /// True if it was asked for by the ID of an image whose last layer it is.
    pub is_by_image_id: bool,
}

/// Which layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// By its place: from 0, or from -1 down from the last.
    Number(i64),
    /// By its diff ID, or the first digits of it.
    DiffId(String),
}

impl Choice {
    /// Reads `0`, `-1`, `sha256:…` or digits.
    pub fn of(text: &str) -> Self {
        // As many digits are no number of a layer.
        match text.parse() {
            Ok(number) if text.len() < 12 => Self::Number(number),
            _ => Self::DiffId(text.to_owned()),
        }
    }
}

impl std::fmt::Display for Choice {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(formatter),
            Self::DiffId(text) => formatter.write_str(&crate::foreign::shown(text)),
        }
    }
}

impl Found {
    /// The layer.
    pub fn diff_id(&self) -> &DiffId {
        &self.image.diff_ids[self.position]
    }

    /// What the layer is called in folders: as it was asked for.
    pub fn id(&self) -> &str {
        if self.is_by_image_id { self.image.id.hex() } else { self.diff_id().digest().hex() }
    }

    /// The layer below.
    pub fn below(&self) -> Option<&DiffId> {
        self.image.diff_ids.get(self.position.checked_sub(1)?)
    }

    /// The image, as people know it.
    pub fn shown(&self) -> String {
        self.image.shown()
    }
}

impl Grab<'_> {
    /// The layer that is meant by `text`; with a choice it is one of the image of that name or ID.
    pub async fn find(&self, text: &str, choice: Option<&Choice>) -> Result<Found> {
        let named = self.daemon.image(&self.daemon.full_name(text)).await?;
        let digits = Digits::of(text);
        let is_id = |image: &DaemonImage| digits.as_ref().is_some_and(|digits| digits.are_of_image(image));
        if let Some(image) = &named
            && (choice.is_some() || !is_id(image))
        {
            return chosen(image, choice);
        }
        let Some(digits) = digits else { return Err(self.nothing(text)) };
        let mut images = self.daemon.images(true).await?;
        if let Some(named) = named.filter(|named| !images.iter().any(|image| image.id == named.id)) {
            images.push(named);
        }
        let mut matches: BTreeMap<String, Found> = BTreeMap::new();
        for image in &images {
            if digits.are_of_image(image) {
                let found = Found { is_by_image_id: choice.is_none(), ..chosen(image, choice)? };
                matches.entry(format!("image {}", image.id)).or_insert(found);
            }
            if choice.is_some() {
                continue;
            }
            for (position, diff_id) in image.diff_ids.iter().enumerate() {
                if !digits.are_of(diff_id.digest()) {
                    continue;
                }
                let found = Found { image: image.clone(), position, blob: None, is_by_image_id: false };
                // Of all images that have it, the one with the least above it.
                let above = |found: &Found| found.image.diff_ids.len() - found.position;
                let known = matches.entry(format!("layer {diff_id}")).or_insert_with(|| found.clone());
                if above(&found) < above(known) {
                    *known = found;
                }
            }
        }
        if matches.is_empty() && choice.is_none() && self.searches_blobs && digits.may_be_of_blob() {
            matches = self.by_blob(&digits, &images).await?;
        }
        let several = matches.iter().map(|(what, found)| format!("{what} ({})", found.shown())).collect();
        let mut found = matches.into_values();
        match (found.next(), found.next()) {
            (Some(found), None) => Ok(found),
            (None, _) => Err(self.nothing(text)),
            _ => Err(GrabError::Ambiguous { text: text.to_owned(), matches: several }.into()),
        }
    }

    fn nothing(&self, text: &str) -> crate::Error {
        GrabError::Nothing { daemon: self.daemon.name(), text: text.to_owned() }.into()
    }

    /// Layers by the digests of their blobs, which only a push tells: each image is pushed as far as that costs nothing, and
    /// as a whole if a blob of it was asked for whose layer is not known then.
    async fn by_blob(&self, digits: &Digits, images: &[DaemonImage]) -> Result<BTreeMap<String, Found>> {
        self.reporter.report(Event::BlobSearchStarted { daemon: self.daemon.name(), images: images.len() });
        let mut matches = BTreeMap::new();
        let is_between =
            |image: &DaemonImage| images.iter().any(|other| other.parent.as_ref() == Some(&image.id));
        for image in images.iter().filter(|image| !image.diff_ids.is_empty() && !is_between(image)) {
            let mut known = image.documents.iter().map(|documents| documents.manifest.clone()).collect();
            if image.documents.is_none() {
                let (seen, named) = match self.digests_of(image, false).await {
                    // It went since they were listed.
                    Err(crate::Error::Grab(GrabError::Nothing { .. })) => continue,
                    told => told?,
                };
                known = named;
                if known.is_empty() && seen.iter().any(|digest| digits.are_of(digest)) {
                    known = self.digests_of(image, true).await?.1;
                }
            }
            for manifest in known {
                for (position, layer) in manifest.layers.iter().enumerate() {
                    if digits.are_of(&layer.digest) {
                        let (image, blob) = (image.clone(), Some(layer.digest.clone()));
                        let found = Found { image, position, blob, is_by_image_id: false };
                        matches.entry(format!("blob {}", layer.digest)).or_insert(found);
                    }
                }
            }
        }
        Ok(matches)
    }

    /// The blobs that a daemon knows of an image, and its manifests if it comes so far. Uploads are taken, and thrown away,
    /// or end the push.
    async fn digests_of(
        &self,
        image: &DaemonImage,
        takes_uploads: bool,
    ) -> Result<(Vec<Digest>, Vec<crate::image::Manifest>)> {
        let mut session = self
            .session(Spool { file: None, form: Form::AsPushed, limits: self.limits }, Path::new(""))
            .await?;
        self.given_name(&session, image).await?;
        session.shim.ask(Asked { takes_uploads, ..Asked::default() });
        let pushed = session.push(self.daemon, image).await;
        let told = (session.shim.seen(), session.manifests_of(image.diff_ids.len()));
        self.end(session).await;
        match pushed? {
            Ended::Pushed(Err(error)) if told.1.is_empty() && !error.is_of_push() => Err(error.into()),
            _ => Ok(told),
        }
    }
}

/// The layer of `image` that was chosen; without a choice its last.
fn chosen(image: &DaemonImage, choice: Option<&Choice>) -> Result<Found> {
    let layers = image.diff_ids.len();
    if layers == 0 {
        return Err(GrabError::NoLayers { image: image.shown() }.into());
    }
    let missing =
        |choice: &Choice| GrabError::NoSuchLayer { image: image.shown(), asked: choice.to_string(), layers };
    let position = match choice {
        None => layers - 1,
        Some(choice @ Choice::Number(number)) => {
            let from_start =
                if *number < 0 { number + i64::try_from(layers).unwrap_or(i64::MAX) } else { *number };
            let position = usize::try_from(from_start).ok().filter(|position| *position < layers);
            position.ok_or_else(|| missing(choice))?
        }
        Some(choice @ Choice::DiffId(text)) => {
            let digits = Digits::of(text).ok_or_else(|| missing(choice))?;
            let mut matches: Vec<&DiffId> =
                image.diff_ids.iter().filter(|diff_id| digits.are_of(diff_id.digest())).collect();
            matches.dedup();
            match matches[..] {
                [] => return Err(missing(choice).into()),
                [one] => image.diff_ids.iter().position(|diff_id| diff_id == one).unwrap_or_default(),
                _ => {
                    let matches = matches.iter().map(|diff_id| format!("layer {diff_id}")).collect();
                    return Err(GrabError::Ambiguous { text: text.clone(), matches }.into());
                }
            }
        }
    };
    Ok(Found { image: image.clone(), position, blob: None, is_by_image_id: false })
}

/// The first digits of a digest, or all of them.
struct Digits {
    hex: String,
    /// True if they were called those of a digest.
    is_digest: bool,
}

impl Digits {
    fn of(text: &str) -> Option<Self> {
        let (is_digest, hex) = match text.split_once(':') {
            Some(("sha256" | "sha512", hex)) => (true, hex),
            Some(_) => return None,
            None => (false, text),
        };
        let is_hex = hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (is_hex && (hex.len() >= FEWEST_DIGITS || is_digest && !hex.is_empty()))
            .then(|| Self { hex: hex.to_owned(), is_digest })
    }

    fn are_of(&self, digest: &Digest) -> bool {
        digest.hex().starts_with(&self.hex)
    }

    /// An image goes by its ID, and by its config's digest, which is what Kubernetes calls it.
    fn are_of_image(&self, image: &DaemonImage) -> bool {
        let config = image.documents.as_ref().map(|documents| &documents.manifest.config.digest);
        self.are_of(&image.id) || config.is_some_and(|config| self.are_of(config))
    }

    /// A word that happens to be of such letters is not worth a push of all images.
    fn may_be_of_blob(&self) -> bool {
        self.is_digest || self.hex.len() >= FEWEST_DIGITS_OF_BLOBS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(layers: &[&str]) -> DaemonImage {
        let diff_ids = layers.iter().map(|layer| Digest::of(layer.as_bytes()));
        let diff_ids = serde_json::to_string(&diff_ids.collect::<Vec<_>>()).unwrap();
        DaemonImage {
            id: Digest::of(b"image"),
            handle: "x".to_owned(),
            names: vec!["app:1".to_owned()],
            is_being_pushed: false,
            is_referred_to: true,
            parent: None,
            platform: crate::image::Platform::linux_amd64(),
            diff_ids: serde_json::from_str(&diff_ids).unwrap(),
            config_fields: BTreeMap::new(),
            documents: None,
        }
    }

    #[test]
    fn layers_are_chosen_from_either_end_and_by_digits() {
        let image = image(&["a", "b", "c"]);
        let position = |text: &str| chosen(&image, Some(&Choice::of(text))).map(|found| found.position);
        assert_eq!(chosen(&image, None).unwrap().position, 2);
        for (text, expected) in [("0", 0), ("2", 2), ("-1", 2), ("-3", 0)] {
            assert_eq!(position(text).unwrap(), expected, "{text}");
        }
        let b = Digest::of(b"b");
        for text in
            [b.to_string(), b.hex().to_owned(), b.hex()[..6].to_owned(), format!("sha256:{}", &b.hex()[..2])]
        {
            assert_eq!(position(&text).unwrap(), 1, "{text}");
        }
        for text in ["3", "-4", "sha256:0000", "app", ""] {
            let error = position(text).unwrap_err().to_string();
            assert!(error.contains("app:1 has no layer") && error.ends_with("it has 3"), "{error}");
        }
    }

    #[test]
    fn an_image_of_nothing_has_no_layer() {
        assert_eq!(chosen(&image(&[]), None).unwrap_err().to_string(), "app:1 has no layers");
    }

    #[test]
    fn what_is_repeated_is_one_layer() {
        let image = image(&["a", "b", "a"]);
        let a = Digest::of(b"a").to_string();
        assert_eq!(chosen(&image, Some(&Choice::DiffId(a))).unwrap().position, 0);
    }

    #[test]
    fn digits_are_told_from_names() {
        for text in ["beef", "sha256:0", "0123456789abcdef"] {
            assert!(Digits::of(text).is_some(), "{text}");
        }
        for text in ["bee", "busybox", "beef:1", "sha256:", "BEEF", "a/beef", "sha256:xyz"] {
            assert!(Digits::of(text).is_none(), "{text}");
        }
    }
}
