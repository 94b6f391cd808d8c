//! Under which names images go to a registry. Pure.
//!
//! `HOST[:PORT][/PREFIX]` takes each image under its whole path, `library/` included: that is how Docker's and
//! containerd's mirrors, Harbor and hauler have them. `HOST[:PORT]/NAME:TAG` is the name of a single image. Rules change
//! paths before the prefix is put before them.

use std::collections::HashMap;
use std::str::FromStr;

use super::SourceImage;
use crate::foreign::shown_host;
use crate::image::reference::ReferenceError;
use crate::image::{Reference, Registry};

/// Where images go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Below this path (none: at the top) of a registry.
    Below {
        /// The registry.
        registry: Registry,
        /// The path, without slashes around it.
        prefix: String,
    },
    /// A single image, under this very name.
    Named(Reference),
}

/// A rule for names: what begins with `from`, by whole parts, begins with `to` instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    from: String,
    to: String,
}

/// A rule that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no rule `FROM=TO`", .0.escape_debug())]
pub struct RenameError(String);

/// Images can't have the names they would get.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// It doesn't begin with a registry.
    #[error("`{text}` does not begin with a registry")]
    NoRegistry {
        /// As it was given, fit to show.
        text: String,
    },
    /// It is no name.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The name of one image, for several.
    #[error("`{name}` is the name of one image, and there are {images}")]
    Several {
        /// The name.
        name: String,
        /// How many images there are.
        images: usize,
    },
    /// A digest, which is not anybody's to choose.
    #[error("`{name}` has a digest: images keep theirs")]
    Digest {
        /// The name.
        name: String,
    },
    /// A prefix for the name of one image.
    #[error("`{name}` is the whole name of an image: nothing goes before it")]
    PrefixOfName {
        /// The name.
        name: String,
    },
    /// A rule for the name of one image.
    #[error("`{name}` is the whole name of an image: no rule changes it")]
    RuleForName {
        /// The name.
        name: String,
    },
    /// A rule that no image is for.
    #[error("no image's name begins with `{from}`, which is to be renamed")]
    Unused {
        /// What the rule is for.
        from: String,
    },
    /// An image without a name.
    #[error("the image {image} has no name")]
    NoName {
        /// Its digest.
        image: String,
    },
    /// Two images would have one name.
    #[error("`{one}` and `{other}` would both be `{name}`")]
    Same {
        /// The one.
        one: String,
        /// The other.
        other: String,
        /// The name.
        name: String,
    },
}

impl FromStr for Rename {
    type Err = RenameError;

    fn from_str(text: &str) -> Result<Self, RenameError> {
        let (from, to) = text.split_once('=').ok_or_else(|| RenameError(text.to_owned()))?;
        let (from, to) = (from.trim_end_matches('/'), to.trim_matches('/'));
        if from.is_empty() {
            return Err(RenameError(text.to_owned()));
        }
        Ok(Self { from: from.to_owned(), to: to.to_owned() })
    }
}

impl Rename {
    /// The new path, with its tag, of an image called `name` (registry, path, tag), if the rule is for it.
    fn apply(&self, name: &str) -> Option<String> {
        let rest = name.strip_prefix(&self.from)?;
        match (rest.strip_prefix('/'), self.to.is_empty()) {
            (Some(rest), true) => Some(rest.to_owned()),
            (Some(rest), false) => Some(format!("{}/{rest}", self.to)),
            // The whole path; a tag in `from` is replaced with it.
            (None, _) if rest.is_empty() || rest.starts_with(':') => Some(format!("{}{rest}", self.to)),
            (None, _) => None,
        }
    }
}

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        let text = text.strip_prefix("docker://").unwrap_or(text);
        let (host, path) = text.split_once('/').unwrap_or((text, ""));
        if host != "localhost" && !host.contains(['.', ':', '[']) || host.contains('@') {
            return Err(DestinationError::NoRegistry { text: shown_host(text) });
        }
        let path = path.trim_end_matches('/');
        if path.contains(':') || path.contains('@') {
            let reference: Reference = text.parse()?;
            return match reference.digest() {
                Some(_) => Err(DestinationError::Digest { name: text.to_owned() }),
                None => Ok(Self::Named(reference)),
            };
        }
        let registry = host.parse()?;
        if !path.is_empty() {
            // Is it a path?
            text.trim_end_matches('/').parse::<Reference>()?;
        }
        Ok(Self::Below { registry, prefix: path.to_owned() })
    }
}

impl Destination {
    /// The registry.
    pub fn registry(&self) -> &Registry {
        match self {
            Self::Below { registry, .. } => registry,
            Self::Named(reference) => reference.registry(),
        }
    }

    /// The same, with `path` behind its own.
    pub fn with_prefix(self, path: &str) -> Result<Self, DestinationError> {
        match self {
            Self::Named(name) => Err(DestinationError::PrefixOfName { name: name.to_string() }),
            Self::Below { registry, prefix } => {
                let parts = [registry.as_str(), &prefix, path.trim_matches('/')];
                let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
                parts.join("/").parse()
            }
        }
    }

    /// The names of `images` at the registry, all different.
    pub fn names(
        &self,
        images: &[SourceImage],
        rules: &[Rename],
    ) -> Result<Vec<Reference>, DestinationError> {
        let names = match self {
            Self::Below { registry, prefix } => below(registry, prefix, images, rules)?,
            Self::Named(name) if !rules.is_empty() => {
                return Err(DestinationError::RuleForName { name: name.to_string() });
            }
            Self::Named(name) if images.len() == 1 => vec![name.clone()],
            Self::Named(name) => {
                return Err(DestinationError::Several { name: name.to_string(), images: images.len() });
            }
        };
        let mut known: HashMap<&Reference, &SourceImage> = HashMap::new();
        for (name, image) in names.iter().zip(images) {
            if let Some(other) = known.insert(name, image)
                && other.target != image.target
            {
                let (one, other) = (other.to_string(), image.to_string());
                return Err(DestinationError::Same { one, other, name: name.to_string() });
            }
        }
        Ok(names)
    }
}

