//! References, digests and platforms: what people type and files name.

use std::sync::LazyLock;

use sealift::archive::file_name::file_names;
use sealift::image::manifest::Parsed;
use sealift::image::{Digest, Document, ImageConfig, MediaType, Platform, Reference, ResolvedImage};

use crate::text::check_error;

/// The input is a reference; a second line is a platform.
pub fn references(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (name, platform) = text.split_once('\n').unwrap_or((text, ""));
    check_digest(name);
    let platform = check_platform(platform);
    match name.parse::<Reference>() {
        Ok(reference) => {
            check_reference(&reference);
            check_file_name(&reference, platform);
        }
        Err(error) => {
            // What may be a user and a password is left out.
            let rest = error.text.split_once('…').map_or("", |(_, rest)| rest);
            assert!(error.text == name || rest.starts_with('@') && name.ends_with(rest), "{}", error.text);
            assert!(error.text.is_char_boundary(error.position), "{} is within a character", error.position);
            if name.len() < 1024 {
                check_error(&error);
            }
        }
    }
}

/// A reference prints to what reads as the same, in each of its forms, and its parts are fit for URLs and paths.
pub(crate) fn check_reference(reference: &Reference) {
    assert_eq!(reference.to_string().parse().as_ref(), Ok(reference));
    assert!(reference.tag().is_some() || reference.digest().is_some());
    let repository = reference.repository();
    for form in [reference.tagged_name(), reference.familiar_tagged_name()].into_iter().flatten() {
        let read: Reference = form.parse().expect("a form of a reference is a reference");
        assert_eq!((read.repository(), read.tag()), (repository, reference.tag()), "{form}");
    }
    let path = repository.path();
    assert!(path.split('/').all(|part| !part.is_empty() && !part.starts_with('.')), "{path}");
    assert!(path.bytes().all(|byte| byte.is_ascii_graphic() && !b"%?#\\:@".contains(&byte)), "{path}");
    let host = reference.registry().api_authority();
    assert!(host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/%?#\\@".contains(&byte)), "{host}");
}

fn check_digest(text: &str) {
    match text.parse::<Digest>() {
        Ok(digest) => {
            assert_eq!(digest.to_string(), text);
            assert!(digest.hex().bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
        }
        Err(error) => check_error(&error),
    }
}

fn check_platform(text: &str) -> Platform {
    let _ = Platform::of_architecture(text);
    let Ok(platform) = text.parse::<Platform>() else { return Platform::linux_amd64() };
    assert_eq!(platform.normalised(), platform, "what was read is normalised");
    assert_eq!(platform.distance_to(&platform), Some(0));
    if text.len() < 100 {
        assert_eq!(platform.to_string().parse().as_ref(), Ok(&platform));
    }
    platform
}

/// Default file names are one component of a path that every Linux file system takes.
fn check_file_name(reference: &Reference, platform: Platform) {
    let image = ResolvedImage { reference: reference.clone(), platform, ..EMPTY.clone() };
    let names = file_names(&[image.clone(), EMPTY.clone()]);
    assert_eq!(names, file_names(&[image, EMPTY.clone()]));
    for name in &names {
        assert!(name.len() <= 255 - ".partial".len() && name.strip_suffix(".tar").is_some(), "{name}");
        assert!(!name.starts_with(['.', '-']), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)), "{name}");
    }
    assert_ne!(names[0].to_lowercase(), names[1].to_lowercase());
}

/// An image without layers, under a name that no input reaches twice.
static EMPTY: LazyLock<ResolvedImage> = LazyLock::new(|| {
    let config = ImageConfig::parse(br#"{"os":"linux"}"#.as_slice().into()).expect("a config");
    let digest = Digest::of(config.bytes());
    let json = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"{}","digest":"{digest}","size":14}}}}"#,
        MediaType::OciConfig
    );
    let manifest_document = Document::of(json.into(), MediaType::OciManifest);
    let Ok(Parsed::Manifest(manifest)) = manifest_document.parse() else { unreachable!("a manifest") };
    ResolvedImage {
        reference: "registry.example/empty:1".parse().expect("a reference"),
        target: manifest_document.descriptor(MediaType::OciManifest),
        platform: "plan9/mips".parse().expect("a platform"),
        asked_os_version: None,
        indexes: vec![],
        manifest_document,
        manifest: *manifest,
        config,
    }
});
