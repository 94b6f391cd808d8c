//! The process environment, read once and handed on: the library never looks it up by itself.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

/// A snapshot of environment variables. `Debug` shows names only: values may be secrets.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// The value of `name`; unset, empty and non-UTF-8 values are none.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(OsStr::new(name))?.to_str().filter(|value| !value.is_empty())
    }

    /// A program's file, looked for on the PATH. Relative entries are left out: what lies in the current directory is
    /// nobody's program.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        let path = self.path("PATH")?;
        let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
        std::env::split_paths(&path)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(&name))
            .find(|file| file.is_file())
    }

    /// Every variable but those with a user, a password and a token of ours, for programs that are started.
    pub fn variables_for_programs(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        const OURS: [&str; 3] = ["SEALIFT_USERNAME", "SEALIFT_PASSWORD", "SEALIFT_TOKEN"];
        let is_ours = |name: &OsStr| OURS.iter().any(|ours| name == *ours);
        let variables = self.0.iter().filter(move |(name, _)| !is_ours(name));
        variables.map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// The value of `name` as a path; unset and empty values are none.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.0.get(OsStr::new(name)).filter(|value| !value.is_empty()).map(PathBuf::from)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_get_everything_but_our_password() {
        let variables = [
            ("HOME", "/h"),
            ("SEALIFT_PASSWORD", "hunter2"),
            ("SEALIFT_USERNAME", "me"),
            ("SEALIFT_TOKEN", "t"),
        ];
        let environment: Environment = variables.into_iter().collect();
        let given: Vec<_> = environment.variables_for_programs().collect();
        assert_eq!(given, [(OsStr::new("HOME"), OsStr::new("/h"))]);
    }
}
