//! What `sealift verify` says that a loader does with an archive, and what the loader does: one for each loader and
//! version, names and image IDs too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tar::EntryType;

use crate::altered::Altered;
use crate::command::output_of;
use crate::containerd::Containerd;
use crate::docker::Docker;
use crate::images::{ZSTD_BY_PODMAN, push_many_layers};
use crate::loader::Loader;
use crate::podman::Podman;
use crate::registry::digest_of;
use crate::savers::{Saving, Subject};
use crate::sealift::{Layers, sealift, verified};
use crate::session::Set;
use crate::skopeo::Skopeo;

/// A version of a loader, by the words that verdicts have for it.
struct Version {
    loader: &'static str,
    name: &'static str,
    real: Real,
}

enum Real {
    Loader(Box<dyn Loader>),
    Skopeo(Skopeo),
}

fn versions() -> [Version; 8] {
    let [old, modern] = [Set::Old, Set::Modern];
    let loader = |loader, name, real: Box<dyn Loader>| Version { loader, name, real: Real::Loader(real) };
    let skopeo = |name, set| Version { loader: "skopeo", name, real: Real::Skopeo(Skopeo(set)) };
    [
        loader("docker-20.10", "docker 20.10", Box::new(Docker(old))),
        loader("docker-29", "docker 28", Box::new(Docker(modern))),
        loader("containerd", "containerd 1.6", Box::new(Containerd(old))),
        loader("containerd", "containerd 2.1", Box::new(Containerd(modern))),
        loader("podman", "podman 4.3", Box::new(Podman(old))),
        loader("podman", "podman 5.8", Box::new(Podman(modern))),
        skopeo("skopeo 1.9", old),
        skopeo("skopeo 1.22", modern),
    ]
}

/// Fails unless verify says of each loader what it does with the archive of these images, and these versions refuse it.
fn are_right(archive: &Path, images: &[&Subject], refusing: &[&str]) {
    let report = verified(archive, &[]).report;
    let shown = archive.display();
    let mut refused = Vec::new();
    for Version { loader, name, real } in versions() {
        let told =
            report["loaders"].as_array().unwrap().iter().find(|told| told["loader"] == loader).unwrap();
        let why = told["refuses"].as_str();
        let named = match why {
            None => told["loads"].as_array().unwrap().iter().map(named).collect(),
            Some(_) => images.iter().map(|image| (image.name.clone(), None)).collect::<Vec<_>>(),
        };
        let takes = match &real {
            Real::Loader(real) => takes(&**real, archive, &named, images),
            Real::Skopeo(skopeo) => copies(skopeo, archive, &named),
        };
        match (takes, why) {
            (Err(said), None) => panic!("{shown}: {name} takes it, says verify; but: {said}"),
            (Ok(()), Some(why)) => {
                let mut others =
                    versions().into_iter().filter(|other| other.loader == loader && other.name != name);
                let is_named = others.any(|other| why.contains(other.name));
                assert!(is_named, "{shown}: {name} takes it, but verify says: {why}");
            }
            (Err(_), Some(_)) => refused.push(name),
            (Ok(()), None) => {}
        }
    }
    assert_eq!(refused, refusing, "{shown}: {report:#}");
}

fn named(told: &Value) -> (String, Option<String>) {
    (told[0].as_str().unwrap().to_owned(), told[1].as_str().map(ToOwned::to_owned))
}

