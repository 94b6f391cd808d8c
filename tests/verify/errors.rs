//! What can't be opened, mended or compared: each with what to do next.

use std::fs;

use sealift::image::Digest;
use serde_json::json;

use crate::corpus::fixtures;
use crate::pieces::{app, layers_alone, metadata_path, other, sealift};
use crate::support::makers;
use crate::support::sandbox::Sandbox;

fn with(bytes: impl AsRef<[u8]>) -> Sandbox {
    let sandbox = Sandbox::new();
    fs::write(sandbox.out().join("x.tar"), bytes).unwrap();
    sandbox
}

/// What is said where `x.tar` is to be mended, on stderr and by the exit code.
fn fix(sandbox: &Sandbox, more: &[&str]) -> String {
    let arguments = [&["verify", "x.tar", "--fix", "-o", "y.tar", "--quiet"], more].concat();
    let said = sandbox.run(&arguments);
    assert_eq!(sandbox.files(), ["x.tar"], "nothing is written");
    said
}

macro_rules! told {
    ($name:literal, $said:expr) => {
        insta::with_settings!({omit_expression => true}, { insta::assert_snapshot!($name, $said) })
    };
}

#[test]
fn what_can_not_be_opened() {
    told!("open_text", with("this is no archive").run(&["verify", "x.tar"]));
    told!("open_empty", with("").run(&["verify", "x.tar"]));
    told!("open_nothing", Sandbox::new().run(&["verify", "x.tar"]));
    told!("open_bzip2", with("BZh91AY&SY").run(&["verify", "x.tar"]));
    told!("open_broken_gzip", with(b"\x1f\x8b\x08\0broken").run(&["verify", "x.tar"]));
    let sandbox = Sandbox::new();
    let made = std::process::Command::new("mkfifo").arg(sandbox.out().join("x.tar")).status().unwrap();
    assert!(made.success());
    told!("open_pipe", sandbox.run(&["verify", "x.tar"]));
}

#[test]
fn a_folder_of_far_too_many_files_is_not_searched() {
    let sandbox = Sandbox::new();
    let file = sandbox.out().join("0");
    fs::write(&file, "").unwrap();
    for number in 1..=100_000 {
        fs::hard_link(&file, sandbox.out().join(number.to_string())).unwrap_or_else(|_| {
            fs::write(sandbox.out().join(number.to_string()), "").unwrap();
        });
    }
    told!("open_too_many_files", sandbox.run(&["verify", "."]));
}

#[test]
fn what_can_not_be_compared() {
    let sandbox = with(sealift().bytes());
    let digest = Digest::of(&sealift().bytes());
    let against = |what: &str| sandbox.run(&["verify", "x.tar", "--quiet", "--against", what]);
    told!("against_nonsense", against("sha256:12"));
    fs::write(
        sandbox.out().join("sums"),
        format!("{}  other.tar\n{}  more.tar\n", digest.hex(), digest.hex()),
    )
    .unwrap();
    told!("against_not_listed", against("sums"));
    fs::write(sandbox.out().join("words"), "hello x.tar\n").unwrap();
    told!("against_words", against("words"));
    told!("against_stdin", sandbox.run(&["verify", "-", "--against", "sums"]));
    for (name, line) in [
        ("x.tar.sha256", format!("{}  x.tar\n", digest.hex())),
        ("binary", format!("{} *x.tar\n", digest.hex())),
        ("elsewhere", format!("{}  /srv/images/x.tar\n", digest.hex())),
        ("bare", format!("{}\n", digest.hex())),
        ("upper", format!("{}  x.tar\n", digest.hex().to_uppercase())),
    ] {
        fs::write(sandbox.out().join(name), line).unwrap();
        assert!(sandbox.output(&["verify", "x.tar", "--against", name]).status.success(), "{name}");
    }
    assert!(sandbox.output(&["verify", "x.tar", "--against", &digest.to_string()]).status.success());
}

