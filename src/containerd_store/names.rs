//! Which images a person means: by a name as people write it, a pattern, a digest or its first digits.

use super::content::Content;
use super::image::StoredImage;
use super::inventory::Inventory;
use crate::image::{Digest, Reference};

/// The name of an image by its digest where its own is no reference.
const NAMELESS: &str = "containerd.invalid/image";
/// So many digits of a digest are enough for people to mean one.
const MIN_DIGITS: usize = 6;
/// How many names are offered for one that isn't there.
const MAX_NEAR: usize = 3;

impl StoredImage {
    /// The name as a reference; none where it is none, or is an image's ID (`sha256:…`), which containerd's CRI gives
    /// each image as one more name.
    pub fn reference(&self) -> Option<Reference> {
        if self.name.parse::<Digest>().is_ok() {
            return None;
        }
        self.name.parse().ok()
    }

    /// The image by its digest, as several namespaces may have one name for several images; under its name, if that is a
    /// reference.
    pub fn pinned(&self) -> Option<Reference> {
        let digest = &self.target.digest;
        let name = self.reference().map_or(NAMELESS.to_owned(), |reference| reference.to_string());
        let name = name.split_once('@').map_or(name.as_str(), |(name, _)| name);
        format!("{name}@{digest}").parse().ok()
    }

    /// The name as Docker shows it.
    fn familiar(&self) -> Option<String> {
        self.reference()?.familiar_tagged_name()
    }
}

/// Those of `images` that `text` means. A name in full goes before all else; then digests, patterns (`*` is any text, `?`
/// any character), and names as people write them.
pub(super) fn meant<'a>(text: &str, images: &'a [StoredImage], content: &Content) -> Vec<&'a StoredImage> {
    let of = |is_meant: &dyn Fn(&&StoredImage) -> bool| images.iter().filter(is_meant).collect::<Vec<_>>();
    if let Some(exact) = images.iter().find(|image| image.name == text) {
        // An ID is the name of what has other names, too.
        let is_id = exact.name.parse::<Digest>().is_ok();
        return of(&|image| image.name == text || is_id && image.target.digest == exact.target.digest);
    }
    if is_pattern(text) {
        return of(&|image| {
            matches(text, &image.name) || image.familiar().is_some_and(|name| matches(text, &name))
        });
    }
    if let Ok(wanted) = text.parse::<Reference>() {
        let named =
            of(&|image| image.reference().is_some_and(|reference| is_same(&wanted, &reference, image)));
        if !named.is_empty() {
            // `docker.io/library/nginx:latest` goes before `nginx:latest`, should there be both.
            let in_full: Vec<_> = named.iter().copied().filter(|image| is_in_full(image)).collect();
            return if in_full.is_empty() { named } else { in_full };
        }
    }
    let Some(digits) = digits(text) else { return Vec::new() };
    let has_digits = |digest: &Digest| digest.hex().starts_with(digits);
    let by_target = of(&|image| has_digits(&image.target.digest));
    if !by_target.is_empty() {
        return by_target;
    }
    of(&|image| {
        Inventory::of(&image.target, content).present().any(|held| {
            has_digits(&held.manifest.digest)
                || held.config.as_ref().is_some_and(|config| has_digits(&config.digest))
        })
    })
}

/// True for a text that stands for any number of names.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// The names that are nearest to `text`.
pub(super) fn near(text: &str, images: &[StoredImage]) -> Vec<String> {
    let wanted = text.rsplit('/').next().unwrap_or(text);
    let distance = |image: &StoredImage| {
        let name = image.familiar().unwrap_or_else(|| image.name.clone());
        let last = name.rsplit('/').next().unwrap_or(&name);
        let bare = last.split([':', '@']).next().unwrap_or(last);
        let wanted_bare = wanted.split([':', '@']).next().unwrap_or(wanted);
        (strsim::damerau_levenshtein(wanted_bare, bare), strsim::damerau_levenshtein(wanted, last), name)
    };
    let mut found: Vec<_> = images.iter().map(distance).collect();
    found.sort();
    found.dedup();
    let is_near = |(distance, ..): &(usize, usize, String)| *distance <= wanted.len() / 3;
    found.into_iter().filter(is_near).map(|(.., name)| name).take(MAX_NEAR).collect()
}

