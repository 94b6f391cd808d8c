//! The names that images have for as long as they are pushed to a registry of ours, told from all others by their shape:
//! `127.0.0.1:PORT/sealift-grab-<32 hexadecimal digits>:latest`.

use std::net::SocketAddr;

use crate::image::Reference;

/// What the one component of such a path begins with.
const REPOSITORY: &str = "sealift-grab-";
const TAG: &str = "latest";
const DIGITS: usize = 32;

/// A name for as long as a push takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassingName {
    /// The registry that it leads to.
    pub registry: SocketAddr,
    /// The name itself.
    pub reference: Reference,
}

impl PassingName {
    /// The repository that `digits` make.
    pub fn repository(digits: &str) -> String {
        format!("{REPOSITORY}{digits}")
    }

    /// The name of `repository`, as [`repository`](Self::repository) makes it, in this registry.
    pub fn of(registry: SocketAddr, repository: &str) -> Self {
        let name = format!("{registry}/{repository}:{TAG}");
        let reference = name.parse().unwrap_or_else(|_| unreachable!("an address and a word are a name"));
        Self { registry, reference }
    }

    /// Reads a name that an image has; none if it is anybody else's.
    pub fn read(name: &str) -> Option<Self> {
        let (registry, repository) = name.strip_suffix(TAG)?.strip_suffix(':')?.split_once('/')?;
        let digits = repository.strip_prefix(REPOSITORY)?;
        let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_ours = digits.len() == DIGITS && digits.bytes().all(is_digit);
        Some(Self { registry: registry.parse().ok().filter(|_| is_ours)?, reference: name.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_are_none_of_ours() {
        let digits = "0123456789abcdef0123456789abcdef";
        let name = PassingName::of("127.0.0.1:4000".parse().unwrap(), &PassingName::repository(digits));
        assert_eq!(PassingName::read(&name.reference.to_string()), Some(name));
        for name in [
            "localhost:5000/sealift-grab-tools:dev".to_owned(),
            "team.example/sealift-grab-x/app:1".to_owned(),
            format!("localhost:5000/sealift-grab-{digits}:latest"),
            format!("registry.example/sealift-grab-{digits}:latest"),
            format!("127.0.0.1:4000/sealift-grab-{digits}:1"),
            format!("127.0.0.1:4000/sealift-grab-{digits}0:latest"),
            format!("127.0.0.1:4000/more/sealift-grab-{digits}:latest"),
            format!("127.0.0.1/sealift-grab-{digits}:latest"),
            format!("sealift-grab-{digits}:latest"),
        ] {
            assert_eq!(PassingName::read(&name), None, "{name}");
        }
    }
}
