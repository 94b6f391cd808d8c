//! config.json: the shipped one, and the user's over it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Environment;
use crate::archive::LayerMode;
use crate::image::Platform;

/// The shipped defaults.
pub const SHIPPED: &str = include_str!("../../config.json");
/// More connections help nobody and annoy registries.
pub const MAX_CONNECTIONS: u8 = 64;
/// No configuration is larger.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The settings, each as the last file that has it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The platform to pull; none means linux/amd64, or whatever an image is for that has no other.
    #[serde(with = "platform_text")]
    pub platform: Option<Platform>,
    /// How many blobs are fetched at the same time.
    pub connections: u8,
    /// Which layers are stored inflated.
    pub layers: LayerMode,
    /// Where archives go.
    pub output: PathBuf,
    /// Files of PEM certificates that are trusted beside the system's; relative ones are beside the config file.
    pub ca: Vec<PathBuf>,
    /// Archives, folders of archives and OCI layouts whose blobs are copied instead of fetched; relative ones are beside the
    /// config file.
    pub reuse: Vec<PathBuf>,
    /// Registries (`host` or `host:port`) that may use plain HTTP or certificates nobody vouches for.
    pub insecure: Vec<String>,
}

/// Which file, if any, overlays the shipped settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Named by `--config` or `$SEALIFT_CONFIG`: it must be there.
    Named(PathBuf),
    /// In the user's configuration directory: it may be there.
    User(PathBuf),
    /// There is no such directory.
    Shipped,
}

/// Why a config.json can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It can't be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It isn't a JSON object of the right shape.
    #[error("{} is not a valid configuration", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// It has a key that means nothing.
    #[error("{} has the unknown key `{key}`", .path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The known key that looks most like it.
        nearest: String,
    },
    /// A value out of its range.
    #[error("{}: `connections` is {found}; it goes from 1 to {MAX_CONNECTIONS}", .path.display())]
    Connections {
        /// The file.
        path: PathBuf,
        /// The value.
        found: u8,
    },
    /// An environment variable with a value that means nothing.
    #[error("the environment variable {name} is not {expected}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
}

/// The file in the user's configuration directory: `$XDG_CONFIG_HOME/sealift/config.json`, else under `~/.config`.
pub fn user_path(environment: &Environment) -> Option<PathBuf> {
    // A relative one would be below the current directory.
    let absolute = |name| environment.path(name).filter(|path| path.is_absolute());
    let base = if cfg!(windows) {
        absolute("APPDATA")
    } else {
        absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))
    };
    Some(base?.join("sealift").join("config.json"))
}

impl Origin {
    /// Chooses the file: `named` (`--config`), `$SEALIFT_CONFIG`, the user's directory.
    pub fn choose(named: Option<&Path>, environment: &Environment) -> Self {
        if let Some(path) = named.map(Path::to_owned).or_else(|| environment.path("SEALIFT_CONFIG")) {
            return Self::Named(path);
        }
        user_path(environment).map_or(Self::Shipped, Self::User)
    }
}

impl Config {
    /// The shipped settings, `origin`'s over them, the environment's over both.
    pub fn load(origin: &Origin, environment: &Environment) -> Result<Self, ConfigError> {
        let config = match origin {
            Origin::Shipped => Self::overlay(Path::new("config.json"), "{}"),
            Origin::User(path) | Origin::Named(path) => match read(path) {
                Ok(text) => Self::overlay(path, &text),
                Err(error) if error.kind() == ErrorKind::NotFound && matches!(origin, Origin::User(_)) => {
                    Self::overlay(path, "{}")
                }
                Err(source) => Err(ConfigError::Read { path: path.clone(), source }),
            },
        };
        config?.under(environment)
    }

    /// These settings with the environment's over them.
    fn under(mut self, environment: &Environment) -> Result<Self, ConfigError> {
        let bad = |name, expected| ConfigError::Variable { name, expected };
        if let Some(text) = environment.text("SEALIFT_PLATFORM") {
            self.platform =
                Some(text.parse().map_err(|_| bad("SEALIFT_PLATFORM", "`os/arch[/variant][:os version]`"))?);
        }
        if let Some(text) = environment.text("SEALIFT_CONNECTIONS") {
            let count = text.parse().ok().filter(|count| is_count(*count));
            self.connections = count.ok_or(bad("SEALIFT_CONNECTIONS", "a number of connections"))?;
        }
        if let Some(text) = environment.text("SEALIFT_LAYERS") {
            self.layers = text.parse().map_err(|_| bad("SEALIFT_LAYERS", "auto, keep or plain"))?;
        }
        if let Some(path) = environment.path("SEALIFT_OUTPUT") {
            self.output = path;
        }
        Ok(self)
    }

