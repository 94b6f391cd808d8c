//! What the entries of a raw tar have to be, whoever wrote it: what a walk of a tree gives, and nothing else.
//!
//! In order, each once, each in a folder that came before it; names that lead nowhere but down; links to what is there.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use super::MountedBy;
use super::attributes::{MAX_BYTES, is_kept};
use super::header::{Header, Kind, Time};
use super::raw::{ROOT, decoded};

/// Longest name within a folder, and longest target of a symlink.
const MAX_NAME_BYTES: usize = 255;
const MAX_TARGET_BYTES: usize = 4095;
/// Where Linux keeps attributes.
const NAMESPACES: [&[u8]; 4] = [b"user.", b"trusted.", b"security.", b"system."];

/// The rules, and what is remembered for them.
#[derive(Default)]
pub(crate) struct Rules {
    /// The folders on the way to the last entry: how much of `path` leads into each, and the last name in it.
    folders: Vec<(usize, Vec<u8>)>,
    path: Vec<u8>,
    /// What may be linked to.
    linkable: HashMap<[u8; 16], Linkable>,
}

#[derive(PartialEq, Eq)]
struct Linkable {
    mode: u32,
    owner: (u32, u32),
    modified: Time,
}

impl Linkable {
    fn of(header: &Header) -> Self {
        Self { mode: header.mode, owner: (header.uid, header.gid), modified: header.modified }
    }
}

impl Rules {
    /// What is wrong with the next entry. After that nothing more should be asked.
    pub(crate) fn check(&mut self, header: &Header) -> Result<(), &'static str> {
        self.check_place(header)?;
        check_fields(header)?;
        self.check_link(header)?;
        header.attributes.iter().try_for_each(|(name, value)| check_attribute(name, value))
    }

    fn check_place(&mut self, header: &Header) -> Result<(), &'static str> {
        let is_folder = header.kind == Kind::Directory;
        if self.folders.is_empty() {
            self.folders.push((0, Vec::new()));
            let is_root = header.name == ROOT && is_folder;
            return if is_root { Ok(()) } else { Err("the first entry is not the root, `./`") };
        }
        let name = match (header.name.strip_suffix(b"/"), is_folder) {
            (Some(name), true) => name,
            (None, false) => &header.name,
            _ => return Err("its name does not end as its kind's"),
        };
        if !is_way_down(name) {
            return Err("its name leads elsewhere");
        }
        // Up to the last folder that it is in.
        while let Some((depth, _)) = self.folders.last()
            && !name.starts_with(&self.path[..*depth])
        {
            self.folders.pop();
        }
        let Some((depth, last)) = self.folders.last_mut() else { return Err("it is nowhere") };
        let base = &name[*depth..];
        if base.contains(&b'/') {
            return Err("its folder is not there, or is out of order");
        }
        if last.as_slice() >= base {
            return Err("it is out of order, or there twice");
        }
        *last = base.to_vec();
        self.path.truncate(*depth);
        if is_folder {
            self.path.extend(base);
            self.path.push(b'/');
            self.folders.push((self.path.len(), Vec::new()));
        }
        Ok(())
    }

    fn check_link(&mut self, header: &Header) -> Result<(), &'static str> {
        match header.kind {
            Kind::Link => match self.linkable.get(&key(&header.target)) {
                None => Err("it is a link to what is not before it"),
                Some(target) if *target != Linkable::of(header) => Err("it is a link, and not as its file"),
                Some(_) => Ok(()),
            },
            Kind::Directory => Ok(()),
            _ => {
                if !header.is_whiteout() {
                    self.linkable.insert(key(&header.name), Linkable::of(header));
                }
                Ok(())
            }
        }
    }
}

/// Down into folders only, by names that Linux takes.
fn is_way_down(name: &[u8]) -> bool {
    let is_name = |part: &[u8]| {
        !matches!(part, b"" | b"." | b"..") && part.len() <= MAX_NAME_BYTES && !part.contains(&0)
    };
    name.split(|byte| *byte == b'/').all(is_name)
}

fn check_fields(header: &Header) -> Result<(), &'static str> {
    let Header { kind, target, .. } = header;
    if header.mode > 0o7777 {
        return Err("its mode is no mode");
    }
    if header.uid == u32::MAX || header.gid == u32::MAX {
        return Err("its owner is nobody that can be");
    }
    if header.size_bytes > 0 && *kind != Kind::File {
        return Err("it has a size and is no file");
    }
    let is_device = matches!(kind, Kind::CharacterDevice | Kind::BlockDevice);
    if !is_device && header.device != (0, 0) {
        return Err("it has a device's numbers and is none");
    }
    if header.device.0 >= 1 << 12 || header.device.1 >= 1 << 20 {
        return Err("it is a device that can't be");
    }
    match kind {
        Kind::Symlink if target.is_empty() || target.len() > MAX_TARGET_BYTES || target.contains(&0) => {
            Err("it is a symlink that can't be")
        }
        Kind::Link if !header.attributes.is_empty() => Err("it is a link with attributes"),
        Kind::Symlink | Kind::Link => Ok(()),
        _ if !target.is_empty() => Err("it has a target and is no link"),
        _ => Ok(()),
    }
}

fn check_attribute(name: &[u8], value: &[u8]) -> Result<(), &'static str> {
    let Some(name) = decoded(name) else { return Err("an attribute's name is not written as it has to be") };
    let is_name = NAMESPACES.iter().any(|space| name.starts_with(space) && name.len() > space.len());
    if !is_name || name.len() > MAX_NAME_BYTES || name.contains(&0) || value.len() > MAX_BYTES {
        return Err("it has an attribute that can't be");
    }
    // Whether those of users are overlayfs's, too, is known when all is read ([`super::tree`]).
    if !is_kept(&name, MountedBy::Root) {
        return Err("it has an attribute that means something on another disk only");
    }
    Ok(())
}

fn key(name: &[u8]) -> [u8; 16] {
    let digest = Sha256::digest(name);
    let mut key = [0; 16];
    key.copy_from_slice(&digest[..16]);
    key
}
