use super::*;
use proptest::prelude::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn familiar_names_are_completed() {
    let by_digest = format!("name@sha256:{HEX}");
    let both = format!("name:tag@sha256:{HEX}");
    for (text, full) in [
        ("busybox", "docker.io/library/busybox:latest".to_owned()),
        ("busybox:1.36", "docker.io/library/busybox:1.36".to_owned()),
        ("bitnami/redis", "docker.io/bitnami/redis:latest".to_owned()),
        ("index.docker.io/library/busybox", "docker.io/library/busybox:latest".to_owned()),
        ("quay.io/org/name:tag", "quay.io/org/name:tag".to_owned()),
        ("Docker.io/busybox", "docker.io/library/busybox:latest".to_owned()),
        ("Index.Docker.IO/library/busybox:V1", "docker.io/library/busybox:V1".to_owned()),
        ("Quay.IO:443/org/name", "quay.io:443/org/name:latest".to_owned()),
        ("[FD00::A]:5000/x", "[fd00::a]:5000/x:latest".to_owned()),
        ("host:5000/x", "host:5000/x:latest".to_owned()),
        ("localhost/x", "localhost/x:latest".to_owned()),
        ("[::1]:5000/x", "[::1]:5000/x:latest".to_owned()),
        ("docker://alpine", "docker.io/library/alpine:latest".to_owned()),
        ("a__b/c--d.e_f:V1.-_", "docker.io/a__b/c--d.e_f:V1.-_".to_owned()),
        (&by_digest, format!("docker.io/library/name@sha256:{HEX}")),
        (&both, format!("docker.io/library/name:tag@sha256:{HEX}")),
    ] {
        let reference: Reference = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(reference.to_string(), full);
        assert_eq!(full.parse::<Reference>().as_ref(), Ok(&reference));
    }
}

#[test]
fn familiar_names_are_what_docker_shows() {
    for (text, shown) in [
        ("busybox", "busybox:latest"),
        ("bitnami/redis:7", "bitnami/redis:7"),
        ("quay.io/org/name", "quay.io/org/name:latest"),
        ("docker.io/library/a/b:1", "library/a/b:1"),
        // The short forms would be read as another registry's, or as an image ID.
        ("docker.io/quay.io/x:1", "docker.io/quay.io/x:1"),
        ("docker.io/localhost/x:1", "docker.io/localhost/x:1"),
        ("docker.io/library/localhost:1", "localhost:1"),
        (&format!("docker.io/library/{HEX}:1"), &format!("docker.io/library/{HEX}:1")),
    ] {
        assert_eq!(text.parse::<Reference>().unwrap().familiar_tagged_name().unwrap(), shown);
    }
}

#[test]
fn a_refusal_points_at_the_character() {
    let long_tag = format!("a:{}", "t".repeat(129));
    for (text, position) in [
        ("", 0),
        ("Busybox", 0),
        ("busyBox:latest", 4),
        ("busy box", 4),
        ("https://quay.io/x", 5),
        ("a//b", 2),
        ("a/", 2),
        ("a/-b", 2),
        ("a.-b", 1),
        ("a_", 1),
        ("a___b", 1),
        ("a:", 2),
        ("a:.b", 2),
        ("a:b/c", 2),
        ("a:b c", 3),
        ("host:99999/x", 5),
        ("host:+80/x", 5),
        ("ho_st:5000/x", 2),
        ("[::1/x", 0),
        ("[::g]:5000/x", 1),
        ("[::1]x/y", 5),
        ("a@sha256:12", 2),
        ("a@sha256:../../x", 2),
        ("docker://A", 9),
        ("naïve", 2),
        (HEX, 0),
        (&long_tag, 130),
    ] {
        let error = text.parse::<Reference>().expect_err(text);
        assert_eq!(error.position, position, "{error}");
    }
}

#[test]
fn user_and_password_are_refused_and_left_out() {
    let by_digest = format!("me:hunter2@reg.example/x@sha256:{HEX}");
    for text in [
        "me:hunter2@reg.example/x:1",
        "me:hunter2@reg.example:5000/x",
        "https://me:hunter2@reg.example/x",
        "docker://me:hun@ter2@reg.example/x",
        "me:hunter2@x",
        &by_digest,
    ] {
        let error = text.parse::<Reference>().unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(error.problem == ReferenceProblem::Credentials && !shown.contains("hun"), "{text}: {shown}");
    }
    let error = "me:hunter2@reg.example".parse::<Registry>().unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    for text in [format!("a:1@md5:{HEX}"), "a:1@".to_owned(), "a:1@sha256:x".to_owned(), "a@b".to_owned()] {
        let error = text.parse::<Reference>().unwrap_err();
        assert!(matches!(error.problem, ReferenceProblem::BadDigest(_)), "{error}");
    }
}

#[test]
fn registries_know_their_api() {
    let registry = |text: &str| text.parse::<Reference>().unwrap().registry().clone();
    assert_eq!(registry("busybox").api_authority(), "registry-1.docker.io");
    assert_eq!(registry("[::1]:5000/x").api_authority(), "[::1]:5000");
}

proptest! {
    /// Whatever is typed gives a reference or a position inside it, never a panic.
    #[test]
    fn any_text_parses_or_points(text in ".{0,300}") {
        match text.parse::<Reference>() {
            Ok(reference) => prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference)),
            Err(error) => {
                prop_assert!(error.position <= text.len());
                prop_assert!(text.is_char_boundary(error.position));
            }
        }
    }

    /// Where the widely used parser understands a lower-case name, it and sealift read the same parts.
    #[test]
    fn agrees_with_the_oci_client_parser(
        text in "([a-z0-9]{1,8}\\.[a-z]{2,3}(:[1-9][0-9]{0,3})?/)?[a-z0-9]{1,6}([._-][a-z0-9]{1,6})?(/[a-z0-9]{1,6}){0,2}(:[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,9})?"
    ) {
        let ours: Reference = text.parse().unwrap();
        let theirs: oci_distribution::Reference = text.parse().unwrap();
        prop_assert_eq!(ours.registry().as_str(), theirs.registry());
        prop_assert_eq!(ours.repository().path(), theirs.repository());
        prop_assert_eq!(ours.tag(), theirs.tag());
    }
}
