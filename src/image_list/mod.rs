//! Lists of images: a name a line, compose files, Kubernetes manifests.
//!
//! Pure: bytes in, references out. Files are opened by the command line, images are brought by [`crate::pull`].
//! What a file is, its content says: a YAML mapping with `apiVersion` and `kind` is a Kubernetes manifest, one with
//! `services` a compose file, and what has no YAML mapping at all is a plain list.
//!
//! Threats: the file is foreign. It may be huge, nested deep, or a bomb of aliases and merges; it may name a variable
//! that holds a secret. Defences: [`MAX_BYTES`], and the bounds of `yaml` on depth, nodes and steps, which refuse
//! with a place; aliases share nodes and are never expanded. **No environment variable and no `.env` file is read**:
//! compose's defaults (`${TAG:-1.2}`) apply, every other variable is an error with its name. Other files (`include`,
//! `extends`) are never opened, which a [`Note`] says.

mod compose;
mod error;
mod kubernetes;
mod plain;
mod variables;
mod yaml;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

pub use error::{ListError, Place};
pub use plain::without_comment;

use crate::foreign::shown;
use crate::image::Reference;

/// No list is larger.
pub const MAX_BYTES: usize = 4 << 20;
/// No list names more images.
pub const MAX_IMAGES: usize = 10_000;
/// No name with its variables is longer.
const MAX_NAME_BYTES: usize = 1024;

/// What a file was read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// A name a line.
    Plain,
    /// A compose file, or Kubernetes manifests.
    Yaml,
}

/// The images a file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageList {
    /// What the file was read as.
    pub kind: ListKind,
    /// Each image once, in the order of the file.
    pub references: Vec<Reference>,
    /// What the reader of the list should know.
    pub notes: Vec<Note>,
}

/// Something in a list that isn't plain to see from its images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A variable got the default that stands beside it.
    DefaultApplied {
        /// Where.
        place: Place,
        /// The variable's name.
        variable: String,
        /// The default.
        value: String,
    },
    /// A service is built, not pulled.
    OnlyBuilt {
        /// Where.
        place: Place,
    },
    /// A service has no image in this file.
    WithoutImage {
        /// Where.
        place: Place,
    },
    /// Another file is named, which is not read.
    NotFollowed {
        /// Where.
        place: Place,
        /// The key that names it.
        key: &'static str,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DefaultApplied { place, variable, value } => {
                write!(formatter, "{place}: `{}` is `{}`, its default", shown(variable), shown(value))
            }
            Self::OnlyBuilt { place } => {
                write!(formatter, "{place}: skipped, it is built and has no `image`")
            }
            Self::WithoutImage { place } => write!(formatter, "{place}: skipped, it has no `image`"),
            Self::NotFollowed { place, key } => {
                write!(
                    formatter,
                    "{place}: `{key}` names another file, which is not read; give it with --file too"
                )
            }
        }
    }
}

impl ImageList {
    /// Reads `bytes`, which come from `name` (a path, or `stdin`).
    ///
    /// UTF-8, with or without a byte order mark, and UTF-16 with one (as PowerShell writes).
    pub fn read(name: &str, bytes: &[u8]) -> Result<Self, ListError> {
        if bytes.len() > MAX_BYTES {
            return Err(ListError::TooLarge { list: name.to_owned() });
        }
        let text = text(bytes).ok_or_else(|| ListError::NotText { list: name.to_owned() })?;
        let mut found = Found::new(name);
        let kind = if yaml::looks_like_mapping(&text) {
            read_yaml(&text, &mut found)?;
            ListKind::Yaml
        } else {
            plain::read(&text, &mut found)?;
            ListKind::Plain
        };
        if found.references.is_empty() {
            return Err(ListError::Empty { list: name.to_owned(), notes: found.notes });
        }
        Ok(Self { kind, references: found.references, notes: found.notes })
    }
}

/// True if a list is read as YAML, not as a name a line.
pub fn is_yaml(text: &str) -> bool {
    yaml::looks_like_mapping(text)
}

