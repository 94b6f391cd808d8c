//! Foreign archives of images: whatever they hold, they are read, measured and compared to the end, the same every time,
//! and what is told of them is short and steers no terminal.

use std::path::Path;

use sealift::archived::{Archive, Measuring};
use sealift::blob::Limits;
use sealift::verify::loader::{Loader, Verdict};
use sealift::verify::{Report, Verify};

use crate::tar::tar_of;
use crate::text::{check_error, check_message};

/// Layers inflate no further than this.
const LIMIT_BYTES: u64 = 1 << 20;

/// The input has a line for each entry: its name, a space and its content; a `>` before the name makes a symlink of it.
/// What begins otherwise than a line with a space is taken for an archive as it is.
pub fn archived(input: &[u8]) {
    let lines = input.split(|byte| *byte == b'\n').filter_map(|line| {
        let space = line.iter().position(|byte| *byte == b' ')?;
        Some((&line[..space], &line[space + 1..]))
    });
    let made = tar_of(lines);
    for bytes in [input, &made] {
        let (one, other) = (told(bytes), told(bytes));
        assert_eq!(one, other);
    }
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