/// Loads the archive; whether all these names are there then, with these IDs, and run. None is left.
fn takes(
    real: &dyn Loader,
    archive: &Path,
    named: &[(String, Option<String>)],
    images: &[&Subject],
) -> Result<(), String> {
    let output = real.load_file(archive).output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let mut is_there = if output.status.success() { Ok(()) } else { Err(said.clone()) };
    let nameless = said.lines().find_map(|line| line.split_once("Loaded image ID: "));
    let nameless = nameless.map(|(_, id)| id.trim().to_owned());
    let mut handles = Vec::new();
    for (name, id) in named {
        let handle = match name.as_str() {
            "<none>" => id.clone().or_else(|| nameless.clone()).unwrap_or_default(),
            name => name.replace("<date>", &today()),
        };
        if !real.has(&handle) {
            is_there = is_there.and(Err(format!("no {name}: {said}")));
            continue;
        }
        let ids = [Some(real.config_digest(&handle)), real.name_digest(&handle)];
        if id.is_some() && !ids.contains(id) {
            is_there = is_there.and(Err(format!("{name} is none of {ids:?}")));
        }
        let output = real.run_command(&handle, &[]).output().unwrap();
        let prints = String::from_utf8_lossy(&output.stdout).into_owned();
        if !images.iter().any(|image| image.prints == prints) {
            is_there = is_there.and(Err(format!("{name} does not run: {output:?}")));
        }
        handles.push(handle);
    }
    // What came in part, or under no name, does not stay either.
    handles.extend(images.iter().map(|image| image.name.clone()).chain(nameless));
    handles.extend(images.iter().map(|image| image.config_digest.clone()));
    for handle in handles {
        if real.has(&handle) {
            real.remove(&handle);
        }
    }
    is_there
}

fn today() -> String {
    output_of(Command::new("date").arg("+%Y-%m-%d")).trim().to_owned()
}

/// Copies each image by its name, from whichever of its formats the archive has.
fn copies(skopeo: &Skopeo, archive: &Path, named: &[(String, Option<String>)]) -> Result<(), String> {
    let transports: &[&str] = if archive.is_dir() { &["oci"] } else { &["docker-archive", "oci-archive"] };
    for (name, id) in named {
        let reference = if name == "<none>" { String::new() } else { format!(":{name}") };
        let tag = name.rsplit_once(':').map(|(_, tag)| format!(":{tag}")).unwrap_or_default();
        let mut failures = Vec::new();
        let copied = transports
            .iter()
            .flat_map(|transport| [(transport, reference.as_str()), (transport, &tag), (transport, "")])
            .any(|(transport, reference)| {
                let source = format!("{transport}:{}{reference}", archive.display());
                let folder = format!("verdict-{}", digest_of(source.as_bytes()).replace(':', "-"));
                match skopeo.try_copy_to_folder(&source, &folder) {
                    Ok(config_digest) => id.as_ref().is_none_or(|id| *id == config_digest),
                    Err(said) => {
                        failures.push(said);
                        false
                    }
                }
            });
        if !copied {
            return Err(failures.join("; "));
        }
    }
    Ok(())
}

/// The archives that others are made of.
struct Bases {
    saving: Saving,
    docker: Altered,
    oci: Altered,
}

impl Bases {
    fn of(test: &str) -> Self {
        let saving = Saving::of(&format!("verdicts-{test}"));
        let skopeo = Skopeo(Set::Old);
        let [docker, oci] = ["docker-archive", "oci-archive"].map(|transport| {
            let file = saving.file(transport);
            skopeo.saves(
                &saving.images[0],
                &[],
                &format!("{transport}:{}:{}", file.display(), saving.name()),
            );
            Altered::of(&file)
        });
        // skopeo adds what old Docker reads; without that it is what crane writes.
        let docker = docker.without_links().without("repositories");
        Self { saving, docker, oci }
    }

    fn first(&self) -> &Subject {
        &self.saving.images[0]
    }

    fn layer(&self) -> String {
        self.docker.json("manifest.json")[0]["Layers"][3].as_str().unwrap().to_owned()
    }

    fn config(&self) -> String {
        self.docker.json("manifest.json")[0]["Config"].as_str().unwrap().to_owned()
    }

    /// What sealift makes of both images.
    fn both(&self) -> PathBuf {
        let file = self.saving.file("both.tar");
        let names = self.saving.images.iter().map(|image| &image.name);
        output_of(sealift(&["pull", "--quiet"]).args(names).arg("--output").arg(&file));
        file
    }