    /// The shipped settings with the keys of `text`, which stands in `path`, over them.
    fn overlay(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let invalid = |source| ConfigError::Invalid { path: path.to_owned(), source };
        let mut settings: Map<String, Value> = serde_json::from_str(SHIPPED).map_err(invalid)?;
        let own: Map<String, Value> = serde_json::from_str(text).map_err(invalid)?;
        for (key, value) in own {
            if !settings.contains_key(&key) {
                let nearest = nearest(&key, settings.keys());
                return Err(ConfigError::UnknownKey { path: path.to_owned(), key, nearest });
            }
            settings.insert(key, value);
        }
        let mut config: Self = serde_json::from_value(Value::Object(settings)).map_err(invalid)?;
        if !is_count(config.connections) {
            return Err(ConfigError::Connections { path: path.to_owned(), found: config.connections });
        }
        if let Some(folder) = path.parent() {
            for path in config.ca.iter_mut().chain(&mut config.reuse) {
                *path = folder.join(&*path);
            }
        }
        Ok(config)
    }
}

fn is_count(connections: u8) -> bool {
    (1..=MAX_CONNECTIONS).contains(&connections)
}

fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

fn nearest<'a>(key: &str, known: impl Iterator<Item = &'a String>) -> String {
    known.min_by_key(|name| strsim::damerau_levenshtein(key, name)).cloned().unwrap_or_default()
}

/// A platform as `os/arch[/variant][:os version]`.
mod platform_text {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::image::Platform;

    #[allow(clippy::ref_option, reason = "serde's `with` passes the field's own type")]
    pub(super) fn serialize<S: Serializer>(
        platform: &Option<Platform>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match platform {
            Some(platform) => serializer.collect_str(platform),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Platform>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse()).transpose().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlay(text: &str) -> Result<Config, ConfigError> {
        Config::overlay(Path::new("/etc/sealift/config.json"), text)
    }

    #[test]
    fn the_shipped_file_is_valid_and_a_users_file_goes_over_it() {
        assert_eq!(overlay("{}").unwrap().connections, 8);
        let own =
            overlay(r#"{"platform":"linux/arm64/v8","ca":["own.pem","/abs.pem"],"reuse":["usb"]}"#).unwrap();
        assert_eq!(own.platform.unwrap().to_string(), "linux/arm64");
        assert_eq!(own.ca, [Path::new("/etc/sealift/own.pem"), Path::new("/abs.pem")]);
        assert_eq!(own.reuse, [Path::new("/etc/sealift/usb")]);
        assert_eq!(own.connections, 8);
    }

    #[test]
    fn unknown_keys_are_told_with_the_nearest_known_one() {
        let error = overlay(r#"{"conections":4}"#).unwrap_err();
        assert!(matches!(error, ConfigError::UnknownKey { nearest, .. } if nearest == "connections"));
    }

    #[test]
    fn values_out_of_range_are_errors() {
        for bad in [
            r#"{"connections":0}"#,
            r#"{"connections":-1}"#,
            r#"{"platform":"amd64"}"#,
            r#"{"layers":"x"}"#,
            "[]",
            "",
        ] {
            assert!(overlay(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_environment_goes_over_the_file_and_an_empty_variable_is_none() {
        let under = |pairs: &[(&str, &str)]| {
            overlay(r#"{"connections":4}"#).unwrap().under(&pairs.iter().copied().collect())
        };
        let set = under(&[
            ("SEALIFT_CONNECTIONS", "2"),
            ("SEALIFT_PLATFORM", "linux/arm"),
            ("SEALIFT_LAYERS", "plain"),
            ("SEALIFT_OUTPUT", "/x"),
        ])
        .unwrap();
        assert_eq!((set.connections, set.layers, set.output), (2, LayerMode::Plain, PathBuf::from("/x")));
        assert_eq!(set.platform.unwrap().to_string(), "linux/arm/v7");
        assert_eq!(
            under(&[("SEALIFT_CONNECTIONS", ""), ("SEALIFT_PLATFORM", "")]).unwrap(),
            under(&[]).unwrap()
        );
        for bad in [("SEALIFT_CONNECTIONS", "0"), ("SEALIFT_LAYERS", "PLAIN"), ("SEALIFT_PLATFORM", "arm")] {
            assert!(matches!(under(&[bad]), Err(ConfigError::Variable { name, .. }) if name == bad.0));
        }
    }

    #[test]
    fn the_users_directory_follows_xdg() {
        let path = |pairs: &[(&str, &str)]| user_path(&pairs.iter().copied().collect());
        assert_eq!(path(&[("HOME", "/h")]), Some("/h/.config/sealift/config.json".into()));
        assert_eq!(path(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")]), Some("/x/sealift/config.json".into()));
        assert_eq!(
            path(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "rel")]),
            Some("/h/.config/sealift/config.json".into())
        );
        assert_eq!(path(&[]), None);
        assert_eq!(path(&[("HOME", "."), ("APPDATA", ".")]), None);
    }
}
