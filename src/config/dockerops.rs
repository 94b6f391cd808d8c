//! DockerOps' config.json, converted: what of it means something here, and why the rest does not.
//!
//! DockerOps asks all its registries for an image of docker.io, one after another: they become mirrors, in the order of
//! their priorities. It believed each of them; here docker.io says what a tag names, if it is among them.
//!
//! Threats: the file is somebody's; its words are escaped where they are told. Nothing of it is believed by being
//! copied: the settings are read back as any config.json.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::file::{Config, ConfigError, read};
use crate::foreign::shown;
use crate::image::{Platform, Registry};
use crate::registry::MirrorAddress;

/// Settings made of a file of DockerOps.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// What config.json is to hold.
    pub settings: Value,
    /// What a person should know of it.
    pub notes: Vec<Note>,
}

/// What became of a key, or why nothing did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The key, with those it stands under.
    pub key: String,
    /// One line.
    pub text: String,
}

/// Registries that are no mirrors of docker.io: there the same name is another image.
const OTHERS: &[&str] = &[
    "docker.elastic.co",
    "gcr.io",
    "ghcr.io",
    "k8s.gcr.io",
    "lscr.io",
    "mcr.microsoft.com",
    "nvcr.io",
    "public.ecr.aws",
    "quay.io",
    "registry.gitlab.com",
    "registry.k8s.io",
];
/// What docker.io is called.
const HUB: &[&str] = &["docker.io", "hub.docker.com", "registry-1.docker.io", "registry.hub.docker.com"];

/// Keys that mean nothing here, and why.
const MEANINGLESS: &[(&str, &str)] = &[
    ("registries[].name", "registries are called by their hosts"),
    ("registries[].description", "registries are called by their hosts"),
    (
        "registries[].timeout",
        "there is no limit on a healthy transfer, and a mirror that is silent is passed over",
    ),
    (
        "settings.max_concurrent_registries",
        "mirrors are asked in order; `\"order\": \"fastest\"` finds out the fastest",
    ),
    ("settings.retry_count", "sealift decides by the kind of failure what is worth another try"),
    ("settings.remove_registry_prefix", "images keep the names they were asked for by"),
    ("settings.download_timeout", "there is no limit on a healthy transfer"),
    ("settings.enable_progress_bar", "`--progress` says how progress is shown"),
    ("settings.cleanup_temp_files", "there are no temporary files but `<name>.partial`"),
    ("settings.enable_advanced_api", "sealift asks registries only"),
    ("settings.advanced_api_url", "sealift asks registries only"),
];

impl Imported {
    /// Reads and converts the file at `path`.
    pub fn of_file(path: &Path) -> Result<Self, ConfigError> {
        let text = read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let invalid = |source| ConfigError::Invalid { path: path.to_owned(), source };
        let file: Map<String, Value> = serde_json::from_str(&text).map_err(invalid)?;
        // sealift's own `registries` is no list.
        if !file.get("registries").is_some_and(Value::is_array) && !file.contains_key("settings") {
            return Err(ConfigError::NotDockerOps { path: path.to_owned() });
        }
        let imported = Self::of(&file);
        Config::overlay(path, &imported.settings.to_string())?;
        Ok(imported)
    }

    fn of(file: &Map<String, Value>) -> Self {
        let mut import = Import::default();
        for (key, value) in file {
            match (key.as_str(), value) {
                ("registries", Value::Array(entries)) => import.registries(entries),
                ("tag_transform", value) => import.tag_transform(value),
                ("settings", Value::Object(settings)) => import.settings(settings),
                (key, _) => import.unknown(key.to_owned()),
            }
        }
        Self { settings: Value::Object(import.made), notes: import.notes }
    }
}

#[derive(Default)]
struct Import {
    made: Map<String, Value>,
    notes: Vec<Note>,
}