    /// Fails unless these versions refuse the archive, and verify says so.
    fn refused(&self, name: &str, altered: &Altered, refusing: &[&str]) {
        let file = self.saving.file(name);
        altered.write(&file);
        are_right(&file, &[self.first()], refusing);
    }
}

const ALL: [&str; 8] = [
    "docker 20.10",
    "docker 28",
    "containerd 1.6",
    "containerd 2.1",
    "podman 4.3",
    "podman 5.8",
    "skopeo 1.9",
    "skopeo 1.22",
];

#[test]
fn of_sealifts_own_archives_are_right() {
    let bases = Bases::of("own");
    are_right(&bases.both(), &bases.saving.images.each_ref(), &[]);
    for how in [Layers::Keep, Layers::Plain] {
        let file = bases.saving.file("own.tar");
        crate::sealift::pull_with(how, bases.saving.name(), &file);
        are_right(&file, &[bases.first()], &[]);
        fs::remove_file(file).unwrap();
    }
    let zstd = Subject::of_image(&ZSTD_BY_PODMAN);
    are_right(ZSTD_BY_PODMAN.archive_with(Layers::Keep), &[&zstd], &["docker 20.10"]);
}

#[test]
fn of_archives_packed_as_a_whole_are_right() {
    let bases = Bases::of("packed");
    let packed = |name: &str, altered: &Altered, program: &str| {
        let file = bases.saving.file(name);
        altered.write(&file);
        output_of(Command::new(program).arg("--keep").arg(&file));
        let ending = match program {
            "gzip" => "gz",
            "zstd" => "zst",
            other => other,
        };
        bases.saving.file(&format!("{name}.{ending}"))
    };
    let first = [bases.first()];
    let docker = |program| packed("docker.tar", &bases.docker, program);
    are_right(&docker("gzip"), &first, &["containerd 1.6", "podman 4.3", "skopeo 1.9"]);
    are_right(&docker("zstd"), &first, &["docker 20.10", "containerd 1.6"]);
    are_right(&docker("xz"), &first, &["docker 28", "containerd 1.6", "containerd 2.1"]);
    let oci = |program| packed("oci.tar", &bases.oci, program);
    are_right(&oci("gzip"), &first, &["docker 20.10", "containerd 1.6"]);
    are_right(&oci("zstd"), &first, &["docker 20.10", "containerd 1.6"]);
    are_right(&oci("xz"), &first, &["docker 20.10", "docker 28", "containerd 1.6", "containerd 2.1"]);
}

#[test]
fn of_archives_with_links_are_right() {
    let bases = Bases::of("links");
    let layer = bases.layer();
    bases.refused("hard.tar", &bases.docker.clone().linked(&layer, EntryType::Link), &ALL[1..]);
    bases.refused("sym.tar", &bases.docker.clone().linked(&layer, EntryType::Symlink), &ALL[4..]);
    let dangling = bases.docker.clone().with_symlink("dangling", "nowhere");
    bases.refused("dangling.tar", &dangling, &ALL[1..4]);
    let blob = format!("blobs/{}", bases.first().layers[0].replace(':', "/"));
    bases.refused("oci-hard.tar", &bases.oci.clone().linked(&blob, EntryType::Link), &ALL[..1]);
    bases.refused("oci-sym.tar", &bases.oci.clone().linked(&blob, EntryType::Symlink), &ALL[..1]);
}

#[test]
fn of_images_with_many_layers_are_right() {
    for (layers, refusing) in
        [(125, &[][..]), (126, &["docker 20.10"]), (129, &["docker 20.10", "podman 4.3"])]
    {
        let image = push_many_layers(layers);
        are_right(image.archive(), &[&Subject::of_image(&image)], refusing);
    }
}

