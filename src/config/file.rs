//! config.json: the shipped one, and the user's over it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::registries::{Registries, RegistryName, RegistrySettings};
use super::{Environment, ProxyText};
use crate::archive::LayerMode;
use crate::image::Platform;

/// The shipped defaults.
pub const SHIPPED: &str = include_str!("../../config.json");
/// More connections help nobody and annoy registries.
pub const MAX_CONNECTIONS: u8 = 64;
/// Whoever fails so often in a row fails for good.
pub const MAX_RETRY_TIMES: u8 = 100;
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
    /// How often what fails in a way that may pass is tried again.
    pub retry_times: u8,
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
    /// What is set for single registries: mirrors, limits.
    pub registries: Registries,
    /// The proxy where the environment names none.
    pub proxy: Option<ProxyText>,
    /// Proxies of hosts, by patterns as in `NO_PROXY`; these go before the environment's.
    pub proxies: BTreeMap<String, ProxyText>,
    /// The names that `sealift serve` goes by.
    pub serve_hosts: Vec<String>,
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
    #[error("{}: `{key}` is {found}; it goes from 1 to {MAX_CONNECTIONS}", .path.display())]
    Connections {
        /// The file.
        path: PathBuf,
        /// The key, with those it stands under.
        key: String,
        /// The value.
        found: u8,
    },
    /// A value out of its range.
    #[error("{}: `retry_times` is {found}; it goes from 0 to {MAX_RETRY_TIMES}", .path.display())]
    RetryTimes {
        /// The file.
        path: PathBuf,
        /// The value.
        found: u8,
    },
    /// A file to import that DockerOps doesn't have.
    #[error("{} is no config.json of DockerOps", .path.display())]
    NotDockerOps {
        /// The file.
        path: PathBuf,
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
        if let Some(text) = environment.text("SEALIFT_RETRY_TIMES") {
            let times = text.parse().ok().filter(|times| *times <= MAX_RETRY_TIMES);
            self.retry_times = times.ok_or(bad("SEALIFT_RETRY_TIMES", "a number of tries"))?;
        }
        if let Some(text) = environment.text("SEALIFT_LAYERS") {
            self.layers = text.parse().map_err(|_| bad("SEALIFT_LAYERS", "auto, keep or plain"))?;
        }
        if let Some(path) = environment.path("SEALIFT_OUTPUT") {
            self.output = path;
        }
        Ok(self)
    }

    /// Every number of connections, with its key.
    fn counts(&self) -> impl Iterator<Item = (String, u8)> {
        let of_registry = |(RegistryName(name), settings): (&RegistryName, &RegistrySettings)| {
            settings.connections.map(|count| (format!("registries.{name}.connections"), count))
        };
        std::iter::once(("connections".to_owned(), self.connections))
            .chain(self.registries.iter().filter_map(of_registry))
    }

    /// The shipped settings with the keys of `text`, which stands in `path`, over them.
    pub(super) fn overlay(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let invalid = |source| ConfigError::Invalid { path: path.to_owned(), source };
        let mut settings: Map<String, Value> = serde_json::from_str(SHIPPED).map_err(invalid)?;
        let own: Map<String, Value> = serde_json::from_str(text).map_err(invalid)?;
        for (key, value) in own {
            if !settings.contains_key(&key) {
                let nearest = nearest(&key, settings.keys().map(String::as_str));
                return Err(ConfigError::UnknownKey { path: path.to_owned(), key, nearest });
            }
            settings.insert(key, value);
        }
        read_registries(path, &mut settings)?;
        let mut config: Self = serde_json::from_value(Value::Object(settings)).map_err(invalid)?;
        if let Some((key, found)) = config.counts().find(|(_, count)| !is_count(*count)) {
            return Err(ConfigError::Connections { path: path.to_owned(), key, found });
        }
        if config.retry_times > MAX_RETRY_TIMES {
            return Err(ConfigError::RetryTimes { path: path.to_owned(), found: config.retry_times });
        }
        if let Some(folder) = path.parent() {
            for path in config.ca.iter_mut().chain(&mut config.reuse) {
                *path = folder.join(&*path);
            }
        }
        Ok(config)
    }
}