/// A mapping of texts, for files that are no lists of images but are read as safely.
#[derive(Debug)]
pub struct Mapping {
    /// The line it starts in, counted from 1.
    pub line: usize,
    /// Its keys and values; what has no value is left out.
    pub fields: Vec<(String, String)>,
}

impl Mapping {
    /// The value of a key.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find_map(|(key, value)| (key == name).then_some(value.as_str()))
    }
}

/// The mappings in a document's list: the document itself, or what it has under `key`.
pub fn mappings_of(name: &str, text: &str, key: &str) -> Result<Vec<Mapping>, ListError> {
    let mut mappings = Vec::new();
    let shape = |line, expected| ListError::Shape {
        place: Place { list: name.into(), line, within: None },
        expected,
    };
    for document in yaml::Documents::of(text, name) {
        let document = document?;
        let root = document.root();
        for item in root.field(key).unwrap_or(root).items() {
            if !item.is_mapping() {
                return Err(shape(item.line(), "an entry is a mapping"));
            }
            let mut fields = Vec::new();
            for (key, value) in item.entries() {
                let (Some(key), Some(text)) = (key.text(), value.text()) else {
                    return Err(shape(value.line(), "a key and its value are texts"));
                };
                if !value.is_null() && !text.is_empty() {
                    fields.push((key.to_owned(), text.to_owned()));
                }
            }
            mappings.push(Mapping { line: item.line(), fields });
        }
        document.check(name)?;
    }
    Ok(mappings)
}

/// Every document, each as what it is.
fn read_yaml(text: &str, found: &mut Found<'_>) -> Result<(), ListError> {
    let mut is_known = false;
    for document in yaml::Documents::of(text, found.list) {
        let document = document?;
        let root = document.root();
        if root.field("apiVersion").is_some() && root.field("kind").is_some() {
            kubernetes::read(root, found)?;
        } else if root.field("services").is_some() {
            compose::read(root, found)?;
        } else {
            continue;
        }
        document.check(found.list)?;
        is_known = true;
    }
    if is_known { Ok(()) } else { Err(ListError::UnknownYaml { list: found.list.to_owned() }) }
}

fn text(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let utf_16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes.as_chunks();
        let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
        rest.is_empty().then_some(())?;
        String::from_utf16(&units).ok().map(Cow::Owned)
    };
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => std::str::from_utf8(rest).ok().map(Cow::Borrowed),
        [0xff, 0xfe, rest @ ..] => utf_16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf_16(rest, u16::from_be_bytes),
        _ => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
    }
}

/// What was found so far.
struct Found<'a> {
    /// The file's name.
    list: &'a str,
    references: Vec<Reference>,
    known: HashSet<Reference>,
    notes: Vec<Note>,
}

impl<'a> Found<'a> {
    fn new(list: &'a str) -> Self {
        Self { list, references: vec![], known: HashSet::new(), notes: vec![] }
    }

    /// A place in this list.
    fn place(&self, line: usize, within: Option<String>) -> Place {
        Place { list: self.list.into(), line, within: within.map(String::into) }
    }

    /// Takes the name of an image; a variable in it is an error.
    fn add(&mut self, place: Place, name: &str) -> Result<(), ListError> {
        check_length(&place, name)?;
        if let Some(variable) = variables::first(name) {
            return Err(ListError::Unresolved { place, variable: variable.to_owned(), asked: None });
        }
        self.add_resolved(place, name)
    }

    /// Takes the name of an image as it is.
    fn add_resolved(&mut self, place: Place, name: &str) -> Result<(), ListError> {
        let reference: Reference = match name.parse() {
            Ok(reference) => reference,
            Err(source) => return Err(ListError::Reference { place, source }),
        };
        if !self.known.contains(&reference) {
            if self.references.len() == MAX_IMAGES {
                return Err(ListError::TooManyImages { place });
            }
            self.known.insert(reference.clone());
            self.references.push(reference);
        }
        Ok(())
    }
}

fn check_length(place: &Place, name: &str) -> Result<(), ListError> {
    if name.len() > MAX_NAME_BYTES { Err(ListError::LongName { place: place.clone() }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
