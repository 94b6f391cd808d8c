//! `sealift inspect`: what is told of images in archives and registries, and what is asked for it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]

mod support;

use std::fs;

use serde_json::{Value, json};
use support::forged::Forged;
use support::layer::Layer;
use support::makers::{self, Image};
use support::registry::TestRegistry;
use support::sandbox::Sandbox;

/// An image that says all there is to say.
fn app() -> Image {
    let layers = vec![Layer::tar(1, 3000), Layer::tar(2, 2000)];
    let more = json!({
        "config": {
            "Entrypoint": ["/bin/app", "--listen"],
            "Cmd": ["0.0.0.0:80"],
            "Env": ["PATH=/bin", "MOTD=two\nlines \u{1b}[2J"],
            "User": "app",
            "WorkingDir": "/srv",
            "ExposedPorts": {"80/tcp": {}, "443/tcp": {}},
            "Volumes": {"/data": {}},
            "Labels": {"org.opencontainers.image.version": "1.2.3"},
        },
        "history": [
            {"created": "2026-11-20T12:00:00Z", "created_by": "/bin/sh -c #(nop) ADD file:base in /"},
            {"created": "2026-11-21T12:00:00Z", "created_by": "ENV  MOTD=two\tlines", "empty_layer": true},
            {"created": "2026-11-21T12:00:00Z", "created_by": "COPY app /bin/app # buildkit"},
        ],
    });
    Image::new("app:1", layers, &more)
}

/// On the same base, without a history.
fn other() -> Image {
    Image::new("other:2", vec![Layer::tar(1, 3000), Layer::tar(4, 1000)], &json!({}))
}

fn windows() -> Image {
    let more = json!({"os": "windows", "os.version": "10.0.20348.1", "config": {"Cmd": ["cmd.exe"]}});
    Image::new("win:1", vec![Layer::tar(5, 100)], &more)
}

fn with(archive: &Forged) -> Sandbox {
    let sandbox = Sandbox::new();
    fs::write(sandbox.out().join("x.tar"), archive.bytes()).unwrap();
    sandbox
}

/// What is told of the archive, as a table and as JSON.
fn told(archive: &Forged) -> String {
    let sandbox = with(archive);
    let output = sandbox.output(&["inspect", "x.tar", "--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    format!("{}\n--- json\n{json:#}", sandbox.run(&["inspect", "x.tar"]))
}

#[test]
fn one_image_is_told_with_all_it_says() {
    insta::assert_snapshot!(told(&makers::sealift(&[&app().under_index()])));
}

#[test]
fn of_several_images_it_is_told_what_they_share() {
    insta::assert_snapshot!(told(&makers::sealift(&[&app(), &other(), &windows()])));
}

#[test]
fn an_archive_without_manifests_is_told_by_its_configs() {
    insta::assert_snapshot!(told(&makers::docker_save(&[&other()])));
}

#[test]
fn an_image_without_its_config_and_a_layer_is_told_as_far_as_it_goes() {
    let archive = makers::docker_save(&[&other()]).without(&other().config_path());
    let archive = archive.without(&format!("{}/layer.tar", makers::id(&other(), 1)));
    insta::assert_snapshot!(told(&archive));
}

#[test]
fn lone_layers_are_told() {
    insta::assert_snapshot!(told(&makers::layers_alone(&[&other()])));
}

#[test]
fn one_of_several_images_is_told_by_its_name() {
    let sandbox = with(&makers::sealift(&[&app(), &other()]));
    insta::assert_snapshot!(sandbox.run(&["inspect", "x.tar", "other:2"]));
    insta::assert_snapshot!(sandbox.run(&["inspect", "x.tar", "gone:2"]));
    insta::assert_snapshot!(sandbox.run(&["inspect", "x.tar", "--raw"]));
    let raw =
        |arguments: &[&str]| sandbox.output(&[&["inspect", "x.tar", "other:2"], arguments].concat()).stdout;
    assert_eq!(raw(&["--raw"]), other().manifest);
    assert_eq!(raw(&["--raw=config"]), other().config);
}

#[test]
fn documents_are_printed_byte_for_byte() {
    let odd = |image: Image| Image { config: [&image.config[..], b"\n \n"].concat(), ..image };
    let image = odd(app());
    let own = support::image::descriptor("application/vnd.oci.image.config.v1+json", &image.config);
    let image = image.with_manifest(|json| json["config"] = own).under_index();
    let sandbox = with(&makers::sealift(&[&image]));
    assert_eq!(sandbox.output(&["inspect", "x.tar", "--raw"]).stdout, image.index.clone().unwrap());
    assert_eq!(sandbox.output(&["inspect", "x.tar", "--raw=config"]).stdout, image.config);
    let sandbox = with(&makers::docker_save(&[&image]));
    assert_eq!(sandbox.output(&["inspect", "x.tar", "--raw=config"]).stdout, image.config);
    insta::assert_snapshot!(sandbox.run(&["inspect", "x.tar", "--raw"]));
    let sandbox = with(&makers::docker_save(&[&image]).without(&image.config_path()));
    insta::assert_snapshot!(sandbox.run(&["inspect", "x.tar", "--raw=config"]));
    let sandbox = with(&Forged::default().file("a.txt", "a"));
    insta::assert_snapshot!(sandbox.run(&["inspect", "x.tar", "--raw"]));
}

#[test]
fn what_is_not_there_is_told() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(sandbox.run(&["inspect", "./gone.tar"]));
    insta::assert_snapshot!(sandbox.run(&["inspect", "gone.tar", "app:1"]));
}

#[test]
fn of_a_registrys_image_nothing_but_manifests_and_config_is_fetched() {
    let registry = TestRegistry::start();
    let image = support::image::push(&registry, "app:1", "linux/amd64", &[b"one", b"two"]);
    let sandbox = Sandbox::new().redact(registry.address(), "[REGISTRY]");
    insta::assert_snapshot!(sandbox.run(&["inspect", &image.reference, "--insecure", &registry.address()]));
    let asked = registry.requests();
    let layers = image.layers.iter().any(|layer| asked.iter().any(|it| it.contains(&layer.to_string())));
    assert!(!layers, "{asked:#?}");
    let blobs: Vec<_> = asked.iter().filter(|request| request.contains("/blobs/")).collect();
    assert!(blobs.iter().all(|request| request.contains(&image.config.to_string())), "{asked:#?}");
    assert_eq!(blobs.len(), 1, "{asked:#?}");
    let raw = sandbox.output(&["inspect", &image.reference, "--insecure", &registry.address(), "--raw"]);
    assert_eq!(raw.stdout, registry.manifest_bytes("app", "1"));
}

#[test]
fn of_several_platforms_one_can_be_asked_for() {
    let arm = app().with_config(|json| json["architecture"] = "arm64".into());
    let sandbox = with(&makers::docker_save(&[&app(), &arm]));
    let inspect =
        |platform: &str| sandbox.output(&["inspect", "x.tar", "--raw=config", "--platform", platform]).stdout;
    assert_eq!(inspect("linux/arm64"), arm.config);
    assert_eq!(inspect("linux/amd64"), app().config);
    insta::assert_snapshot!(sandbox.run(&["inspect", "x.tar", "--platform", "linux/s390x"]));
    insta::assert_snapshot!(sandbox.run(&["inspect", "gone.tar"]));
}