#[test]
fn what_can_not_be_mended() {
    let of = |name: &str| fixtures().find(|fixture| fixture.name == name).unwrap().sandbox();
    told!("fix_no_images", fix(&of("no-archive-of-images"), &[]));
    told!("fix_no_name", fix(&of("no-name"), &[]));
    told!("fix_no_config", fix(&of("config-missing"), &[]));
    told!("fix_changed_config", fix(&of("config-flipped"), &[]));
    told!("fix_layer_missing", fix(&of("layer-missing"), &[]));
    told!("fix_parents_in_a_ring", fix(&of("layers-alone-parents-in-a-ring"), &[]));
    told!("fix_two_images_one_name", fix(&of("two-images-one-name"), &[]));
    told!("fix_tag_with_digest", fix(&of("no-name"), &["--tag", &format!("app@{}", Digest::of(b""))]));
    told!("fix_several_images", fix(&of("sealift-two-images"), &["--tag", "app:3"]));
    let metadata = layers_alone().edited_json(&metadata_path(2), |json| json["os"] = json!(5));
    told!("fix_strange_metadata", fix(&with(metadata.bytes()), &[]));
    let strange = app().with_manifest(|json| json["layers"][0]["mediaType"] = json!("text/plain"));
    told!("fix_not_a_layer", fix(&with(makers::oci_archive(&[&strange]).bytes()), &[]));
    let packed = of("packed-with-gzip").variable("TMPDIR", "/nowhere");
    told!("fix_no_room_to_unpack", fix(&packed, &[]));
    let sandbox = of("sealift");
    told!("fix_in_place", sandbox.run(&["verify", "x.tar", "--fix", "-o", "x.tar", "--quiet"]));
    told!("fix_two", sandbox.run(&["verify", "x.tar", "x.tar", "--fix", "-o", "y.tar", "--quiet"]));
    assert!(fs::read(sandbox.out().join("x.tar")).unwrap() == sealift().bytes());
}

#[test]
fn what_mending_does_not_change_is_still_wrong() {
    let said = |sandbox: &Sandbox, more: &[&str]| {
        sandbox.run(&[&["verify", "x.tar", "--fix", "-o", "y.tar", "--progress", "none"], more].concat())
    };
    told!("fix_wrong_platform", said(&with(sealift().bytes()), &["--platform", "linux/arm64"]));
    let zstd = makers::sealift(&[&crate::pieces::zstd()]).bytes();
    told!("fix_zstd_for_docker", said(&with(zstd), &["--for", "docker-20.10"]));
    let linked = fixtures().find(|fixture| fixture.name == "symlinked-layer").unwrap();
    told!("fix_links_for_podman", said(&linked.sandbox(), &["--for", "podman"]));
}

/// What can be mended is written, and what can't is told.
#[test]
fn one_broken_image_does_not_keep_the_others_from_being_mended() {
    let both =
        makers::docker_save(&[&app(), &other()]).without(&format!("{}/layer.tar", makers::id(&other(), 1)));
    let sandbox = with(both.bytes());
    told!("fix_one_of_two", sandbox.run(&["verify", "x.tar", "--fix", "-o", "y.tar", "--progress", "none"]));
    let mended = sandbox.run(&["verify", "y.tar"]);
    assert!(mended.starts_with("exit code: 0") && mended.contains("1 image"), "{mended}");
}

#[test]
fn several_archives_are_told_of_one_after_the_other() {
    let sandbox = with(sealift().bytes());
    fs::write(sandbox.out().join("other.tar"), makers::docker_save(&[&other()]).bytes()).unwrap();
    fs::write(sandbox.out().join("cut.tar"), &sealift().bytes()[..5000]).unwrap();
    told!("several", sandbox.run(&["verify", "x.tar", "cut.tar", "other.tar", "--progress", "none"]));
    fs::write(sandbox.out().join("text"), "no tar").unwrap();
    let some_can_not_be_read = ["verify", "gone.tar", "cut.tar", "text", "x.tar", "--progress", "none"];
    told!("several_unread", sandbox.run(&some_can_not_be_read));
    told!("none_to_be_read", sandbox.run(&["verify", "gone.tar", "x.tar", "text", "--quiet"]));
    told!("quiet", sandbox.run(&["verify", "x.tar", "cut.tar", "other.tar", "--quiet"]));
}
