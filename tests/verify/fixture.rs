//! The corpus: archives, how each is made, and what is expected of them.

use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::support::sandbox::Sandbox;

/// What becomes of an archive that is to be mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mended {
    /// It can be, and its images keep the registry's digests.
    Kept,
    /// It can be, and digests are new.
    New,
    /// It can be, if a name is given.
    Named,
    /// One of its images can be; the other has no name.
    Part,
    /// Its bytes are not all there.
    No,
}

/// An archive of the corpus.
pub(crate) struct Fixture {
    pub(crate) name: &'static str,
    /// How it is made.
    pub(crate) made: &'static str,
    pub(crate) archive: fn() -> Vec<u8>,
    /// What is asked beside it.
    pub(crate) options: &'static [&'static str],
    /// The kinds of problems it has.
    pub(crate) kinds: &'static [&'static str],
    /// The loaders that take all of it, a letter each: the old Docker, the new one, containerd, podman, skopeo.
    pub(crate) loads: &'static str,
    pub(crate) mended: Mended,
}

impl Fixture {
    /// A sandbox with the archive as `x.tar` in it.
    pub(crate) fn sandbox(&self) -> Sandbox {
        let sandbox = Sandbox::new();
        fs::write(sandbox.out().join("x.tar"), (self.archive)()).unwrap();
        sandbox
    }

    /// True where the archive holds `app:1` with the manifest its registry has.
    pub(crate) fn theme_is_app(&self) -> bool {
        let others = [
            "under-index",
            "two-images",
            "no-layers",
            "zstd",
            "many-layers",
            "sha512",
            "only-in",
            "names-differ",
            "docker-save-25",
        ];
        !others.iter().any(|other| self.name.contains(other))
    }

    pub(crate) fn verify<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [&["verify", "x.tar"], self.options, more].concat()
    }
}

/// What a run of `verify --json` told.
pub(crate) struct Told(pub(crate) Value);

impl Told {
    pub(crate) fn of(output: &Output) -> Self {
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        Self(serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}{error}")))
    }

    /// The kinds of problems, each once, sorted.
    pub(crate) fn kinds(&self) -> Vec<&str> {
        let problems = self.0["problems"].as_array().unwrap().iter();
        let mut kinds: Vec<_> = problems.map(|problem| problem["kind"].as_str().unwrap()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// A letter for each loader that takes it.
    pub(crate) fn loads(&self) -> String {
        let loaders = self.0["loaders"].as_array().unwrap().iter().zip("oncps".chars());
        loaders.filter(|(loader, _)| loader["refuses"].is_null()).map(|(_, letter)| letter).collect()
    }
}
