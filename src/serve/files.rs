//! The archives that are there: listed, deleted, cleaned up.
//!
//! An archive goes with what stands beside it. Who downloads one that is deleted gets all of it: its name goes, its bytes
//! stay until the last reader is done.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::answer::whole_number;
use super::catalogue::{Catalogue, Known, Problem};
use super::clock::Time;
use super::folder::{FileName, Folder, Identity};
use super::lock;
use crate::fsio;
use crate::image::Reference;

/// How long a list waits for archives to be opened that are not known; the rest is opened behind its back.
const PATIENCE: Duration = Duration::from_millis(50);
pub(super) const DAY_SECONDS: f64 = 86_400.0;
const MEGABYTE: f64 = 1_048_576.0;

/// The folder, and what is known of its files.
pub(super) struct Files {
    pub(super) folder: Folder,
    pub(super) catalogue: Catalogue,
    /// What all files may take.
    pub(super) max_disk_bytes: Option<u64>,
    /// Where requests begin, for URLs.
    pub(super) base_path: String,
    /// What is kept for archives under way.
    pub(super) reserved: Mutex<HashMap<FileName, u64>>,
    /// Archives that are not known are opened by one thread.
    opening: Mutex<()>,
    is_opening: AtomicBool,
}

/// An archive, as the API tells it.
#[derive(Serialize)]
pub(super) struct Listed {
    pub(super) name: String,
    size: u64,
    size_mb: f64,
    created: Time,
    sha256: Option<String>,
    images: Vec<String>,
    problem: Option<String>,
    problem_code: Option<Cow<'static, str>>,
    download_url: String,
    load_command: String,
    script_url: String,
}

/// All archives.
#[derive(Serialize)]
pub(super) struct Listing {
    pub(super) files: Vec<Listed>,
    total_bytes: u64,
    max_disk_bytes: Option<u64>,
    free_bytes: Option<u64>,
}

/// Which archives are to go.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cleanup {
    /// Those that are older.
    pub max_age_days: Option<f64>,
    /// All but so many of the newest.
    #[serde(default, deserialize_with = "whole_number")]
    pub max_files: Option<usize>,
    /// Only say which.
    #[serde(default)]
    pub dry_run: bool,
}

/// What went.
#[derive(Debug, Default, Serialize)]
pub(super) struct Cleaned {
    pub(super) deleted: Vec<Deleted>,
    pub(super) failed: Vec<NotDeleted>,
    freed_bytes: u64,
    dry_run: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Deleted {
    pub(super) name: String,
    size: u64,
    created: Time,
}

#[derive(Debug, Serialize)]
pub(super) struct NotDeleted {
    pub(super) name: String,
    pub(super) error: String,
}

impl Files {
    pub(super) fn new(folder: Folder, max_disk_bytes: Option<u64>, base_path: String) -> Self {
        let catalogue = Catalogue::open(&folder);
        Self {
            folder,
            catalogue,
            max_disk_bytes,
            base_path,
            reserved: Mutex::default(),
            opening: Mutex::default(),
            is_opening: AtomicBool::new(false),
        }
    }

    /// The newest first.
    fn sorted(&self) -> io::Result<Vec<(FileName, Identity)>> {
        let mut archives = self.folder.archives()?;
        archives.sort_by(|(name, one), (other_name, other)| {
            (Reverse(one.modified()), name).cmp(&(Reverse(other.modified()), other_name))
        });
        Ok(archives)
    }

    /// All archives, the newest first. Blocks.
    pub(super) fn list(self: &Arc<Self>) -> io::Result<Listing> {
        let archives = self.sorted()?;
        if archives.iter().any(|(name, identity)| !self.catalogue.knows(name, identity)) {
            self.begin_to_open(archives.clone());
        } else {
            self.save(&archives);
        }
        let files: Vec<_> = archives
            .iter()
            .map(|(name, identity)| self.listed(name, identity, self.catalogue.of(name, identity)))
            .collect();
        Ok(Listing {
            total_bytes: files.iter().map(|file| file.size).sum(),
            files,
            max_disk_bytes: self.max_disk_bytes,
            free_bytes: fsio::space(self.folder.path()).map(|space| space.free_bytes),
        })
    }

    /// All archives, the newest first, with the names of their images. Blocks; what is not known yet is opened.
    pub(super) fn named(&self) -> io::Result<Vec<(FileName, Identity, Vec<Reference>)>> {
        let archives = self.sorted()?;
        self.open_unknown(&archives);
        let named = archives.into_iter().map(|(name, identity)| {
            let known = self.catalogue.of(&name, &identity);
            let images = known.and_then(|known| known.images).unwrap_or_default();
            (name, identity, images.iter().filter_map(|image| image.parse().ok()).collect())
        });
        Ok(named.collect())
    }

