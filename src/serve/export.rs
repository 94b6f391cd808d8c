//! An export: what was asked for, and how far it is. As it is kept on disk: secrets are not in here.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::clock::Time;
use crate::archive::LayerMode;
use crate::image::{Platform, Reference};

/// No export has more images.
pub(super) const MAX_IMAGES: usize = 1000;
/// Lines of an export's log that are kept.
const MAX_LINES: usize = 2000;
/// What a file's name has of an image's, before the time.
const MAX_STEM_BYTES: usize = 180;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Queued,
    Running,
    /// The server was stopped; it carries on at the next start.
    Paused,
    /// The server died.
    Interrupted,
    Done,
    Failed,
    Cancelled,
}

impl State {
    pub(super) const ALL: [Self; 7] = [
        Self::Queued,
        Self::Running,
        Self::Paused,
        Self::Interrupted,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
    ];

    /// True while there is a task for it.
    pub(super) fn is_under_way(self) -> bool {
        matches!(self, Self::Queued | Self::Running)
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Interrupted => "interrupted",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How many archives there are to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Form {
    /// One for each image and platform.
    #[default]
    Each,
    /// One of all.
    One,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ArchiveState {
    Waiting,
    Resolving,
    Fetching,
    Writing,
    Checking,
    Done,
    Failed,
}

/// One archive of an export.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Archive {
    pub(super) images: Vec<String>,
    pub(super) platform: Option<String>,
    pub(super) state: ArchiveState,
    /// Its name, from the first try on, so that the next carries on.
    pub(super) file: Option<String>,
    pub(super) size: Option<u64>,
    pub(super) sha256: Option<String>,
    pub(super) error: Option<String>,
    /// The same as a word ([`super::failure`]).
    #[serde(default)]
    pub(super) error_code: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LogLine {
    pub(super) at: Time,
    pub(super) text: String,
}

/// An export.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Export {
    pub(super) id: String,
    pub(super) state: State,
    pub(super) created: Time,
    pub(super) started: Option<Time>,
    pub(super) ended: Option<Time>,
    pub(super) by: String,
    pub(super) from: String,
    pub(super) platforms: Vec<String>,
    pub(super) layers: LayerMode,
    pub(super) archive: Form,
    pub(super) name: Option<String>,
    /// It was given credentials or a proxy, which are in memory only.
    pub(super) had_secrets: bool,
    pub(super) archives: Vec<Archive>,
    pub(super) log: Vec<LogLine>,
    /// How many lines there were, those not kept too.
    pub(super) lines: usize,
}

impl Export {
    pub(super) fn say(&mut self, text: impl Into<String>) {
        if self.log.len() >= MAX_LINES {
            self.log.remove(0);
        }
        self.log.push(LogLine { at: Time::now(), text: text.into() });
        self.lines += 1;
    }

    /// What a person knows it by: its first image, and how many more there are.
    pub(super) fn title(&self) -> String {
        let mut images: Vec<&String> = self.archives.iter().flat_map(|archive| &archive.images).collect();
        // One for several platforms stands there several times.
        images.dedup();
        let familiar = |image: &String| {
            let reference = image.parse::<Reference>().ok();
            reference.and_then(|reference| reference.familiar_tagged_name()).unwrap_or_else(|| image.clone())
        };
        match &images[..] {
            [] => String::new(),
            [one] => familiar(one),
            [first, rest @ ..] => format!("{} and {} more", familiar(first), rest.len()),
        }
    }

    /// The archives there are to be of these images, each for these platforms.
    pub(super) fn archives_of(images: &[Reference], platforms: &[Platform], form: Form) -> Vec<Archive> {
        let archive = |images: Vec<String>, platform: Option<&Platform>| Archive {
            images,
            platform: platform.map(ToString::to_string),
            state: ArchiveState::Waiting,
            file: None,
            size: None,
            sha256: None,
            error: None,
            error_code: None,
        };
        if form == Form::One {
            return vec![archive(images.iter().map(ToString::to_string).collect(), None)];
        }
        let each = images.iter().flat_map(|image| {
            let usual = platforms.is_empty().then_some(None);
            let wanted = usual.into_iter().chain(platforms.iter().map(Some));
            wanted.map(|platform| archive(vec![image.to_string()], platform))
        });
        each.collect()
    }

    /// A name for an archive that has none yet: `<name>_<tag>_<YYYYmmdd_HHMMSS>.tar`, which nobody else has.
    pub(super) fn file_name(
        &self,
        index: usize,
        taken: &mut HashSet<String>,
        exists: impl Fn(&str) -> bool,
    ) -> String {
        let stem = self.stem(index);
        let stamp = Time::now().stamp();
        let mut number = 1_usize;
        loop {
            let more = if number == 1 { String::new() } else { format!("_{number}") };
            let name = format!("{stem}_{stamp}{more}.tar");
            if !exists(&name) && taken.insert(name.clone()) {
                return name;
            }
            number += 1;
        }
    }

    fn stem(&self, index: usize) -> String {
        let archive = &self.archives[index];
        let first = archive.images.first().map_or("", String::as_str);
        let mut stem = match (&self.name, first.parse::<Reference>()) {
            (Some(name), _) => safe(name),
            (None, Ok(reference)) => stem_of(&reference),
            (None, Err(_)) => safe(first),
        };
        if self.name.is_none() && archive.images.len() > 1 {
            stem = format!("{stem}_and_{}_more", archive.images.len() - 1);
        }
        if let Some(platform) = archive.platform.as_ref().filter(|platform| *platform != "linux/amd64") {
            let short = platform.strip_prefix("linux/").unwrap_or(platform);
            stem = format!("{stem}_{}", safe(short));
        }
        stem.truncate(MAX_STEM_BYTES);
        stem
    }
}

fn stem_of(reference: &Reference) -> String {
    let version = reference.tag().or_else(|| reference.digest().map(crate::image::Digest::short));
    safe(&format!("{}_{}", reference.repository().familiar(), version.unwrap_or_default()))
}

/// ASCII that every file system and shell takes; never a hidden file or an option.
fn safe(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' };
    let name: String = text.chars().map(plain).collect();
    let name = name.trim_start_matches(['.', '-']);
    if name.is_empty() { "images".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export(images: &[&str], platforms: &[&str], form: Form, name: Option<&str>) -> Export {
        let images: Vec<Reference> = images.iter().map(|image| image.parse().unwrap()).collect();
        let platforms: Vec<Platform> = platforms.iter().map(|platform| platform.parse().unwrap()).collect();
        Export {
            id: "1".to_owned(),
            state: State::Queued,
            created: Time::now(),
            started: None,
            ended: None,
            by: "ann".to_owned(),
            from: "::1".to_owned(),
            platforms: vec![],
            layers: LayerMode::default(),
            archive: form,
            name: name.map(str::to_owned),
            had_secrets: false,
            archives: Export::archives_of(&images, &platforms, form),
            log: vec![],
            lines: 0,
        }
    }

    #[test]
    fn files_are_named_after_image_tag_and_time_and_never_twice() {
        for (images, platforms, form, name, expected) in [
            (&["nginx"][..], &[][..], Form::Each, None, &["nginx_latest"][..]),
            (&["redis:6.2-alpine"], &["linux/amd64"], Form::Each, None, &["redis_6.2-alpine"]),
            (
                &["quay.io/o/n:1"],
                &["linux/arm64", "linux/amd64"],
                Form::Each,
                None,
                &["quay.io_o_n_1_arm64", "quay.io_o_n_1"],
            ),
            (&["a:1", "b:2", "c:3"], &[], Form::One, None, &["a_1_and_2_more"]),
            (&["a:1", "b:2"], &[], Form::One, Some("../my release"), &["_my_release"]),
            (&["host:5000/x:1"], &[], Form::Each, None, &["host_5000_x_1"]),
        ] {
            let export = export(images, platforms, form, name);
            let mut taken = HashSet::new();
            let names: Vec<_> = (0..export.archives.len())
                .map(|index| export.file_name(index, &mut taken, |_| false))
                .collect();
            assert_eq!(names.iter().map(|name| before_the_time(name)).collect::<Vec<_>>(), expected);
        }
        let export = export(&["x"], &[], Form::Each, None);
        let mut taken = HashSet::new();
        let first = export.file_name(0, &mut taken, |_| false);
        assert_ne!(first, export.file_name(0, &mut taken, |_| false));
        assert_ne!(first, export.file_name(0, &mut HashSet::new(), |name| name == first));
    }

    /// What stands before the time.
    fn before_the_time(name: &str) -> &str {
        let stem = name.strip_suffix(".tar").unwrap();
        let (head, stamp) = stem.split_at(stem.len() - "_20261121_230606".len());
        assert!(stamp.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_'), "{name}");
        head
    }
}
