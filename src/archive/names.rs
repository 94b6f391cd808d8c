//! The names of an archive's entries, and the contents they lead to.
//!
//! Threats: the names are foreign. Links are followed among the archive's own entries only, a few steps far; names that
//! lead out of it (`..`, `/`) name nothing. Nothing here opens a file by a name.

use std::collections::BTreeMap;

use super::reader::{Member, MemberKind};

/// Links to links to links: nobody makes more.
const MAX_LINKS: usize = 8;

/// Where a content is in its archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Where it starts.
    pub offset_bytes: u64,
    /// How long it is.
    pub size_bytes: u64,
}

/// All names that may lead to a content, without `.` and `..`; of two entries with one name the later counts, as when
/// unpacking.
#[derive(Debug, Default)]
pub struct Names {
    targets: BTreeMap<String, Target>,
    oddities: Vec<Oddity>,
}

/// An entry that readers differ on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Oddity {
    /// Two entries have this name.
    Twice(String),
    /// This name leads out of the archive.
    LeadsOut(String),
    /// What this entry holds depends on who reads it.
    Ambiguous(String),
}

#[derive(Debug)]
enum Target {
    Content(Place),
    Symlink(Option<String>),
    HardLink(Option<String>),
    Directory,
    /// A device, or what is not read.
    Nothing,
}

/// How a name leads to its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is a file.
    File,
    /// It is a symlink.
    Symlink,
    /// It is a hard link.
    HardLink,
}

impl Names {
    /// Takes in the next entry.
    pub fn add(&mut self, member: &Member) {
        let Some(path) = joined("", &member.path) else {
            self.oddities.push(Oddity::LeadsOut(member.path.clone()));
            return;
        };
        let target = match &member.kind {
            MemberKind::File => {
                let Member { offset_bytes, size_bytes, .. } = *member;
                Target::Content(Place { offset_bytes, size_bytes })
            }
            MemberKind::Symlink(link) => {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                Target::Symlink(joined(folder, link))
            }
            MemberKind::HardLink(link) => Target::HardLink(joined("", link)),
            MemberKind::Directory => Target::Directory,
            MemberKind::Device => Target::Nothing,
            MemberKind::Ambiguous => {
                self.oddities.push(Oddity::Ambiguous(path.clone()));
                Target::Nothing
            }
        };
        // Whoever adds to an archive may name a folder again.
        let is_directory = matches!(target, Target::Directory);
        let before = self.targets.insert(path.clone(), target);
        if before.is_some_and(|before| !(is_directory && matches!(before, Target::Directory))) {
            self.oddities.push(Oddity::Twice(path));
        }
    }

    /// What readers may differ on, in the order of entries.
    pub fn oddities(&self) -> &[Oddity] {
        &self.oddities
    }

    /// All names of files and links, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let named = self.targets.iter();
        let named = named.filter(|(_, target)| !matches!(target, Target::Directory | Target::Nothing));
        named.map(|(path, _)| path.as_str())
    }

    /// The same names as they are seen from within `folder`, which ends with `/`; what stands or leads elsewhere is none.
    #[must_use]
    pub fn within(self, folder: &str) -> Self {
        let inner = |path: String| path.strip_prefix(folder).map(ToOwned::to_owned);
        let targets = self.targets.into_iter().filter_map(|(path, target)| {
            let target = match target {
                Target::Symlink(next) => Target::Symlink(next.and_then(inner)),
                Target::HardLink(next) => Target::HardLink(next.and_then(inner)),
                other => other,
            };
            Some((inner(path)?, target))
        });
        Self { targets: targets.collect(), oddities: self.oddities }
    }

    /// Names below what is no folder: who unpacks them follows a link there, to anywhere else in the archive.
    pub fn below_links(&self) -> impl Iterator<Item = &str> {
        let others = self.targets.iter().filter(|(_, target)| !matches!(target, Target::Directory));
        others.filter_map(|(path, _)| {
            let folder = format!("{path}/");
            let (next, _) = self.targets.range(folder.clone()..).next()?;
            next.starts_with(&folder).then_some(next.as_str())
        })
    }

    /// The content that `path` leads to; none if there is no such entry, or a link that leads nowhere.
    pub fn place(&self, path: &str) -> Option<Place> {
        let mut path = path;
        for _ in 0..=MAX_LINKS {
            match self.targets.get(path)? {
                Target::Content(place) => return Some(*place),
                Target::Symlink(next) | Target::HardLink(next) => path = next.as_deref()?,
                Target::Directory | Target::Nothing => return None,
            }
        }
        None
    }

    /// How this name leads to a content; none if it can't.
    pub fn kind(&self, path: &str) -> Option<Kind> {
        Some(match self.targets.get(path)? {
            Target::Content(_) => Kind::File,
            Target::Symlink(_) => Kind::Symlink,
            Target::HardLink(_) => Kind::HardLink,
            Target::Directory | Target::Nothing => return None,
        })
    }
}

