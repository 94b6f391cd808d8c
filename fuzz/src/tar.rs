//! Tars of a few entries.

use tar::{EntryType, Header};

/// A tar of these files, by name and content. A `>` before the name makes a symlink of one.
pub(crate) fn tar_of<'a>(files: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, content) in files {
        let (name, kind) = match name.strip_prefix(b">") {
            Some(name) => (name, EntryType::Symlink),
            None => (name, EntryType::Regular),
        };
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        let (link, content) =
            if kind == EntryType::Symlink { (content, &[][..]) } else { (&[][..], content) };
        header.set_size(content.len() as u64);
        let Some(gnu) = header.as_gnu_mut() else { continue };
        for (field, text) in [(&mut gnu.name, name), (&mut gnu.linkname, link)] {
            let length = text.len().min(field.len());
            field[..length].copy_from_slice(&text[..length]);
        }
        header.set_cksum();
        tar.extend_from_slice(header.as_bytes());
        tar.extend_from_slice(content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}
