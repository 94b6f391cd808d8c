//! `sealift push` to docker-registry: the first registry's digests, by skopeo's word, and images that docker pulls by them.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::certificates::self_signed;
use crate::command::{failure_of, output_of, output_of_with_input, said_by};
use crate::daemon::{free_address, free_site_address};
use crate::docker::Docker;
use crate::docker_registry::DockerRegistry;
use crate::guarded::{BASIC, BY_TOKEN, Guarded};
use crate::hub::HUB;
use crate::images::{
    CONFIG_BYTES, DEBIAN, FILESYSTEM, FLEET, Image, LARGE, MANIFEST_LIST, NO_LAYERS, PLATFORMS,
    REPEATED_LAYERS, SIXTY_LAYERS, TAG, ZSTD_ON_GZIP,
};
use crate::loader::Loader;
use crate::nginx::{Nginx, server};
use crate::sealift::{Layers, at_home, sealift};
use crate::session::{Set, session};
use crate::skopeo::Skopeo;

/// A push by somebody who lives in this folder.
fn push(home: &Path, archive: &Path, to: &str, options: &[&str]) -> Command {
    let mut command = sealift(&["push"]);
    at_home(command.arg(archive).arg(to).args(options), home);
    command
}

/// The digest that a name has at a registry, by both skopeos.
fn digest_by_skopeo(name: &str) -> String {
    let [old, modern] = [Set::Old, Set::Modern].map(|set| {
        let source = format!("docker://{name}");
        let said = output_of(&mut Skopeo(set).skopeo(&["inspect", "--tls-verify=false", &source]));
        serde_json::from_str::<Value>(&said).unwrap()["Digest"].as_str().unwrap().to_owned()
    });
    assert_eq!(old, modern, "{name}");
    old
}

/// Pushes an archive of the image, holds that its manifest is the first registry's, and runs it by that digest.
fn keeps_its_digest(image: &Image, layers: Layers) {
    let home = session().work_folder(&format!("push-{}", image.file_stem()));
    let registry = DockerRegistry::of_its_own(&home, "");
    let to = format!("{}/mirror", registry.address);
    let said = output_of(&mut push(&home, image.archive_with(layers), &to, &[]));
    let name = format!("{to}/{}:{TAG}", image.repository);
    let resolved = image.resolved();
    assert_eq!(said, format!("{name}@{}\n", resolved.manifest.digest));
    assert_eq!(digest_by_skopeo(&name), resolved.manifest.digest);
    let by_digest = format!("{to}/{}@{}", image.repository, resolved.manifest.digest);
    for docker in [Docker(Set::Old), Docker(Set::Modern)] {
        // Docker 20.10 can't unpack zstd.
        if layers == Layers::Keep && image.has_zstd_layers() && docker.0 == Set::Old {
            continue;
        }
        output_of(&mut docker.docker(&["pull", &by_digest]));
        if let Some(command) = image.command {
            assert_eq!(docker.run(&by_digest, command), image.prints);
        }
        docker.remove(&by_digest);
    }
    let again = said_by(&mut push(&home, image.archive_with(layers), &to, &[]));
    assert!(again.contains("already there"), "{again}");
}

#[test]
fn a_debian_image_keeps_its_digest() {
    keeps_its_digest(&DEBIAN, Layers::Auto);
}

#[test]
fn an_image_of_filesystem_corners_keeps_its_digest() {
    keeps_its_digest(&FILESYSTEM, Layers::Auto);
}

#[test]
fn a_platform_of_an_index_keeps_its_digest() {
    keeps_its_digest(&PLATFORMS, Layers::Auto);
}

#[test]
fn a_platform_of_a_manifest_list_keeps_its_digest() {
    keeps_its_digest(&MANIFEST_LIST, Layers::Auto);
}

#[test]
fn sixty_layers_keep_their_digest() {
    keeps_its_digest(&SIXTY_LAYERS, Layers::Auto);
}

#[test]
fn repeated_layers_keep_their_digest() {
    keeps_its_digest(&REPEATED_LAYERS, Layers::Auto);
}

#[test]
fn an_image_without_layers_keeps_its_digest() {
    keeps_its_digest(&NO_LAYERS, Layers::Auto);
}

#[test]
fn odd_bytes_in_the_config_keep_their_digest() {
    keeps_its_digest(&CONFIG_BYTES, Layers::Auto);
}

#[test]
fn zstd_layers_keep_their_digest() {
    keeps_its_digest(&ZSTD_ON_GZIP, Layers::Keep);
}

#[test]
fn plain_layers_get_a_new_digest_and_run() {
    let home = session().work_folder("push-plain");
    let registry = DockerRegistry::of_its_own(&home, "");
    let archive = DEBIAN.archive_with(Layers::Plain);
    let said = said_by(&mut push(&home, archive, &registry.address, &[]));
    assert!(said.contains("the digest is new"), "{said}");
    let name = format!("{}/{}:{TAG}", registry.address, DEBIAN.repository);
    let digest = digest_by_skopeo(&name);
    assert_ne!(digest, DEBIAN.resolved().manifest.digest);
    for docker in [Docker(Set::Old), Docker(Set::Modern)] {
        output_of(&mut docker.docker(&["pull", &name]));
        assert_eq!(docker.run(&name, DEBIAN.command.unwrap()), DEBIAN.prints);
        docker.remove(&name);
    }
}