fn is_same(wanted: &Reference, reference: &Reference, image: &StoredImage) -> bool {
    let has_digest = match wanted.digest() {
        Some(digest) => *digest == image.target.digest,
        None => true,
    };
    let has_tag = match wanted.tag() {
        Some(tag) => reference.tag() == Some(tag),
        None => true,
    };
    wanted.repository() == reference.repository() && has_digest && has_tag
}

fn is_in_full(image: &StoredImage) -> bool {
    image.reference().is_some_and(|reference| reference.to_string() == image.name)
}

/// The first digits of a digest: `sha256:3fbc63` or `3fbc63`.
fn digits(text: &str) -> Option<&str> {
    let digits = text.strip_prefix("sha256:").or_else(|| text.strip_prefix("sha512:")).unwrap_or(text);
    let is_hex = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (digits.len() >= MIN_DIGITS && is_hex).then_some(digits)
}

/// True if all of `text` is as `pattern` says.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut read) = (0, 0);
    // Where the last star stands, and what it takes so far.
    let mut star = None;
    while read < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[read] => {
                at += 1;
                read += 1;
            }
            _ => match star {
                Some((place, taken)) => {
                    star = Some((place, taken + 1));
                    (at, read) = (place + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::image::{Descriptor, MediaType};

    fn image(name: &str) -> StoredImage {
        let digest = Digest::of(name.split('@').next().unwrap().as_bytes());
        let target = Descriptor::new(MediaType::OciManifest, digest, 1);
        StoredImage { name: name.into(), target, created: None, updated: None, labels: BTreeMap::new() }
    }

    fn found(text: &str, names: &[&str]) -> Vec<String> {
        let images: Vec<_> = names.iter().map(|name| image(name)).collect();
        let content = Content::of(Path::new("/nonexistent"));
        meant(text, &images, &content).into_iter().map(|image| image.name.clone()).collect()
    }

    #[test]
    fn names_are_found_as_people_write_them() {
        let names = [
            "docker.io/library/nginx:1.27",
            "docker.io/library/nginx:latest",
            "nginx:latest",
            "quay.io/org/app:1",
            "localhost:5000/x",
            "Not A/Name",
        ];
        for (text, one) in [
            ("nginx", 1),
            ("nginx:1.27", 0),
            ("library/nginx", 1),
            ("docker.io/nginx:latest", 1),
            ("nginx:latest", 2),
            ("quay.io/org/app:1", 3),
            ("QUAY.IO/org/app:1", 3),
            ("localhost:5000/x:latest", 4),
            ("localhost:5000/x", 4),
            ("Not A/Name", 5),
        ] {
            assert_eq!(found(text, &names), [names[one]], "{text}");
        }
        for none in ["nginx:1", "app", "quay.io/org/app", "not a/name", "", "sha256:", "x", "abcdef"] {
            assert!(found(none, &names).is_empty(), "{none}");
        }
    }

    #[test]
    fn patterns_take_any_text() {
        let names = ["docker.io/library/nginx:1.27", "quay.io/org/app:1", "quay.io/org/app:2", "odd name"];
        for (text, all) in [
            ("*", &names[..]),
            ("quay.io/*", &names[1..3]),
            ("nginx:*", &names[..1]),
            ("*:?", &names[1..3]),
            ("*nginx*27", &names[..1]),
            ("odd*", &names[3..]),
            ("n*x", &[]),
        ] {
            assert_eq!(found(text, &names), all, "{text}");
        }
    }

    #[test]
    fn digests_are_found_by_their_first_digits() {
        let names = ["quay.io/org/app:1", "quay.io/org/other:1"];
        let digest = Digest::of(names[0].as_bytes());
        let by_name = format!("quay.io/org/app@{digest}");
        for text in [
            digest.to_string(),
            digest.hex().into(),
            digest.short().into(),
            digest.hex()[..6].into(),
            by_name,
        ] {
            assert_eq!(found(&text, &names), names[..1], "{text}");
        }
        assert!(found(&digest.hex()[..5], &names).is_empty());
        assert!(found(&format!("quay.io/org/other@{digest}"), &names).is_empty());
        let id = digest.to_string();
        assert_eq!(found(&id, &[names[0], &id]), [&id[..]], "a name that is an ID");
    }

    #[test]
    fn near_names_are_offered() {
        let images: Vec<_> =
            ["docker.io/library/nginx:1.27", "quay.io/org/redis:7", "ngnix"].map(image).into();
        assert_eq!(near("ngnx", &images), ["nginx:1.27", "ngnix:latest"]);
        assert!(near("something-else", &images).is_empty());
    }
}
