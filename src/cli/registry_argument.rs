//! A registry as it is named to `login`, `logout` and `doctor`.

use sealift::image::{Reference, Registry};
use sealift::registry::RegistryError;

use super::report::Failure;

/// Docker Hub's many names.
const DOCKER_HUB: [&str; 4] = ["docker.io", "index.docker.io", "registry-1.docker.io", "hub.docker.com"];

/// Reads `HOST[:PORT]`; a scheme and a path, as docker takes them, are left out.
pub(super) fn parse(text: &str) -> Result<Registry, Failure> {
    let bare = text.split_once("://").map_or(text, |(_, bare)| bare);
    let host = bare.split('/').next().unwrap_or(bare).to_ascii_lowercase();
    let host = if DOCKER_HUB.contains(&host.as_str()) { "docker.io" } else { &host };
    // A name without dot or port would be a part of Docker Hub.
    let is_host = host == "localhost" || host.contains(['.', ':']);
    let reference = format!("{host}/x").parse::<Reference>().ok().filter(|_| is_host);
    let registry = reference.map(|reference| reference.registry().clone());
    registry.ok_or_else(|| RegistryError::BadInsecureHost { text: sealift::foreign::shown_host(text) }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_named_as_docker_takes_it() {
        for (text, expected) in [
            ("docker.io", Some("docker.io")),
            ("https://index.docker.io/v1/", Some("docker.io")),
            ("Reg.Example", Some("reg.example")),
            ("https://reg.example:5000/v2/", Some("reg.example:5000")),
            ("localhost", Some("localhost")),
            ("[::1]:5000", Some("[::1]:5000")),
            ("reg", None),
            ("a b.example", None),
            ("", None),
        ] {
            let parsed = parse(text).ok();
            assert_eq!(parsed.as_ref().map(Registry::as_str), expected, "{text}");
        }
    }
}