/// An archive of the twenty images that share their bases.
fn fleet(home: &Path) -> std::path::PathBuf {
    let archive = home.join("fleet.tar");
    output_of(sealift(&["pull", "-q"]).args(FLEET.iter().map(Image::name)).arg("-o").arg(&archive));
    archive
}

#[test]
fn twenty_images_go_together_and_what_they_share_goes_once() {
    let home = session().work_folder("push-fleet");
    let registry = DockerRegistry::of_its_own(&home, "");
    let archive = fleet(&home);
    let said = output_of(&mut push(&home, &archive, &registry.address, &["--json"]));
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sent: u64 = lines.iter().map(|line| line["sent_bytes"].as_u64().unwrap()).sum();
    assert!(sent < fs::metadata(&archive).unwrap().len(), "{sent}");
    for (image, line) in FLEET.iter().zip(&lines) {
        let name = line["destination"].as_str().unwrap();
        assert_eq!(digest_by_skopeo(name), image.resolved().manifest.digest);
    }
    assert!(lines.iter().any(|line| line["mounted_blobs"].as_u64().unwrap() > 0), "{said}");
}

/// Pushes to a registry that lets in its user alone, below that user's name.
fn goes_in_with_a_password(test: &str, registry: &Guarded) {
    let home = session().work_folder(test);
    let archive = fleet(&home);
    let to = format!("{}/{}/{test}", registry.address, registry.user);
    let nobody = failure_of(&mut push(&home, &archive, &to, &[]), 5);
    assert!(nobody.contains("sealift login"), "{nobody}");
    let mut wrong = push(&home, &archive, &to, &["-u", registry.user]);
    let said = failure_of(wrong.env("SEALIFT_PASSWORD", "barnacles"), 5);
    assert!(!said.contains("barnacles"), "a password is never shown");
    let mut command = push(&home, &archive, &to, &["-u", registry.user, "--password-stdin"]);
    let said = output_of_with_input(&mut command, registry.password.as_bytes());
    let said = String::from_utf8(said).unwrap();
    assert_eq!(said.lines().count(), FLEET.len());
    for (line, image) in said.lines().zip(FLEET.iter()) {
        assert!(line.ends_with(&image.resolved().manifest.digest), "{line}");
    }
    let mut pull = sealift(&["pull", said.lines().next().unwrap(), "-o", "again.tar"]);
    pull.env("SEALIFT_USERNAME", registry.user).env("SEALIFT_PASSWORD", registry.password);
    output_of(pull.current_dir(&home));
}

#[test]
fn a_registry_with_passwords_takes_them() {
    goes_in_with_a_password("push-basic", &BASIC);
}

#[test]
fn a_registry_with_tokens_takes_them() {
    goes_in_with_a_password("push-by-token", &BY_TOKEN);
    let scope = format!("repository:{}/push-by-token/{}:pull,push", BY_TOKEN.user, FLEET[0].repository);
    assert!(HUB.tokens.tokens_for(&scope) > 0);
}

#[test]
fn a_registry_of_a_private_authority_is_pushed_to_over_tls() {
    let home = session().work_folder("push-tls");
    let address = free_site_address();
    let own = self_signed(&home, "domain", &format!("IP:{}", session().site));
    let settings =
        format!("  tls: {{certificate: {}, key: {}}}\n", own.certificate.display(), own.key.display());
    let _registry = DockerRegistry::start(&home, &home.join("storage"), address.clone(), &settings);
    failure_of(&mut push(&home, DEBIAN.archive(), &address, &[]), 6);
    let said = output_of(&mut push(&home, DEBIAN.archive(), &address, &["--ca", "domain.pem"]));
    assert!(said.trim_end().ends_with(&DEBIAN.resolved().manifest.digest), "{said}");
    let again = said_by(&mut push(&home, DEBIAN.archive(), &address, &["--insecure", &address]));
    assert!(again.contains("already there"), "{again}");
}

#[test]
fn a_layer_that_is_too_large_for_the_proxy_before_the_registry_goes_in_pieces() {
    let home = session().work_folder("push-pieces");
    let (registry, front) = (DockerRegistry::of_its_own(&home, ""), free_address());
    let limited = server(&front, "client_max_body_size 10m;", &registry.address);
    let mut nginx = Nginx::start(&home, &limited);
    let said = output_of(&mut push(&home, LARGE.archive(), &front, &["--retry-times", "3"]));
    assert!(said.trim_end().ends_with(&LARGE.resolved().manifest.digest), "{said}");

    nginx.start_with(&server(&front, "client_max_body_size 1m;", &registry.address));
    let said = failure_of(&mut push(&home, LARGE.archive(), &format!("{front}/again"), &[]), 6);
    assert!(said.contains("client_max_body_size"), "{said}");
}

#[test]
fn a_registry_that_dies_in_the_middle_gets_the_rest_when_it_is_back() {
    let home = session().work_folder("push-restart");
    let (registry, front) = (DockerRegistry::of_its_own(&home, ""), free_address());
    let slow = server(&front, "client_max_body_size 0; proxy_request_buffering off;", &registry.address);
    let nginx = Nginx::start(&home, &slow);
    let mut command = push(&home, LARGE.archive(), &front, &["--retry-times", "9", "--retry-delay", "0.1"]);
    let child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    nginx.kill_workers();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let name = format!("{}/{}:{TAG}", registry.address, LARGE.repository);
    assert_eq!(digest_by_skopeo(&name), LARGE.resolved().manifest.digest);
}