fn below(
    registry: &Registry,
    prefix: &str,
    images: &[SourceImage],
    rules: &[Rename],
) -> Result<Vec<Reference>, DestinationError> {
    let mut used = vec![false; rules.len()];
    let mut names = Vec::new();
    for image in images {
        let no_name = || DestinationError::NoName { image: image.to_string() };
        let source = image.name.as_ref().ok_or_else(no_name)?;
        let full = source.tagged_name().unwrap_or_else(|| source.repository().to_string());
        let fitting = rules.iter().enumerate().filter_map(|(at, rule)| Some((at, rule.apply(&full)?)));
        let fitting = fitting.inspect(|(at, _)| used[*at] = true);
        // The rule for the longest beginning counts.
        let renamed = fitting.max_by_key(|(at, _)| rules[*at].from.len()).map(|(_, path)| path);
        let path = renamed.unwrap_or_else(|| full[source.registry().as_str().len() + 1..].to_owned());
        let parts = [registry.as_str(), prefix, &path];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let by_digest = source.digest().filter(|_| source.tag().is_none());
        let by_digest = by_digest.map(|digest| format!("@{digest}")).unwrap_or_default();
        names.push((parts.join("/") + &by_digest).parse()?);
    }
    match used.iter().position(|used| !used) {
        Some(at) => Err(DestinationError::Unused { from: rules[at].from.clone() }),
        None => Ok(names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Digest;
    use crate::source::Selector;

    fn images(names: &[&str]) -> Vec<SourceImage> {
        let image = |name: &&str| SourceImage {
            name: Some(name.parse().unwrap()),
            target: Selector::Digest(Digest::of(name.as_bytes())),
            is_made: false,
        };
        names.iter().map(image).collect()
    }

    fn named(to: &str, from: &[&str], rules: &[&str]) -> Result<Vec<String>, DestinationError> {
        let rules: Vec<Rename> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        let names = to.parse::<Destination>()?.names(&images(from), &rules)?;
        Ok(names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn images_keep_their_paths_below_the_destination() {
        for (to, from, expected) in [
            ("reg.example", "busybox", "reg.example/library/busybox:latest"),
            ("reg.example:5000/mirror/", "quay.io/org/app:1.4", "reg.example:5000/mirror/org/app:1.4"),
            ("localhost/a/b", "docker.io/me/app", "localhost/a/b/me/app:latest"),
            ("docker.io/me", "quay.io/app:1", "docker.io/me/app:1"),
            ("reg.example/team/other:2", "busybox", "reg.example/team/other:2"),
            ("docker://[::1]:5000", "busybox", "[::1]:5000/library/busybox:latest"),
        ] {
            assert_eq!(named(to, &[from], &[]).unwrap(), [expected], "{to} {from}");
        }
        let digest = Digest::of(b"x");
        let by_digest = named("reg.example", &[&format!("quay.io/app@{digest}")], &[]).unwrap();
        assert_eq!(by_digest, [format!("reg.example/app@{digest}")]);
    }

    #[test]
    fn rules_are_for_whole_parts_and_the_longest_counts() {
        for (from, rules, expected) in [
            ("busybox", &["docker.io/library/="][..], "r.example/p/busybox:latest"),
            ("busybox", &["docker.io=hub", "docker.io/library=lib"], "r.example/p/lib/busybox:latest"),
            ("busybox:1", &["docker.io/library/busybox=tools/bb"], "r.example/p/tools/bb:1"),
            ("busybox:1", &["docker.io/library/busybox:1=tools/bb:one"], "r.example/p/tools/bb:one"),
            ("quay.io/a/b", &["quay.io/=quay/"], "r.example/p/quay/a/b:latest"),
        ] {
            assert_eq!(named("r.example/p", &[from], rules).unwrap(), [expected], "{from} {rules:?}");
        }
        let unused = |rule: &str| named("r.example", &["busybox"], &[rule]).unwrap_err();
        for rule in [
            "docker.io/library/bus=x",
            "busybox=x",
            "docker.io/library/busybox/x=y",
            "docker.io/library/busybox:2=y",
        ] {
            assert!(matches!(unused(rule), DestinationError::Unused { .. }), "{rule}");
        }
        for bad in ["", "x", "=x", "/=x"] {
            assert!(bad.parse::<Rename>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_can_not_be_is_refused() {
        let error = |to: &str, from: &[&str], rules: &[&str]| named(to, from, rules).unwrap_err();
        assert!(matches!(error("mirror/app:1", &["a"], &[]), DestinationError::NoRegistry { .. }));
        assert!(
            matches!(error("me:secret@reg.example/a", &["a"], &[]), DestinationError::NoRegistry { text } if !text.contains("secret"))
        );
        assert!(matches!(error("reg.example/A", &["a"], &[]), DestinationError::Reference(_)));
        assert!(matches!(
            error("reg.example/a:1", &["a", "b"], &[]),
            DestinationError::Several { images: 2, .. }
        ));
        let digest = Digest::of(b"x");
        assert!(matches!(
            error(&format!("reg.example/a@{digest}"), &["a"], &[]),
            DestinationError::Digest { .. }
        ));
        let same = error("reg.example", &["quay.io/a/b", "ghcr.io/a/b"], &[]);
        assert_eq!(
            same.to_string(),
            "`quay.io/a/b:latest` and `ghcr.io/a/b:latest` would both be `reg.example/a/b:latest`"
        );
    }
}
