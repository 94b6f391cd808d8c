//! The log of operations: who did what, when, from where, and how it ended. A line of JSON each, on disk and told to
//! whoever runs the server.
//!
//! Threats: names in it are foreign; JSON escapes what would begin another line. Secrets don't get here: of an export its
//! id is told.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::clock::Time;
use super::lock;
use crate::fsio::{FileError, Links, open_regular};

/// As many as the API tells.
pub(super) const MAX_RECENT: usize = 1000;
/// A file that is longer is put away as `log.old.jsonl`, in the place of the one before.
const MAX_FILE_BYTES: u64 = 16 << 20;
/// What is read of it at the start.
const TAIL_BYTES: u64 = 1 << 20;

/// Is told lines of JSON: what happens, for whoever runs the server.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// One operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) at: Time,
    pub(super) who: String,
    pub(super) from: String,
    pub(super) what: String,
    pub(super) on: String,
    /// The id of the export that it was done to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) export: Option<String>,
    pub(super) outcome: String,
}

/// What something is done to.
#[derive(Clone, Debug)]
pub(super) struct On {
    /// By which a person knows it.
    pub(super) name: String,
    /// The id of an export.
    pub(super) export: Option<String>,
}

impl From<&str> for On {
    fn from(name: &str) -> Self {
        Self { name: name.to_owned(), export: None }
    }
}

/// Who asks, and from where.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    pub(super) who: String,
    pub(super) from: String,
}

impl Asker {
    pub(super) fn new(who: Option<&str>, from: IpAddr) -> Self {
        Self { who: who.unwrap_or("anyone").to_owned(), from: from.to_canonical().to_string() }
    }

    /// The server itself.
    pub(super) fn server() -> Self {
        Self { who: "sealift".to_owned(), from: "-".to_owned() }
    }
}

/// The log; dropped, all of it is on disk.
pub(super) struct OperationLog {
    recent: Mutex<VecDeque<Entry>>,
    writer: Option<(mpsc::Sender<Entry>, JoinHandle<()>)>,
}

impl OperationLog {
    /// Reads the end of the log in this folder, and writes on from there. Blocks.
    pub(super) fn open(folder: &Path, tell: Tell) -> Result<Self, FileError> {
        let path = folder.join("log.jsonl");
        let file = append(&path)?;
        let recent = recent(&path)?;
        let (sender, entries) = mpsc::channel();
        let writer = std::thread::spawn(move || write(&path, file, &entries, &tell));
        Ok(Self { recent: Mutex::new(recent), writer: Some((sender, writer)) })
    }

    pub(super) fn add(&self, asker: &Asker, what: &str, on: impl Into<On>, outcome: &str) {
        let On { name, export } = on.into();
        let entry = Entry {
            at: Time::now(),
            who: asker.who.clone(),
            from: asker.from.clone(),
            what: what.to_owned(),
            on: name,
            export,
            outcome: outcome.to_owned(),
        };
        let mut recent = lock(&self.recent);
        if recent.len() == MAX_RECENT {
            recent.pop_front();
        }
        recent.push_back(entry.clone());
        if let Some((sender, _)) = &self.writer {
            // The writer ends only with the log.
            let _ = sender.send(entry);
        }
    }

    /// The newest first.
    pub(super) fn newest(&self, count: usize) -> Vec<Entry> {
        let recent = lock(&self.recent);
        recent.iter().rev().take(count).cloned().collect()
    }
}

impl Drop for OperationLog {
    fn drop(&mut self) {
        if let Some((sender, writer)) = self.writer.take() {
            drop(sender);
            let _ = writer.join();
        }
    }
}

fn append(path: &Path) -> Result<File, FileError> {
    // What others put there is not written to: a link may lead anywhere.
    let refused = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().create(true).append(true).custom_flags(refused).open(path);
    let file = file.map_err(FileError::io("write", path))?;
    let is_file = file.metadata().is_ok_and(|found| found.is_file());
    if is_file { Ok(file) } else { Err(FileError::NotAFile(path.to_owned())) }
}

/// The end of the file. A line that a crash cut is none.
fn recent(path: &Path) -> Result<VecDeque<Entry>, FileError> {
    let mut file = open_regular(path, Links::Refuse)?;
    let size = file.metadata().map_or(0, |metadata| metadata.len());
    file.seek(SeekFrom::Start(size.saturating_sub(TAIL_BYTES))).map_err(FileError::io("read", path))?;
    let lines = BufReader::new(file).split(b'\n').map_while(Result::ok);
    let entries: Vec<Entry> = lines.filter_map(|line| serde_json::from_slice(&line).ok()).collect();
    let skipped = entries.len().saturating_sub(MAX_RECENT);
    Ok(entries.into_iter().skip(skipped).collect())
}

fn write(path: &Path, mut file: File, entries: &mpsc::Receiver<Entry>, tell: &Tell) {
    // A crash may have cut the last line; an empty line is none.
    let mut text = String::from("\n");
    while let Ok(first) = entries.recv() {
        for entry in std::iter::once(first).chain(entries.try_iter()) {
            if let Ok(line) = serde_json::to_string(&entry) {
                tell(&line);
                text += &line;
                text.push('\n');
            }
        }
        // A disk that is full takes no log either; the operation itself says what is wrong.
        let _ = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
        text.clear();
        if file.metadata().is_ok_and(|metadata| metadata.len() > MAX_FILE_BYTES) {
            let old: PathBuf = path.with_file_name("log.old.jsonl");
            let _ = std::fs::rename(path, old);
            if let Ok(new) = append(path) {
                file = new;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests put files where others would")]
mod tests {
    use super::*;

    #[test]
    fn the_log_outlives_the_server_and_a_line_that_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell: Tell = {
            let told = Arc::clone(&told);
            Arc::new(move |line: &str| told.lock().unwrap().push(line.to_owned()))
        };
        let log = OperationLog::open(folder.path(), tell.clone()).unwrap();
        log.add(&Asker::server(), "delete", "a\nb.tar", "ok");
        drop(log);
        let path = folder.path().join("log.jsonl");
        let mut text = std::fs::read_to_string(&path).unwrap();
        text += r#"{"at":"2026-11-"#;
        std::fs::write(&path, text).unwrap();
        let log = OperationLog::open(folder.path(), tell.clone()).unwrap();
        log.add(&Asker::server(), "stop", "", "ok");
        drop(log);
        let log = OperationLog::open(folder.path(), tell).unwrap();
        let what: Vec<_> = log.newest(10).into_iter().map(|entry| (entry.what, entry.on)).collect();
        assert_eq!(what, [("stop".into(), String::new()), ("delete".into(), "a\nb.tar".into())]);
        assert_eq!(told.lock().unwrap().len(), 2);
    }
}
