//! Archives as somebody altered them, entry by entry.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;
use tar::{Archive, Builder, EntryType};

use crate::layer::header;

/// The files and links of an archive, in memory.
#[derive(Clone)]
pub(crate) struct Altered(Vec<(String, Entry)>);

#[derive(Clone)]
enum Entry {
    File(Vec<u8>),
    Link(EntryType, String),
}

impl Altered {
    pub(crate) fn of(archive: &Path) -> Self {
        let mut archive = Archive::new(File::open(archive).unwrap());
        let mut entries = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_str().unwrap().to_owned();
            let link = entry.link_name().unwrap().map(|link| link.to_str().unwrap().to_owned());
            match (entry.header().entry_type(), link) {
                (EntryType::Regular, _) => {
                    let mut bytes = Vec::new();
                    entry.read_to_end(&mut bytes).unwrap();
                    entries.push((path, Entry::File(bytes)));
                }
                (kind, Some(link)) => entries.push((path, Entry::Link(kind, link))),
                _ => {}
            }
        }
        Self(entries)
    }

    pub(crate) fn file(&self, path: &str) -> &[u8] {
        match self.0.iter().find(|(found, _)| found == path) {
            Some((_, Entry::File(bytes))) => bytes,
            _ => panic!("no file {path}"),
        }
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        serde_json::from_slice(self.file(path)).unwrap()
    }

    /// The same, with this file last.
    pub(crate) fn with(mut self, path: &str, bytes: &[u8]) -> Self {
        self = self.without(path);
        self.0.push((path.to_owned(), Entry::File(bytes.to_vec())));
        self
    }

    /// The same, with this document altered.
    pub(crate) fn with_json(self, path: &str, alter: impl FnOnce(&mut Value)) -> Self {
        let mut document = self.json(path);
        alter(&mut document);
        self.with(path, &serde_json::to_vec(&document).unwrap())
    }

    pub(crate) fn without(mut self, path: &str) -> Self {
        self.0.retain(|(found, _)| found != path);
        self
    }

    /// The same, with the content of `path` in a file of another name, and a link of this kind to it.
    pub(crate) fn linked(self, path: &str, kind: EntryType) -> Self {
        let (content, up) = (self.file(path).to_vec(), "../".repeat(path.matches('/').count()));
        let target = if kind == EntryType::Symlink { format!("{up}content") } else { "content".to_owned() };
        let mut linked = self.without(path).with("content", &content);
        linked.0.push((path.to_owned(), Entry::Link(kind, target)));
        linked
    }

    /// The same, with a symlink.
    pub(crate) fn with_symlink(mut self, path: &str, target: &str) -> Self {
        self.0.push((path.to_owned(), Entry::Link(EntryType::Symlink, target.to_owned())));
        self
    }

    /// Without links that lead to `path`, which readers may follow first.
    pub(crate) fn without_links(mut self) -> Self {
        self.0.retain(|(_, entry)| matches!(entry, Entry::File(_)));
        self
    }

    pub(crate) fn write(&self, to: &Path) {
        let mut builder = Builder::new(File::create(to).unwrap());
        for (path, entry) in &self.0 {
            match entry {
                Entry::File(bytes) => {
                    let mut header = header(EntryType::Regular, 0o644, bytes.len() as u64);
                    builder.append_data(&mut header, path, &bytes[..]).unwrap();
                }
                Entry::Link(kind, target) => {
                    let mut header = header(*kind, 0o777, 0);
                    builder.append_link(&mut header, path, target).unwrap();
                }
            }
        }
        builder.finish().unwrap();
    }
}
