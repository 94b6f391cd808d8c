//! Foreign archives of images: whatever they hold, they are read, measured and compared to the end, the same every time,
//! and what is told of them is short and steers no terminal.

use std::path::Path;

use sealift::archived::{Archive, Measuring};
use sealift::blob::Limits;
use sealift::verify::loader::{Loader, Verdict};
use sealift::verify::{Report, Verify};
use tar::{EntryType, Header};

use crate::text::{check_error, check_message};

/// Layers inflate no further than this.
const LIMIT_BYTES: u64 = 1 << 20;

/// The input has a line for each entry: its name, a space and its content; a `>` before the name makes a symlink of it.
/// What begins otherwise than a line with a space is taken for an archive as it is.
pub fn archived(input: &[u8]) {
    let made = tar_of(input);
    for bytes in [input, &made] {
        let (one, other) = (told(bytes), told(bytes));
        assert_eq!(one, other);
    }
}

/// A tar of these lines.
fn tar_of(input: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    for line in input.split(|byte| *byte == b'\n') {
        let Some(space) = line.iter().position(|byte| *byte == b' ') else { continue };
        let (name, content) = (&line[..space], &line[space + 1..]);
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

/// All that is told of an archive.
fn told(bytes: &[u8]) -> Vec<String> {
    let measuring =
        Measuring { limits: Limits { layer_bytes: LIMIT_BYTES, check_ratio: true }, progress: &|_| {} };
    let archive = match Archive::read(Path::new("fuzzed"), bytes, Some(measuring)) {
        Ok(archive) => archive,
        Err(error) => {
            check_error(&error);
            return vec![error.to_string()];
        }
    };
    let verify = Verify { measuring, platform: None, loaders: &Loader::ALL };
    let report = verify.report(archive).expect("what went by is not read again");
    let mut told: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    told.extend(Loader::ALL.map(|loader| of_loader(&report, loader)));
    for text in &told {
        check_message(text);
    }
    told
}

fn of_loader(report: &Report, loader: Loader) -> String {
    match report.verdict(loader) {
        Verdict::Loads(images) => format!("{loader} loads {}", images.len()),
        Verdict::Refuses(why) => {
            check_message(&why);
            format!("{loader} refuses it: {why}")
        }
    }
}
