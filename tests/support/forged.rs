//! Archives made in memory, entry by entry: as tools make them, to be broken then.

use serde_json::Value;
use tar::{EntryType, Header};

/// An entry, whatever it is called and leads to.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) path: String,
    kind: EntryType,
    link: String,
    content: Vec<u8>,
    /// What is done to its header at last.
    touch: fn(&mut Header),
}

/// A tar on its way.
#[derive(Clone, Default)]
pub(crate) struct Forged {
    entries: Vec<Entry>,
}

impl Forged {
    pub(crate) fn file(self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.add(EntryType::Regular, path, "", content)
    }

    pub(crate) fn json(self, path: &str, content: &Value) -> Self {
        self.file(path, content.to_string())
    }

    pub(crate) fn directory(self, path: &str) -> Self {
        self.add(EntryType::Directory, path, "", [])
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.add(EntryType::Symlink, path, target, [])
    }

    pub(crate) fn hard_link(self, path: &str, target: &str) -> Self {
        self.add(EntryType::Link, path, target, [])
    }

    pub(crate) fn add(
        mut self,
        kind: EntryType,
        path: &str,
        link: &str,
        content: impl Into<Vec<u8>>,
    ) -> Self {
        let (path, link) = (path.to_owned(), link.to_owned());
        self.entries.push(Entry { path, kind, link, content: content.into(), touch: |_| () });
        self
    }

    /// Leaves an entry out.
    pub(crate) fn without(mut self, path: &str) -> Self {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.path != path);
        assert!(self.entries.len() < before, "there is no `{path}`");
        self
    }

    /// Leaves out what these words begin.
    pub(crate) fn without_all(mut self, beginning: &str) -> Self {
        self.entries.retain(|entry| !entry.path.starts_with(beginning));
        self
    }

    pub(crate) fn renamed(mut self, path: &str, name: &str) -> Self {
        name.clone_into(&mut self.entry(path).path);
        self
    }

    /// Puts all of it into a folder, as `tar cf x.tar folder` does.
    pub(crate) fn in_folder(mut self, folder: &str) -> Self {
        for entry in &mut self.entries {
            entry.path.insert_str(0, folder);
        }
        Self::default().directory(folder).followed_by(self)
    }

    /// Changes an entry's content.
    pub(crate) fn edited(mut self, path: &str, edit: impl FnOnce(&mut Vec<u8>)) -> Self {
        edit(&mut self.entry(path).content);
        self
    }

    /// Changes an entry's JSON.
    pub(crate) fn edited_json(self, path: &str, edit: impl FnOnce(&mut Value)) -> Self {
        self.edited(path, |content| {
            let mut value = serde_json::from_slice(content).unwrap();
            edit(&mut value);
            *content = value.to_string().into_bytes();
        })
    }

    /// Makes a link of an entry.
    pub(crate) fn linked(mut self, path: &str, kind: EntryType, target: &str) -> Self {
        let entry = self.entry(path);
        entry.kind = kind;
        target.clone_into(&mut entry.link);
        entry.content.clear();
        self
    }

    /// Changes an entry's header; its checksum is made anew.
    pub(crate) fn touched(mut self, path: &str, touch: fn(&mut Header)) -> Self {
        self.entry(path).touch = touch;
        self
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.entries.iter().map(|entry| entry.path.clone()).collect()
    }

    pub(crate) fn content(&self, path: &str) -> &[u8] {
        &self.entries.iter().find(|entry| entry.path == path).unwrap().content
    }

    /// All of this, and then all of that.
    pub(crate) fn followed_by(mut self, other: Self) -> Self {
        self.entries.extend(other.entries);
        self
    }

    /// Each entry's name, where its header starts, where its content does, and where that ends.
    pub(crate) fn parts(&self) -> Vec<(String, usize, usize, usize)> {
        let mut start = 0;
        let part = |entry: &Entry| {
            let alone = Self { entries: vec![entry.clone()] }.without_end().len();
            let content = start + alone - entry.content.len().next_multiple_of(512);
            let part = (entry.path.clone(), start, content, content + entry.content.len());
            start += alone;
            part
        };
        self.entries.iter().map(part).collect()
    }

    /// Where an entry's header starts.
    pub(crate) fn offset(&self, path: &str) -> usize {
        let at = self.entries.iter().position(|entry| entry.path == path).unwrap();
        Self { entries: self.entries[..at].to_vec() }.without_end().len()
    }

    fn entry(&mut self, path: &str) -> &mut Entry {
        let entry = self.entries.iter_mut().find(|entry| entry.path == path);
        entry.unwrap_or_else(|| panic!("there is no `{path}`"))
    }

    /// The tar, with its end.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut tar = self.without_end();
        tar.resize(tar.len() + 1024, 0);
        tar
    }

    pub(crate) fn without_end(&self) -> Vec<u8> {
        let mut tar = Vec::new();
        for Entry { path, kind, link, content, touch } in &self.entries {
            for (kind, name) in [(EntryType::GNULongLink, link), (EntryType::GNULongName, path)] {
                if name.len() > 100 {
                    let name = [name.as_bytes(), &[0]].concat();
                    block(&mut tar, &header(kind, "././@LongLink", "", name.len()), &name);
                }
            }
            let mut header = header(*kind, path, link, content.len());
            touch(&mut header);
            header.set_cksum();
            block(&mut tar, &header, content);
        }
        tar
    }
}

fn block(tar: &mut Vec<u8>, header: &Header, content: &[u8]) {
    tar.extend_from_slice(header.as_bytes());
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

/// A header as sealift writes them.
fn header(kind: EntryType, path: &str, link: &str, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size as u64);
    header.set_mode(match kind {
        EntryType::Directory => 0o755,
        EntryType::Symlink => 0o777,
        _ => 0o644,
    });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    let gnu = header.as_gnu_mut().unwrap();
    for (field, text) in [(&mut gnu.name, path), (&mut gnu.linkname, link)] {
        let length = text.len().min(field.len());
        field[..length].copy_from_slice(&text.as_bytes()[..length]);
    }
    header.set_cksum();
    header
}
