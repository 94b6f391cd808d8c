//! Archives that somebody made to fill memories, disks and days.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealift::archived::Archive;
use sealift::image::Digest;
use serde_json::Value;

use crate::fixture::Told;
use crate::pieces::{app, blob_path, docker_save, other};
use crate::support::forged::Forged;
use crate::support::image::descriptor;
use crate::support::layer::Layer;
use crate::support::makers::{self, Image};
use crate::support::sandbox::Sandbox;

/// What is told of an archive by a sealift that gets no more than so much memory, and how long that took.
fn told_within(sandbox: &Sandbox, file: &str, memory_mib: u64) -> (Told, Duration) {
    let limit = format!("ulimit -d {}; exec \"$0\" \"$@\"", memory_mib << 10);
    let sealift = env!("CARGO_BIN_EXE_sealift");
    let start = Instant::now();
    let output = Command::new("sh")
        .args(["-c", &limit, sealift, "verify", file, "--json"])
        .current_dir(sandbox.out())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (Told::of(&output), start.elapsed())
}

#[test]
fn a_manifest_json_of_100_mb_is_not_read() {
    let sandbox = Sandbox::new();
    let mut file = File::create(sandbox.out().join("x.tar")).unwrap();
    let size = 100 << 20;
    let mut tar = Forged::default().file("manifest.json", "[").bytes();
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes().copy_from_slice(&tar[..512]);
    header.set_size(size);
    header.set_cksum();
    tar[..512].copy_from_slice(header.as_bytes());
    file.write_all(&tar[..513]).unwrap();
    let spaces = vec![b' '; 1 << 20];
    (0..size >> 20).for_each(|_| file.write_all(&spaces).unwrap());
    file.seek(SeekFrom::Start(512 + size)).unwrap();
    file.write_all(&[0; 1024]).unwrap();
    let (told, time) = told_within(&sandbox, "x.tar", 64);
    assert_eq!(told.kinds(), ["document-too-large", "no-images"]);
    assert!(time < Duration::from_secs(10), "{time:?}"); // under a second where the machine has nothing else to do
}

#[test]
fn of_a_million_entries_no_more_than_honest_archives_have_are_read() {
    let sandbox = Sandbox::new();
    let start = Instant::now();
    let mut sealift = sandbox
        .command(&["verify", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = sealift.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        let names = (0..1000).map(|number| format!("file{number}"));
        let thousand = names.fold(Forged::default(), |tar, name| tar.file(&name, "")).without_end();
        // It goes away before the end.
        (0..1000).try_for_each(|_| pipe.write_all(&thousand))
    });
    let told = Told::of(&sealift.wait_with_output().unwrap());
    assert!(writer.join().unwrap().is_err(), "it is not read to its end");
    assert_eq!(told.kinds(), ["duplicate-entry", "no-images", "tar"]);
    assert!(start.elapsed() < Duration::from_mins(1), "{:?}", start.elapsed());
}

/// A tar of zeros, some GiB, packed.
fn bomb(write: impl FnOnce(&mut dyn Write)) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    write(&mut encoder);
    encoder.finish().unwrap()
}

#[test]
fn a_layer_that_is_a_bomb_is_not_inflated_to_its_end() {
    let zeros = vec![0; 1 << 20];
    let layer = bomb(|encoder| (0..3 << 10).for_each(|_| encoder.write_all(&zeros).unwrap()));
    let layer = Layer { blob: layer, ..Layer::zstd(Vec::new()) };
    let archive = makers::sealift(&[&Image::new("app:1", vec![layer], &serde_json::json!({}))]);
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.out().join("x.tar"), archive.bytes()).unwrap();
    let (told, _) = told_within(&sandbox, "x.tar", 64);
    assert_eq!(told.kinds(), ["inflate"]);
    let text = told.0["problems"][0]["text"].as_str().unwrap();
    assert!(text.contains("more than 1100 times as much"), "{text}");
}

#[test]
fn many_layers_each_just_short_of_a_bomb_are_not_all_inflated() {
    let zeros = vec![0; 1 << 20];
    let layers = (0..4).map(|number| {
        let blob = bomb(|encoder| {
            (0..1000).for_each(|_| encoder.write_all(&zeros).unwrap());
            encoder.write_all(&[number]).unwrap();
        });
        Layer { blob, ..Layer::zstd(vec![number]) }
    });
    let archive = makers::sealift(&[&Image::new("app:1", layers.collect(), &serde_json::json!({}))]);
    let sandbox = Sandbox::new();
    // What is packed as a whole is measured one by one.
    std::fs::write(sandbox.out().join("x.tar"), bomb(|encoder| encoder.write_all(&archive.bytes()).unwrap()))
        .unwrap();
    let (told, _) = told_within(&sandbox, "x.tar", 64);
    assert_eq!(told.kinds(), ["inflate", "wrong-diff-id"]);
    let texts: Vec<_> =
        told.0["problems"].as_array().unwrap().iter().map(|it| it["text"].to_string()).collect();
    let is_told = |layer: &str| {
        texts.iter().any(|text| text.contains(layer) && text.contains("more than 1100 times the archive"))
    };
    assert!(is_told("layer 3 of 4") && is_told("layer 4 of 4"), "{texts:?}");
}

