//! Archives that others saved: verify finds them whole, inspect names what their makers name, and mended they load
//! everywhere.

use std::path::Path;

use serde_json::Value;

use crate::command::output_of;
use crate::containerd::Containerd;
use crate::docker::Docker;
use crate::images::{MANIFEST_LIST, PLATFORMS};
use crate::loader::{Loader, all_loaders};
use crate::podman::Podman;
use crate::savers::{Saver, Saving, Subject, buildah_saves, umoci_saves};
use crate::sealift::{inspected, mended, verified};
use crate::session::{Set, session};
use crate::skopeo::Skopeo;

/// An image that an archive has to hold, and the names it has there.
type Held<'a> = (Vec<String>, &'a Subject);

/// What is saved of two images, the first of which has two names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Name,
    TwoNames,
    /// By its ID, so that the archive has no name for it.
    Id,
    Both,
}

impl What {
    fn held(self, saving: &Saving) -> Vec<Held<'_>> {
        let [first, second] = &saving.images;
        match self {
            Self::Name => vec![(vec![first.name.clone()], first)],
            Self::TwoNames => vec![(vec![first.name.clone(), saving.other_name()], first)],
            Self::Id => vec![(vec![], first)],
            Self::Both => vec![(vec![first.name.clone()], first), (vec![second.name.clone()], second)],
        }
    }
}

/// Fails unless sealift finds nothing wrong but what has to be, and these images, with these names.
fn holds(archive: &Path, problems: &[&str], images: &[Held<'_>]) {
    let verified = verified(archive, &[]);
    assert_eq!(verified.problem_kinds(), problems, "{}: {}", archive.display(), verified.report);
    assert_eq!(verified.report["is_whole"], problems.is_empty());
    assert_eq!(verified.report["images"], images.len());
    let inspected = inspected(archive);
    let mut found: Vec<(Vec<&str>, &str)> =
        inspected["images"].as_array().unwrap().iter().map(told).collect();
    let mut expected: Vec<(Vec<&str>, &str)> =
        images.iter().map(|(names, image)| (sorted(names), image.config_digest.as_str())).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "{}: {inspected:#}", archive.display());
    for image in inspected["images"].as_array().unwrap() {
        let (_, subject) =
            images.iter().find(|(_, subject)| image["config"] == subject.config_digest).unwrap();
        assert_eq!(image["platform"], "linux/amd64", "{image:#}");
        assert_eq!(image["layers"].as_array().unwrap().len(), subject.layers.len(), "{image:#}");
    }
}