    fn listed(&self, name: &FileName, identity: &Identity, known: Option<Known>) -> Listed {
        let encoded = url_encoded(name.as_str());
        let (images, problem, sha256) = match known {
            Some(Known { images: Some(images), problem, sha256, .. }) => (images, problem, sha256),
            known => {
                let problem = Problem::new("not_opened", "it is not opened yet");
                (Vec::new(), Some(problem), known.and_then(|known| known.sha256))
            }
        };
        let (problem, problem_code) = problem.map(|Problem { code, text }| (text, code)).unzip();
        #[allow(clippy::cast_precision_loss, reason = "it is rounded anyway")]
        let size_mb = (identity.size_bytes as f64 / MEGABYTE * 100.0).round() / 100.0;
        Listed {
            size: identity.size_bytes,
            size_mb,
            created: identity.modified(),
            sha256,
            images,
            problem,
            problem_code,
            download_url: format!("{}/downloads/{encoded}", self.base_path),
            load_command: format!("docker load < {}", shell_word(name.as_str())),
            script_url: format!("{}/api/files/{encoded}/script", self.base_path),
            name: name.as_str().to_owned(),
        }
    }

    /// Opens archives that are not known in a thread of its own, and waits a moment for it.
    fn begin_to_open(self: &Arc<Self>, archives: Vec<(FileName, Identity)>) {
        if self.is_opening.swap(true, Ordering::AcqRel) {
            return;
        }
        let files = Arc::clone(self);
        let (opened, is_opened) = mpsc::sync_channel(1);
        std::thread::spawn(move || {
            files.open_unknown(&archives);
            files.is_opening.store(false, Ordering::Release);
            files.save(&archives);
            // The list may have been told meanwhile.
            let _ = opened.try_send(());
        });
        // What takes longer is in the next list.
        let _ = is_opened.recv_timeout(PATIENCE);
    }

    /// Opens archives that are not known. Blocks.
    fn open_unknown(&self, archives: &[(FileName, Identity)]) {
        let _one_at_a_time = lock(&self.opening);
        for (name, identity) in archives {
            if !self.catalogue.knows(name, identity) {
                self.catalogue.open_archive(&self.folder, name, *identity);
            }
        }
    }

    fn save(&self, archives: &[(FileName, Identity)]) {
        let names: HashSet<&str> = archives.iter().map(|(name, _)| name.as_str()).collect();
        self.catalogue.save(|name| names.contains(name));
    }

    /// Deletes an archive and what stands beside it; none if there is no such archive. Blocks.
    pub(super) fn delete(&self, name: &FileName) -> io::Result<Option<Cleaned>> {
        let Some(identity) = self.folder.identity(name)? else { return Ok(None) };
        let mut cleaned = Cleaned::default();
        self.delete_into(&mut cleaned, name, &identity);
        self.folder.sync();
        Ok(Some(cleaned))
    }

    /// Deletes what is to go, or says what would. Blocks.
    pub(super) fn clean_up(&self, cleanup: Cleanup) -> io::Result<Cleaned> {
        let now = Time::now();
        let mut cleaned = Cleaned { dry_run: cleanup.dry_run, ..Cleaned::default() };
        for (index, (name, identity)) in self.sorted()?.iter().enumerate() {
            let age = now.since(identity.modified()).as_secs_f64() / DAY_SECONDS;
            let is_old = cleanup.max_age_days.is_some_and(|days| age > days);
            let is_one_too_many = cleanup.max_files.is_some_and(|files| index >= files);
            if !is_old && !is_one_too_many {
                continue;
            }
            if cleanup.dry_run {
                cleaned.add(name, identity);
            } else {
                self.delete_into(&mut cleaned, name, identity);
            }
        }
        self.folder.sync();
        Ok(cleaned)
    }

    fn delete_into(&self, cleaned: &mut Cleaned, name: &FileName, identity: &Identity) {
        let removed = self.folder.remove(name).and_then(|is_gone| {
            // What stands beside a file that is gone is of no use.
            self.folder.remove(&name.script())?;
            self.folder.remove(&name.checksum())?;
            Ok(is_gone)
        });
        match removed {
            Ok(true) => cleaned.add(name, identity),
            Ok(false) => {}
            Err(error) => {
                let name = name.as_str().to_owned();
                cleaned.failed.push(NotDeleted { name, error: error.to_string() });
            }
        }
    }
}

impl Cleaned {
    fn add(&mut self, name: &FileName, identity: &Identity) {
        let (size, created) = (identity.size_bytes, identity.modified());
        self.freed_bytes += size;
        self.deleted.push(Deleted { name: name.as_str().to_owned(), size, created });
    }
}

/// A name as one component of a URL's path.
pub(super) fn url_encoded(name: &str) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    let encoded =
        |byte: u8| if is_plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    name.bytes().map(encoded).collect()
}

/// A name as a shell takes it for one word.
pub(super) fn shell_word(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-+@%,=".contains(c);
    match name {
        _ if name.starts_with('-') => format!("'./{}'", name.replace('\'', r"'\''")),
        _ if name.chars().all(is_plain) => name.to_owned(),
        _ => format!("'{}'", name.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_for_shells_and_urls() {
        for (name, word, url) in [
            ("a_1.2-x.tar", "a_1.2-x.tar", "a_1.2-x.tar"),
            ("it's <b>.tar", r"'it'\''s <b>.tar'", "it%27s%20%3Cb%3E.tar"),
            ("-v.tar", "'./-v.tar'", "-v.tar"),
            ("é.tar", "'é.tar'", "%C3%A9.tar"),
        ] {
            assert_eq!((shell_word(name).as_str(), url_encoded(name).as_str()), (word, url));
        }
    }
}
