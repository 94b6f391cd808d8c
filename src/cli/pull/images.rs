//! Which images to pull: those named as arguments and those in lists, each once.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use sealift::fsio::FileError;
use sealift::image::Reference;
use sealift::image_list::{ImageList, MAX_BYTES};

use crate::cli::report::Failure;
use crate::cli::ui;

#[derive(Args)]
pub(super) struct ImageArguments {
    /// Images: `busybox`, `quay.io/org/name:tag`, `host:5000/name@sha256:…`
    #[arg(required_unless_present = "files", value_name = "IMAGE")]
    images: Vec<String>,
    /// Pull the images this file names, too: a name a line (`#` starts a comment), a compose file or Kubernetes
    /// manifests; `-` is stdin
    ///
    /// Variables have the defaults of the compose file (`${TAG:-1.2}`) and no other values: neither the
    /// environment nor `.env` is read.
    #[arg(long = "file", value_name = "LIST")]
    files: Vec<PathBuf>,
}

impl ImageArguments {
    /// True if a list comes from stdin.
    pub(super) fn reads_stdin(&self) -> bool {
        self.files.iter().any(|file| is_stdin(file))
    }

    /// All references, each once: the arguments, then each list's. With `has_words` the lists' are shown.
    pub(super) fn references(&self, has_words: bool) -> Result<Vec<Reference>, Failure> {
        if self.files.iter().filter(|file| is_stdin(file)).count() > 1 {
            return Err(Failure::Usage("--file - can be given once: there is one stdin"));
        }
        let mut references = Vec::new();
        let mut known = HashSet::new();
        for text in &self.images {
            add(text.parse()?, &mut references, &mut known);
        }
        for file in &self.files {
            let name = if is_stdin(file) { "stdin".to_owned() } else { file.display().to_string() };
            let list = ImageList::read(&name, &bytes(file)?)?;
            if has_words {
                list.notes.iter().for_each(|note| ui::talk(&note.to_string()));
                ui::talk(&format!("{name} names {}:", count(list.references.len())));
            }
            for reference in list.references {
                if has_words {
                    let again = if known.contains(&reference) { "  (named before)" } else { "" };
                    ui::talk(&format!("  {reference}{again}"));
                }
                add(reference, &mut references, &mut known);
            }
        }
        Ok(references)
    }
}

fn add(reference: Reference, references: &mut Vec<Reference>, known: &mut HashSet<Reference>) {
    if known.insert(reference.clone()) {
        references.push(reference);
    }
}

fn count(images: usize) -> String {
    if images == 1 { "1 image".to_owned() } else { format!("{images} images") }
}

fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

/// The file's bytes; one more than a list may have, if there are more.
fn bytes(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let limit = MAX_BYTES as u64 + 1;
    if is_stdin(file) {
        let read = std::io::stdin().lock().take(limit).read_to_end(&mut bytes);
        read.map_err(FileError::io("read", Path::new("stdin")))?;
    } else {
        let read = File::open(file).and_then(|opened| opened.take(limit).read_to_end(&mut bytes));
        read.map_err(FileError::io("read", file))?;
    }
    Ok(bytes)
}