#[test]
fn an_archive_that_is_a_bomb_is_not_unpacked_to_its_end() {
    let mut header = tar::Header::new_gnu();
    header.set_path("zeros").unwrap();
    header.set_size(3 << 30);
    header.set_cksum();
    let zeros = vec![0; 1 << 20];
    let archive = bomb(|encoder| {
        encoder.write_all(header.as_bytes()).unwrap();
        (0..3 << 10).for_each(|_| encoder.write_all(&zeros).unwrap());
    });
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.out().join("x.tar"), archive).unwrap();
    let (told, _) = told_within(&sandbox, "x.tar", 64);
    let texts: Vec<_> =
        told.0["problems"].as_array().unwrap().iter().map(|it| it["text"].to_string()).collect();
    assert!(texts.iter().any(|text| text.contains("more than 1100 times as much")), "{texts:?}");
}

#[test]
fn rings_and_nests_of_any_depth_come_to_an_end() {
    let sandbox = Sandbox::new();
    let told = |archive: Forged| {
        std::fs::write(sandbox.out().join("x.tar"), archive.bytes()).unwrap();
        told_within(&sandbox, "x.tar", 128).0
    };
    let id = |number: usize| format!("{number:064x}");
    let ring = (0..5000).fold(Forged::default(), |archive, number| {
        let metadata = serde_json::json!({"id": id(number), "parent": id((number + 1) % 5000)});
        archive
            .file(&format!("{}/layer.tar", id(number)), "")
            .json(&format!("{}/json", id(number)), &metadata)
    });
    let names = serde_json::json!({"app": {"1": id(0)}});
    assert_eq!(told(ring.json("repositories", &names)).kinds(), ["legacy-metadata", "no-manifest-json"]);
    let nested = docker_save().edited("manifest.json", |json| *json = vec![b'['; 1 << 20]);
    assert_eq!(told(nested).kinds(), ["document", "no-images"]);
    let links = (0..5000).fold(Forged::default(), |archive, number| {
        archive.symlink(&format!("link{number}"), &format!("link{}", number + 1))
    });
    assert_eq!(told(links.symlink("manifest.json", "link0")).kinds(), ["no-images"]);
}

#[test]
fn metadata_that_is_one_file_with_many_names_is_not_read_for_each() {
    let padding = serde_json::json!({"comment": "x".repeat(1_000_000)});
    let archive = (0..200).fold(docker_save().json("metadata", &padding), |archive, number| {
        let id = format!("{number:064x}");
        archive.file(&format!("{id}/layer.tar"), "").symlink(&format!("{id}/json"), "../metadata")
    });
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.out().join("x.tar"), archive.bytes()).unwrap();
    let (told, _) = told_within(&sandbox, "x.tar", 64);
    assert_eq!(told.kinds(), ["legacy-metadata"]);
    let told = told.0["problems"].as_array().unwrap().len();
    assert!((60..80).contains(&told), "{told} of 200 are left");
}

#[test]
fn an_index_is_read_once_for_all_its_images() {
    let archive = makers::oci_archive(&[&app(), &other()]);
    let mut index: Value = serde_json::from_slice(archive.content("index.json")).unwrap();
    for (entry, architecture) in index["manifests"].as_array_mut().unwrap().iter_mut().zip(["amd64", "arm64"])
    {
        entry["platform"] = serde_json::json!({"os": "linux", "architecture": architecture});
    }
    let index = index.to_string();
    let root = descriptor("application/vnd.oci.image.index.v1+json", index.as_bytes());
    let archive = archive
        .file(&blob_path(Digest::of(index.as_bytes()).hex()), index)
        .edited_json("index.json", |json| json["manifests"] = vec![root].into());
    let sandbox = Sandbox::new();
    let path = sandbox.out().join("x.tar");
    std::fs::write(&path, archive.bytes()).unwrap();
    let opened = Archive::open(&path).unwrap();
    let [one, two] = opened.images() else { panic!("{:?}", opened.images()) };
    assert_eq!(*one.platforms, ["linux/amd64", "linux/arm64"]);
    assert!(Arc::ptr_eq(&one.platforms, &two.platforms), "10,000 images may share a list of 10,000");
    let architectures = [one, two].map(|image| image.marked.as_ref().unwrap().architecture.as_str());
    assert_eq!(architectures, ["amd64", "arm64"]);
}

#[test]
fn an_index_that_names_itself_a_thousand_times_over_is_read_in_time() {
    // Each level names the one below 2,000 times: 2,000⁴ ways to an image.
    let mut archive = makers::oci_archive(&[]);
    let mut below: Value = descriptor("application/vnd.oci.image.manifest.v1+json", b"{}");
    for _ in 0..4 {
        let index = serde_json::json!({"schemaVersion": 2, "manifests": vec![below; 2000]}).to_string();
        let media_type = "application/vnd.oci.image.index.v1+json";
        below = descriptor(media_type, index.as_bytes());
        let digest = below["digest"].as_str().unwrap().replace("sha256:", "blobs/sha256/");
        archive = archive.file(&digest, index);
    }
    let archive = archive.edited_json("index.json", |json| json["manifests"] = vec![below].into());
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.out().join("x.tar"), archive.bytes()).unwrap();
    let (told, time) = told_within(&sandbox, "x.tar", 256);
    assert_eq!(told.kinds(), ["missing-entry", "no-images"]);
    assert!(time < Duration::from_mins(1), "{time:?}");
}