impl Import {
    fn note(&mut self, key: impl Into<String>, text: impl Into<String>) {
        let note = Note { key: shown(&key.into()), text: text.into() };
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// A key that is not converted.
    fn unknown(&mut self, key: String) {
        let reason = MEANINGLESS.iter().find(|(known, _)| *known == key).map(|(_, reason)| *reason);
        self.note(key, reason.unwrap_or("sealift knows no such key"));
    }

    fn registries(&mut self, entries: &[Value]) {
        let mut entries: Vec<(usize, &Value)> = entries.iter().enumerate().collect();
        let priority = |entry: &Value| entry.get("priority").and_then(Value::as_i64).unwrap_or(i64::MAX);
        entries.sort_by_key(|(_, entry)| priority(entry));
        let (mut mirrors, mut insecure, mut has_hub) = (Vec::new(), Vec::new(), false);
        for (number, entry) in entries {
            let key = format!("registries[{number}].url");
            let address = match entry.get("url").and_then(Value::as_str) {
                Some(url) => url.trim().parse::<MirrorAddress>().map_err(|error| error.to_string()),
                None => Err("there is none".to_owned()),
            };
            self.keys_of_registry(entry, address.as_ref().ok());
            match address {
                Err(problem) => self.note(key, format!("left out: {problem}")),
                Ok(address) if HUB.contains(&address.registry().as_str()) => has_hub = true,
                Ok(address) if OTHERS.contains(&address.registry().as_str()) => self.note(
                    key,
                    format!(
                        "left out: {} is no mirror of docker.io; its images are named in full, `{0}/…`",
                        address.registry()
                    ),
                ),
                Ok(address) => {
                    if address.base().is_some_and(|base| base.scheme() == "http") {
                        let host = address.registry().to_string();
                        self.note(key, format!("plain HTTP: {host} is in `insecure` now"));
                        insecure.push(host);
                    }
                    mirrors.push(address);
                }
            }
        }
        if !insecure.is_empty() {
            self.made.insert("insecure".into(), json!(insecure));
        }
        if !mirrors.is_empty() {
            self.mirrors(&mirrors, has_hub);
        }
    }

    fn mirrors(&mut self, mirrors: &[MirrorAddress], has_hub: bool) {
        let settings = if has_hub {
            self.note(
                "registries",
                "docker.io says what tags name (`verify_tag`) and is the last to be asked for the rest; if it can't be \
                 reached, `\"verify_tag\": \"mirror\"` believes the mirrors",
            );
            json!({"mirrors": mirrors, "verify_tag": "origin"})
        } else {
            self.note(
                "registries",
                "docker.io is not among them and never asked, so nobody verifies what the mirrors' tags name; \
                 `\"verify_tag\": \"origin\"` lets docker.io say it",
            );
            json!({"mirrors": mirrors, "origin": "never"})
        };
        self.made.insert("registries".into(), json!({"docker.io": settings}));
    }

    fn keys_of_registry(&mut self, entry: &Value, address: Option<&MirrorAddress>) {
        for (key, value) in entry.as_object().into_iter().flatten() {
            match (key.as_str(), value) {
                ("url" | "priority", _) | ("auth_required", Value::Bool(false)) => {}
                ("auth_required", _) => {
                    let host = address.map(MirrorAddress::registry).map_or("HOST", Registry::as_str);
                    self.note("registries[].auth_required", format!("log in with `docker login {host}`"));
                }
                (key, _) => self.unknown(format!("registries[].{key}")),
            }
        }
    }

    fn tag_transform(&mut self, value: &Value) {
        let is_on = |value: &Value| value.get("enabled").and_then(Value::as_bool) == Some(true);
        let rules = value.get("rules").and_then(Value::as_array).filter(|_| is_on(value));
        let changing = rules.into_iter().flatten().filter(|rule| {
            is_on(rule) && rule.get("replacement").and_then(Value::as_str) != Some("{original_tag}")
        });
        let names: Vec<String> = changing
            .map(|rule| format!("`{}`", shown(rule.get("name").and_then(Value::as_str).unwrap_or("?"))))
            .collect();
        let text = "images keep the names they were asked for by";
        self.note(
            "tag_transform",
            match names.as_slice() {
                [] => text.to_owned(),
                names => format!("{text}: nothing does what {} did", names.join(", ")),
            },
        );
    }

    fn settings(&mut self, settings: &Map<String, Value>) {
        for (key, value) in settings {
            if key != "default_architecture" {
                self.unknown(format!("settings.{key}"));
                continue;
            }
            let platform = value.as_str().and_then(|text| Platform::of_architecture(text).ok());
            match platform {
                Some(platform) => {
                    self.made.insert("platform".into(), json!(platform.to_string()));
                }
                None => self.note("settings.default_architecture", "left out: no architecture that is known"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: Value) -> Imported {
        let Value::Object(file) = json else { panic!("an object") };
        let imported = Imported::of(&file);
        Config::overlay(Path::new("config.json"), &imported.settings.to_string()).unwrap();
        imported
    }

    #[test]
    fn priorities_become_the_order_and_those_without_come_last() {
        let entry = |url: &str, priority: Value| json!({"url": url, "priority": priority});
        let imported = of(json!({"registries": [
            entry("none.example", Value::Null),
            entry("second.example", json!(2)),
            entry("first.example", json!(-1)),
            entry("also-second.example", json!(2)),
        ]}));
        let mirrors = ["first.example", "second.example", "also-second.example", "none.example"];
        assert_eq!(imported.settings["registries"]["docker.io"]["mirrors"], json!(mirrors));
        assert_eq!(imported.settings["registries"]["docker.io"]["origin"], "never");
    }

    #[test]
    fn whatever_stands_in_the_file_something_valid_comes_of_it() {
        for file in [
            json!({}),
            json!({"registries": []}),
            json!({"registries": [null, 1, "x", {"url": 5}, {"url": ""}]}),
            json!({"registries": {"docker.io": {}}, "settings": []}),
            json!({"settings": {"default_architecture": "pdp11/?"}}),
            json!({"tag_transform": [1, {"rules": 3}]}),
            json!({"registries": [{"url": "docker.io"}]}),
        ] {
            let imported = of(file.clone());
            assert_eq!(imported.settings, json!({}), "{file}");
        }
        let steering = of(json!({"\u{1b}[2J": 1}));
        assert_eq!(steering.notes[0].key, r"\u{1b}[2J");
    }
}
