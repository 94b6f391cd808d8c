//! `registries.yaml`, as the team's older page has it: a list of targets, each with name, type, url, username, password and
//! description. One of type `local_file` is the folder of archives; the others are registries, whose credentials exports
//! use.
//!
//! Threats: the file holds passwords: they become [`Secret`]s at once, and no error has them.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::fsio::{FileError, Links, open_regular};
use crate::image::Registry;
use crate::image_list::{ListError, Mapping, mappings_of};
use crate::registry::Credential;
use crate::secret::Secret;

/// No such file is larger.
const MAX_FILE_BYTES: u64 = 1 << 20;
const FOLDER_TYPE: &str = "local_file";
const KEYS: [&str; 6] = ["name", "type", "url", "username", "password", "description"];

/// What the file says.
#[derive(Debug, Default)]
pub struct RegistriesFile {
    /// The folder of archives, and what it is for.
    pub folder: Option<(PathBuf, Option<String>)>,
    /// Credentials of registries.
    pub credentials: Vec<(Registry, Credential)>,
}

/// The file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistriesFileError {
    /// It can't be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not YAML.
    #[error(transparent)]
    Yaml(#[from] ListError),
    /// An entry is not as it should be.
    #[error("{}, line {line}: {problem}", .path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
}

impl RegistriesFile {
    /// Reads the file; a relative folder is beside it.
    pub fn read(path: &Path) -> Result<Self, RegistriesFileError> {
        let mut text = String::new();
        let file = open_regular(path, Links::Follow)?;
        file.take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(FileError::io("read", path))?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, RegistriesFileError> {
        let mut read = Self::default();
        for entry in mappings_of(&path.display().to_string(), text, "registries")? {
            let fail = |problem: &str| RegistriesFileError::Entry {
                path: path.to_owned(),
                line: entry.line,
                problem: problem.to_owned(),
            };
            if let Some((key, _)) = entry.fields.iter().find(|(key, _)| !KEYS.contains(&key.as_str())) {
                return Err(fail(&format!("`{}` is not known here", key.escape_debug())));
            }
            read.take(path, &entry).map_err(fail)?;
        }
        Ok(read)
    }

    fn take(&mut self, path: &Path, entry: &Mapping) -> Result<(), &'static str> {
        let url = entry.field("url").ok_or("a target has a `url`")?;
        if entry.field("type") == Some(FOLDER_TYPE) {
            let folder = crate::fsio::folder_of(path).join(url);
            let description = entry.field("description").map(str::to_owned);
            if self.folder.replace((folder, description)).is_some() {
                return Err("there is one folder of archives: a second `local_file` can't be served");
            }
            return Ok(());
        }
        let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or(url);
        let host = host.split('/').next().unwrap_or(host);
        let registry: Registry = host.parse().map_err(|_| "its `url` is no registry")?;
        match (entry.field("username"), entry.field("password")) {
            (Some(username), Some(password)) => {
                let (username, password) = (username.to_owned(), Secret::new(password));
                self.credentials.push((registry, Credential::Password { username, password }));
                Ok(())
            }
            (None, None) => Ok(()),
            _ => Err("`username` and `password` go together"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_credentials_are_read() {
        let text = "registries:\n  - name: files\n    type: local_file\n    url: ./downloads\n    username: ''\n    \
                    password: ''\n    description: for the plant\n  - name: harbor\n    type: harbor\n    \
                    url: https://Harbor.example/\n    username: robot\n    password: hunter2\n";
        let read = RegistriesFile::parse(Path::new("/etc/registries.yaml"), text).unwrap();
        let folder = (PathBuf::from("/etc/./downloads"), Some("for the plant".to_owned()));
        assert_eq!(read.folder, Some(folder));
        assert_eq!(read.credentials[0].0.as_str(), "harbor.example");
        assert!(!format!("{read:?}").contains("hunter2"));
        let plain = "- {name: a, type: local_file, url: /srv}\n";
        assert!(RegistriesFile::parse(Path::new("r.yaml"), plain).unwrap().folder.is_some());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_without_secrets() {
        for (text, line) in [
            ("- name: a\n  url: x.example\n  pasword: hunter2\n", 1),
            ("- url: a.example\n- url: b.example\n  password: hunter2\n", 2),
            ("- type: local_file\n  url: a\n- type: local_file\n  url: b\n", 3),
            ("- name: a\n", 1),
        ] {
            let error = RegistriesFile::parse(Path::new("r.yaml"), text).unwrap_err();
            assert!(matches!(&error, RegistriesFileError::Entry { line: at, .. } if *at == line), "{error}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }
}