/// `path`, seen from `folder`, without `.` and `..`; none if it leads out of the archive.
fn joined(folder: &str, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop()?,
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_entries_with_one_name_only_folders_are_no_oddity() {
        let mut names = Names::default();
        let mut add = |path: &str, kind| {
            names.add(&Member { path: path.to_owned(), kind, offset_bytes: 512, size_bytes: 1 });
        };
        add("folder/", MemberKind::Directory);
        add("./folder", MemberKind::Directory);
        for (before, after) in [
            (MemberKind::Directory, MemberKind::File),
            (MemberKind::File, MemberKind::Directory),
            (MemberKind::Device, MemberKind::File),
            (MemberKind::Ambiguous, MemberKind::File),
        ] {
            let path = format!("{before:?}-{after:?}");
            add(&path, before);
            add(&(path + "/"), after);
        }
        let twice = |name: &str| Oddity::Twice(name.to_owned());
        let expected = [
            twice("Directory-File"),
            twice("File-Directory"),
            twice("Device-File"),
            Oddity::Ambiguous("Ambiguous-File".to_owned()),
            twice("Ambiguous-File"),
        ];
        assert_eq!(names.oddities(), expected);
        let paths: Vec<_> = names.paths().collect();
        assert_eq!(paths, ["Ambiguous-File", "Device-File", "Directory-File"]);
        assert_eq!((names.place("folder"), names.kind("folder")), (None, None));
    }

    #[test]
    fn names_below_links_and_files_are_found() {
        let mut names = Names::default();
        let mut add = |path: &str, kind| {
            names.add(&Member { path: path.to_owned(), kind, offset_bytes: 512, size_bytes: 1 });
        };
        add("folder", MemberKind::Directory);
        add("folder/file", MemberKind::File);
        add("here", MemberKind::Symlink(".".to_owned()));
        add("here-too", MemberKind::File);
        add("here/manifest.json", MemberKind::File);
        add("manifest.json", MemberKind::File);
        add("manifest.json/deep/file", MemberKind::File);
        let found: Vec<_> = names.below_links().collect();
        assert_eq!(found, ["here/manifest.json", "manifest.json/deep/file"]);
    }

    #[test]
    fn links_lead_to_the_same_contents_within_a_folder() {
        let mut names = Names::default();
        let mut add = |path: &str, kind| {
            names.add(&Member { path: path.to_owned(), kind, offset_bytes: 512, size_bytes: 1 });
        };
        add("./saved/a", MemberKind::File);
        add("saved/x/symlink", MemberKind::Symlink("../a".to_owned()));
        add("saved/out", MemberKind::Symlink("../elsewhere".to_owned()));
        add("saved/hard", MemberKind::HardLink("saved/x/symlink".to_owned()));
        let names = names.within("saved/");
        let led: Vec<_> = names.paths().map(|path| (path, names.place(path).is_some())).collect();
        assert_eq!(led, [("a", true), ("hard", true), ("out", false), ("x/symlink", true)]);
    }
}
