//! Manifests and indexes, as registries send them.

use sealift::image::manifest::{ManifestError, Parsed};
use sealift::image::{Descriptor, Digest, Document, Index, Manifest, MediaType};

use crate::go::Go;
use crate::text::{check_error, check_message};

/// What a registry may call the bytes.
const CONTENT_TYPES: [&str; 3] = [
    "",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// The input is the body of a manifest.
pub fn manifests(input: &[u8]) {
    for content_type in CONTENT_TYPES {
        let document = Document::of(input.to_vec().into(), MediaType::of(content_type));
        assert_eq!((document.digest(), &document.bytes()[..]), (&Digest::of(input), input));
        match document.parse() {
            Ok(parsed) => return check(&parsed, Go::read(input).as_ref()),
            Err(error) => {
                check_error(&error);
                // Only then does it matter what the bytes are called.
                if !matches!(error, ManifestError::UnknownKind(_)) {
                    return;
                }
            }
        }
    }
}

/// What sealift reads is what Go's readers read.
fn check(parsed: &Parsed, go: Option<&Go>) {
    check_message(parsed.media_type());
    match parsed {
        Parsed::Manifest(manifest) => {
            let Manifest { media_type, config, layers, .. } = &**manifest;
            assert!(media_type.is_manifest());
            check_descriptor(config);
            layers.iter().for_each(check_descriptor);
            let Some(go) = go else { return };
            assert_eq!(go.field("config").and_then(identity), Some(of(config)));
            let theirs = go.field("layers").map_or(&[][..], Go::items);
            assert_eq!(theirs.len(), layers.len());
            assert!(theirs.iter().zip(layers).all(|(theirs, ours)| identity(theirs) == Some(of(ours))));
        }
        Parsed::Index(Index { media_type, manifests, .. }) => {
            assert!(media_type.is_index());
            manifests.iter().for_each(check_descriptor);
            let Some(go) = go else { return };
            // Entries that sealift can't read are left out; the rest are there, in order.
            let mut theirs = go.field("manifests").map_or(&[][..], Go::items).iter();
            for ours in manifests {
                assert!(theirs.any(|theirs| identity(theirs) == Some(of(ours))), "{}", ours.digest);
            }
        }
    }
}

/// A descriptor's digest and size are strict, and it is written as it was read, but for its URLs, which are not.
fn check_descriptor(descriptor: &Descriptor) {
    assert!(i64::try_from(descriptor.size_bytes).is_ok());
    assert_eq!(descriptor.digest.to_string().parse().as_ref(), Ok(&descriptor.digest));
    let json = serde_json::to_vec(descriptor).expect("a descriptor is written");
    let without_urls = Descriptor { urls: vec![], ..descriptor.clone() };
    assert_eq!(serde_json::from_slice::<Descriptor>(&json).expect("and read"), without_urls);
    check_message(&descriptor.media_type);
    if let Some(platform) = &descriptor.platform {
        check_message(platform);
        assert_eq!(platform.normalised().normalised(), platform.normalised());
    }
}

fn of(descriptor: &Descriptor) -> (String, i128) {
    (descriptor.digest.to_string(), descriptor.size_bytes.into())
}

/// What names the bytes of a descriptor.
fn identity(descriptor: &Go) -> Option<(String, i128)> {
    Some((descriptor.field("digest")?.text()?.to_owned(), descriptor.field("size")?.integer()?))
}