fn told(image: &Value) -> (Vec<&str>, &str) {
    let names = image["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    (names, image["config"].as_str().unwrap())
}

fn sorted(names: &[String]) -> Vec<&str> {
    let mut names: Vec<_> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    names
}

/// Mends the archive, and fails unless every loader takes what comes out, with the names, and runs it.
fn is_mended(archive: &Path, images: &[Held<'_>]) {
    let nameless = images.iter().find(|(names, _)| names.is_empty());
    let tag = nameless.map(|(_, image)| image.name.as_str());
    let mended = mended(archive, tag);
    // sealift writes an image of two names as two.
    let named = images.iter().flat_map(|(names, image)| {
        let names = if names.is_empty() { vec![image.name.clone()] } else { names.clone() };
        names.into_iter().map(move |name| (vec![name], *image))
    });
    let named: Vec<_> = named.collect();
    holds(&mended, &[], &named);
    assert_eq!(verified(&mended, &[]).report["is_exact"], true, "{}", mended.display());
    for loader in all_loaders() {
        loads(&*loader, &mended, &named);
    }
    for skopeo in [Skopeo(Set::Old), Skopeo(Set::Modern)] {
        for (names, image) in &named {
            let name = &names[0];
            let source = format!("docker-archive:{}:{name}", mended.display());
            let folder = format!("mended-{}", name.replace(['/', ':'], "-"));
            assert_eq!(skopeo.copy_to_folder(&source, &folder), image.config_digest, "{source}");
        }
    }
}

fn loads(loader: &dyn Loader, archive: &Path, images: &[Held<'_>]) {
    loader.load(archive);
    for (names, image) in images {
        for name in names {
            assert!(loader.names(name).contains(name), "{name}: {:?}", loader.names(name));
            assert_eq!(loader.config_digest(name), image.config_digest, "{name}");
        }
        let output = loader.run_command(&names[0], &[]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), image.prints, "{}: {output:?}", names[0]);
    }
    for name in images.iter().flat_map(|(names, _)| names) {
        loader.remove(name);
    }
}

/// Saves with a tool that keeps images, and proves what it made.
fn saves(saver: &dyn Saver, test: &str, what: What, options: &[&str]) {
    let saving = Saving::of(test);
    let file = saving.file("saved.tar");
    let held = what.held(&saving);
    let names: Vec<String> = match what {
        What::Id => vec![saver.image_id(&saving.images[0])],
        _ => held.iter().flat_map(|(names, _)| names.clone()).collect(),
    };
    saver.saves(&saving, options, &names, &file);
    holds(&file, if what == What::Id { &["no-name"] } else { &[] }, &held);
    is_mended(&file, &held);
}

macro_rules! saves {
    ($module:ident, $saver:expr, several: $several:expr) => {
        mod $module {
            use super::*;

            #[test]
            fn saves_by_name() {
                saves(&$saver, concat!(stringify!($module), "-name"), What::Name, &[]);
            }

            #[test]
            fn saves_by_two_names() {
                saves(&$saver, concat!(stringify!($module), "-names"), What::TwoNames, &[]);
            }

            #[test]
            fn saves_by_id() {
                saves(&$saver, concat!(stringify!($module), "-id"), What::Id, &[]);
            }

            #[test]
            fn saves_two_images() {
                saves(&$saver, concat!(stringify!($module), "-both"), What::Both, $several);
            }
        }
    };
}

saves!(docker_20, Docker(Set::Old), several: &[]);
saves!(docker_28_with_containerd_image_store, Docker(Set::Modern), several: &[]);
saves!(podman_4, Podman(Set::Old), several: &["--multi-image-archive"]);
saves!(podman_5, Podman(Set::Modern), several: &["--multi-image-archive"]);

#[test]
fn podman_saves_oci_archives_and_layouts() {
    for (podman, test) in [(Podman(Set::Old), "podman-4"), (Podman(Set::Modern), "podman-5")] {
        for (format, name) in [("oci-archive", "saved.tar"), ("oci-dir", "saved")] {
            let saving = Saving::of(&format!("{test}-{format}"));
            let file = saving.file(name);
            let held = What::Name.held(&saving);
            podman.saves(&saving, &[&format!("--format={format}")], &held[0].0, &file);
            holds(&file, &[], &held);
            is_mended(&file, &held);
        }
    }
}

/// With the whole name for its reference, skopeo's archives have it; with a tag, or none, only who made them knows it.
#[test]
fn skopeo_saves_archives_and_layouts() {
    for (skopeo, set) in [(Skopeo(Set::Old), "1.9"), (Skopeo(Set::Modern), "1.22")] {
        let saving = Saving::of(&format!("skopeo-{set}"));
        let (image, name) = (&saving.images[0], saving.name());
        let (named, nameless) = (What::Name.held(&saving), What::Id.held(&saving));
        let by_tag = vec![(vec!["v1".to_owned()], image)];
        for (number, (transport, reference, problems, held)) in [
            ("docker-archive", Some(name), &[][..], &named),
            ("docker-archive", None, &["no-name"], &nameless),
            ("oci-archive", Some(name), &[], &named),
            ("oci-archive", Some("v1"), &["bad-name"], &by_tag),
            ("oci-archive", None, &["no-name"], &nameless),
            ("oci", Some("v1"), &["bad-name"], &by_tag),
        ]
        .into_iter()
        .enumerate()
        {
            let file = saving.file(&format!("saved-{number}"));
            let reference = reference.map(|reference| format!(":{reference}")).unwrap_or_default();
            skopeo.saves(image, &[], &format!("{transport}:{}{reference}", file.display()));
            holds(&file, problems, held);
            is_called_as_by_skopeo(&skopeo, transport, &file);
            is_mended(&file, if problems.is_empty() { held } else { &nameless });
        }
    }
}

/// What `skopeo inspect` and `sealift inspect` say of an archive is one.
fn is_called_as_by_skopeo(skopeo: &Skopeo, transport: &str, file: &Path) {
    let source = format!("{transport}:{}", file.display());
    let text = output_of(&mut skopeo.skopeo(&["inspect", &source]));
    let theirs: Value = serde_json::from_str(&text).unwrap();
    let inspected = inspected(file);
    let ours = &inspected["images"][0];
    let layers = ours["layers"].as_array().unwrap().iter();
    // A docker-archive has no manifest: skopeo makes one, of the layers as they are there.
    let key = if transport == "docker-archive" { "diff_id" } else { "digest" };
    let layers: Vec<&Value> = layers.map(|layer| &layer[key]).collect();
    assert_eq!(theirs["Layers"].as_array().unwrap().iter().collect::<Vec<_>>(), layers, "{source}");
    if transport != "docker-archive" {
        assert_eq!(theirs["Digest"], ours["manifest"], "{source}");
    }
    assert_eq!(
        format!("{}/{}", theirs["Os"].as_str().unwrap(), theirs["Architecture"].as_str().unwrap()),
        ours["platform"]
    );
    assert_eq!(theirs["Env"], ours["runtime"]["env"], "{source}");
}

#[test]
fn buildah_saves_archives() {
    let saving = Saving::of("buildah");
    let held = What::Name.held(&saving);
    for transport in ["docker-archive", "oci-archive"] {
        let file = saving.file(transport);
        buildah_saves(&saving.images[0], &format!("{transport}:{}:{}", file.display(), saving.name()));
        holds(&file, &[], &held);
        is_mended(&file, &held);
    }
}

/// umoci knows tags, and no repositories.
#[test]
fn umoci_saves_a_layout() {
    let saving = Saving::of("umoci");
    let file = saving.file("saved.tar");
    let image = umoci_saves(&saving.images[0], &saving.folder, &file);
    holds(&file, &["bad-name"], &[(vec!["v1".to_owned()], &image)]);
    is_mended(&file, &[(vec![], &image)]);
}

#[test]
fn containerd_exports() {
    for (containerd, test) in [(Containerd(Set::Old), "ctr-1.6"), (Containerd(Set::Modern), "ctr-2")] {
        let saving = Saving::of(test);
        let file = saving.file("saved.tar");
        let held = What::Name.held(&saving);
        containerd.saves(&saving.images[0], &[], &file);
        holds(&file, &[], &held);
        is_mended(&file, &held);
    }
}

/// All platforms of an index, as those save them who keep indexes. In `manifest.json` is room for one of them.
#[test]
fn indexes_of_several_platforms_are_saved() {
    let image = Subject::of_image(&MANIFEST_LIST);
    let folder = session().work_folder("saved-platforms");
    for (containerd, name) in [(Containerd(Set::Old), "ctr-1.6"), (Containerd(Set::Modern), "ctr-2")] {
        let file = folder.join(name);
        containerd.saves(&image, &["--all-platforms"], &file);
        holds_platforms(&file, &image, &["linux/amd64", "linux/arm64"]);
    }
    // skopeo writes OCI archives of OCI's indexes alone as they are.
    let image = Subject::of_image(&PLATFORMS);
    for (skopeo, name) in [(Skopeo(Set::Old), "skopeo-1.9"), (Skopeo(Set::Modern), "skopeo-1.22")] {
        let file = folder.join(name);
        skopeo.saves(&image, &["--all"], &format!("oci-archive:{}:{}", file.display(), image.name));
        holds_platforms(&file, &image, &["linux/amd64", "linux/arm/v7", "linux/arm64"]);
    }
}

/// Docker pulls what runs on its machine, and saves the index with it.
#[test]
fn docker_28_saves_one_platform_of_an_index() {
    let (image, docker) = (Subject::of_image(&MANIFEST_LIST), Docker(Set::Modern));
    let file = session().work_folder("saved-platform").join("saved.tar");
    output_of(&mut docker.docker(&["pull", "--quiet", &image.name]));
    output_of(docker.docker(&["save", "--output"]).arg(&file).arg(&image.name));
    docker.remove(&image.name);
    holds_platforms(&file, &image, &["linux/amd64"]);
    is_mended(&file, &[(vec![image.name.clone()], &image)]);
}

/// Fails unless the archive is whole, and has these platforms of the image under its name and digest; mended it still has.
fn holds_platforms(archive: &Path, image: &Subject, platforms: &[&str]) {
    let mended = mended(archive, None);
    for archive in [archive, &mended] {
        let report = verified(archive, &[]);
        assert_eq!(
            report.problem_kinds(),
            <[&str; 0]>::default(),
            "{}: {}",
            archive.display(),
            report.report
        );
        let inspected = inspected(archive);
        let images = inspected["images"].as_array().unwrap();
        let mut found: Vec<_> = images.iter().map(|image| image["platform"].as_str().unwrap()).collect();
        found.sort_unstable();
        assert_eq!(found, platforms, "{}", archive.display());
        for found in images {
            assert_eq!(found["names"], serde_json::json!([image.name]), "{}", archive.display());
            assert_eq!(found["digest"], image.digest, "{}", archive.display());
        }
    }
    for loader in [&Docker(Set::Modern) as &dyn Loader, &Containerd(Set::Old), &Containerd(Set::Modern)] {
        loads(loader, &mended, &[(vec![image.name.clone()], image)]);
    }
}