#[test]
fn of_names_of_all_kinds_are_right() {
    let bases = Bases::of("names");
    let tagged = |tags: Value| {
        bases.docker.clone().with_json("manifest.json", |manifest| manifest[0]["RepoTags"] = tags)
    };
    bases.refused("none.tar", &tagged(Value::Null), &ALL[2..4]);
    bases.refused("familiar.tar", &tagged(json!(["e2e-verdicts/familiar:1"])), &[]);
    bases.refused("bad.tar", &tagged(json!(["E2E Verdicts"])), &ALL[..6]);
    bases.refused(
        "untagged.tar",
        &tagged(json!(["e2e-verdicts/untagged"])),
        &["docker 20.10", "podman 4.3", "podman 5.8"],
    );
    let annotated = |name: &str| {
        let annotations = json!({"org.opencontainers.image.ref.name": name});
        bases.oci.clone().with_json("index.json", |index| index["manifests"][0]["annotations"] = annotations)
    };
    let nameless = bases.oci.clone().with_json("index.json", |index| {
        index["manifests"][0].as_object_mut().unwrap().remove("annotations");
    });
    bases.refused("oci-none.tar", &nameless, &["docker 20.10", "containerd 1.6", "containerd 2.1"]);
    bases.refused("oci-tag.tar", &annotated("e2e-verdicts"), &ALL[..2]);
    bases.refused("oci-short.tar", &annotated("e2e-verdicts-short:1"), &ALL[..2]);
}

#[test]
fn of_broken_archives_are_right() {
    let bases = Bases::of("broken");
    let wrong = bases.docker.clone().with_json(&bases.config(), |config| {
        config["rootfs"]["diff_ids"][3] = json!(format!("sha256:{}", "7".repeat(64)));
    });
    bases.refused("wrong-diff-id.tar", &wrong, &ALL);
    bases.refused("missing.tar", &bases.docker.clone().without(&bases.layer()), &ALL);
    let misnamed = bases.docker.clone().with("0.json", bases.docker.file(&bases.config()));
    let misnamed = misnamed.with_json("manifest.json", |manifest| manifest[0]["Config"] = json!("0.json"));
    bases.refused("misnamed.tar", &misnamed, &[]);
    let whole = fs::read(bases.saving.file("oci-archive")).unwrap();
    let cut = bases.saving.file("cut.tar");
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    are_right(&cut, &[bases.first()], &ALL);
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap();
    let between = bases.saving.file("between.tar");
    fs::write(&between, &whole[..(end + 1).next_multiple_of(512)]).unwrap();
    are_right(&between, &[bases.first()], &["docker 20.10"]);
}

/// Its layers were in no loader before: podman keeps those of a failed load, and then takes its own.
#[test]
fn of_an_archive_with_an_altered_byte_are_right() {
    let bases = Bases::of("altered");
    let blob = format!("blobs/{}", bases.first().layers[0].replace(':', "/"));
    let mut altered = bases.oci.file(&blob).to_vec();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    bases.refused("altered.tar", &bases.oci.clone().with(&blob, &altered), &ALL);
}

#[test]
fn of_halves_that_differ_are_right() {
    let bases = Bases::of("halves");
    let both = Altered::of(&bases.both());
    let images = bases.saving.images.each_ref();
    let right = |name: &str, altered: &Altered, refusing: &[&str]| {
        let file = bases.saving.file(name);
        altered.write(&file);
        are_right(&file, &images, refusing);
    };
    let first_of = |list: &mut Value| list.as_array_mut().unwrap().truncate(1);
    right("index.tar", &both.clone().with_json("index.json", |index| first_of(&mut index["manifests"])), &[]);
    right("manifest.tar", &both.clone().with_json("manifest.json", first_of), &[]);
    right("layout.tar", &both.clone().without("oci-layout"), &[]);
    right("two.tar", &both.without("manifest.json"), &["docker 20.10", "podman 4.3", "podman 5.8"]);
    let no_layout = ["docker 20.10", "docker 28", "containerd 1.6", "containerd 2.1"];
    bases.refused("no-layout.tar", &bases.oci.clone().without("oci-layout"), &no_layout);
    let folder = bases.saving.file("folder");
    Skopeo(Set::Old).saves(bases.first(), &[], &format!("oci:{}:{}", folder.display(), bases.saving.name()));
    are_right(&folder, &[bases.first()], &no_layout);
}