/// A list stands for its mirrors. Unknown keys are told with the nearest known one, which serde doesn't.
fn read_registries(path: &Path, settings: &mut Map<String, Value>) -> Result<(), ConfigError> {
    let registries = settings.get_mut("registries").and_then(Value::as_object_mut);
    for (registry, entry) in registries.into_iter().flatten() {
        if entry.is_array() {
            *entry = serde_json::json!({"mirrors": entry.take()});
        }
        let mut keys = entry.as_object().into_iter().flat_map(Map::keys);
        if let Some(key) = keys.find(|key| !RegistrySettings::KEYS.contains(&key.as_str())) {
            let nearest = nearest(key, RegistrySettings::KEYS.into_iter());
            let key = format!("registries.{registry}.{key}");
            return Err(ConfigError::UnknownKey { path: path.to_owned(), key, nearest });
        }
    }
    Ok(())
}

fn is_count(connections: u8) -> bool {
    (1..=MAX_CONNECTIONS).contains(&connections)
}

pub(super) fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

fn nearest<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> String {
    known.min_by_key(|name| strsim::damerau_levenshtein(key, name)).unwrap_or_default().to_owned()
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
    use super::super::{MirrorOrder, OriginUse, TagAuthority};
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
    fn registries_have_mirrors_and_limits() {
        let own = overlay(
            r#"{"registries":{
                "index.docker.io":{"mirrors":["m.example/hub","https://n.example/repository/hub"],
                                   "order":"fastest","origin":"never","verify_tag":"origin"},
                "Reg.example:5000":{"connections":2}}}"#,
        )
        .unwrap();
        let registries: Vec<_> = own.registries.iter().map(|(name, set)| (name.0.as_str(), set)).collect();
        let [("docker.io", hub), ("reg.example:5000", other)] = registries[..] else {
            panic!("{registries:?}")
        };
        assert_eq!(hub.mirrors.len(), 2);
        assert_eq!(
            (hub.order, hub.origin, hub.verify_tag),
            (MirrorOrder::Fastest, OriginUse::Never, TagAuthority::Origin)
        );
        assert_eq!(*other, RegistrySettings { connections: Some(2), ..RegistrySettings::default() });
        let short = overlay(r#"{"registries":{"docker.io":["m.example/hub"]}}"#).unwrap();
        assert_eq!(short.registries.values().next().unwrap().mirrors[0].to_string(), "m.example/hub");
        let again = serde_json::to_string(&own).unwrap();
        assert_eq!(overlay(&again).unwrap(), own, "what is shown can be read again");
    }

    #[test]
    fn what_is_wrong_with_a_registry_is_told() {
        let told = |entry: &str| {
            let error = overlay(&format!(r#"{{"registries":{{{entry}}}}}"#)).unwrap_err();
            std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string)
        };
        for (entry, expected) in [
            (r#""docker.io":{"mirors":[]}"#, "unknown key `registries.docker.io.mirors`"),
            (r#""docker.io":{"connections":65}"#, "`registries.docker.io.connections` is 65"),
            (r#""docker.io":{"mirrors":["ftp://x"]}"#, "`ftp://x` is no mirror: its scheme"),
            (r#""docker.io":{"order":"random"}"#, "unknown variant `random`"),
            (r#""https://docker.io":{}"#, "`https://docker.io` is no registry"),
            (r#""docker.io":"m.example""#, "invalid type: string"),
            (r#""docker.io":[1]"#, "invalid type: integer"),
        ] {
            assert!(told(entry).contains(expected), "{entry}: {}", told(entry));
        }
        let error = overlay(r#"{"registries":{"docker.io":{"mirors":[]}}}"#).unwrap_err();
        assert!(matches!(error, ConfigError::UnknownKey { nearest, .. } if nearest == "mirrors"));
    }

    #[test]
    fn values_out_of_range_are_errors() {
        for bad in [
            r#"{"connections":0}"#,
            r#"{"connections":-1}"#,
            r#"{"retry_times":101}"#,
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
