//! Layer files: read to their end, told of the same twice; a layer that passes is one that other readers see no harm in.

use std::fs;
use std::path::Path;

use sealift::image::Digest;
use sealift::layer_file::{LayerFile, Problem, Verdict};

use crate::text::{check_error, check_message};

/// Any bytes, taken for a layer file; those after a `+` for the `layer.tar` of one that is whole but for that.
pub fn layer_file(input: &[u8]) {
    let Some(layer) = input.strip_prefix(b"+") else {
        verdict(input);
        return;
    };
    let metadata = format!(
        r#"{{"version":"2.0","created":"","compressed":false,"layer_checksum":"","container_metadata":{{}},"docker_info":{{}},
        "layer_tar":{{"sha256":"{}","size_bytes":{}}}}}"#,
        Digest::of(layer),
        layer.len()
    );
    let line = format!("{}  metadata.json\n", Digest::of(metadata.as_bytes()).hex());
    let mut file = Vec::new();
    for (name, content) in [
        ("layer.tar", layer),
        ("metadata.json", metadata.as_bytes()),
        ("metadata.json.sha256", line.as_bytes()),
    ] {
        file.extend(header(name, content.len()));
        file.extend(content);
        file.resize(file.len().next_multiple_of(512), 0);
    }
    file.resize(file.len() + 1024, 0);
    let problems = verdict(&file);
    // There is no tree in the metadata, which is the one problem of a file whose layer is as it has to be.
    if let [Problem { what, .. }] = &problems[..]
        && what == "it does not say what the layer hashes to"
    {
        assert_harmless(layer);
    }
}

fn header(name: &str, size_bytes: usize) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    let block = header.as_mut_bytes();
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..124].copy_from_slice(b"0000644\x000000000\x000000000\0");
    block[124..135].copy_from_slice(format!("{size_bytes:011o}").as_bytes());
    block[136..148].copy_from_slice(b"00000000000\0");
    block[156] = b'0';
    block[329..345].copy_from_slice(b"0000000\x000000000\0");
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block.to_vec()
}

/// What is wrong with the file; the same if it is asked again.
#[allow(clippy::disallowed_methods, reason = "a scratch file, which nobody else reads")]
fn verdict(bytes: &[u8]) -> Vec<Problem> {
    let path = std::env::temp_dir().join(format!(
        "sealift-fuzz-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let Ok(()) = fs::write(&path, bytes) else { panic!("{} can't be written", path.display()) };
    let first = problems_of(&path);
    assert_eq!(first, problems_of(&path));
    let _ = fs::remove_file(&path);
    for problem in &first {
        check_message(problem);
    }
    first
}

fn problems_of(path: &Path) -> Vec<Problem> {
    match LayerFile::open(path).and_then(|file| file.verify(u64::MAX, &|_| true)) {
        Ok(Verdict::Whole(_)) => Vec::new(),
        Ok(Verdict::Broken { problems, .. }) => {
            assert!(!problems.is_empty());
            problems
        }
        Err(error) => {
            // What is packed may be larger than a disk by its own word.
            check_error(&error);
            Vec::new()
        }
    }
}

/// Another reader finds the same entries, and nothing that leads out.
fn assert_harmless(layer: &[u8]) {
    let mut archive = tar::Archive::new(layer);
    let Ok(entries) = archive.entries() else { panic!("the tar crate reads no entries") };
    let mut names = Vec::new();
    for entry in entries {
        let Ok(mut entry) = entry else { panic!("the tar crate reads no entry after {names:?}") };
        let mut name = entry.path_bytes().into_owned();
        for record in entry.pax_extensions().into_iter().flatten().flatten().flatten() {
            // It knows nothing of this form of holes.
            if record.key_bytes() == b"GNU.sparse.name" {
                name = record.value_bytes().to_vec();
            }
        }
        assert!(
            !name.starts_with(b"/") && !name.split(|byte| *byte == b'/').any(|part| part == b".."),
            "{name:?}"
        );
        if entry.header().entry_type() == tar::EntryType::Link {
            let target = entry.link_name_bytes().map(std::borrow::Cow::into_owned);
            assert!(target.is_some_and(|target| names.contains(&target)), "{name:?}");
        }
        names.push(name);
    }
    assert!(!names.is_empty());
}
