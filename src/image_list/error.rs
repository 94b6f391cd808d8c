//! Why a list can't be read, each with the file and the place in it.

use std::fmt;

use super::{MAX_BYTES, MAX_IMAGES, MAX_NAME_BYTES, Note};
use crate::foreign::shown;
use crate::image::reference::ReferenceError;

/// Where in a list something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's name.
    pub list: Box<str>,
    /// The line, counted from 1.
    pub line: usize,
    /// The thing there, in words of its own: ``service `web` ``.
    pub within: Option<Box<str>>,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, line {}", self.list, self.line)?;
        match &self.within {
            Some(within) => write!(formatter, ", {}", shown(within)),
            None => Ok(()),
        }
    }
}

/// Why a list can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// Over [`MAX_BYTES`].
    #[error("{list} is larger than {} MiB, as no list of images is", MAX_BYTES >> 20)]
    TooLarge {
        /// The file's name.
        list: String,
    },
    /// Not UTF-8, nor UTF-16 with a byte order mark.
    #[error("{list} is not text in UTF-8")]
    NotText {
        /// The file's name.
        list: String,
    },
    /// It names no image.
    #[error("{list} names no image")]
    Empty {
        /// The file's name.
        list: String,
        /// What was found instead.
        notes: Vec<Note>,
    },
    /// YAML of another kind.
    #[error("{list} is YAML, but has neither `services` nor `apiVersion` and `kind`")]
    UnknownYaml {
        /// The file's name.
        list: String,
    },
    /// A document isn't YAML.
    #[error("{list}, line {line}, column {column}: {}", shown(problem))]
    Yaml {
        /// The file's name.
        list: String,
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
        /// What is wrong there.
        problem: String,
    },
    /// Deeper, larger or with more aliases than any list is.
    #[error("{list}, line {line}: {bound}")]
    Bound {
        /// The file's name.
        list: String,
        /// The line, counted from 1.
        line: usize,
        /// The bound, in words.
        bound: &'static str,
    },
    /// Over [`MAX_IMAGES`].
    #[error("{place}: a list names at most {MAX_IMAGES} images")]
    TooManyImages {
        /// Where the first one too many stands.
        place: Place,
    },
    /// A name that is far too long.
    #[error("{place}: a name has at most {MAX_NAME_BYTES} bytes")]
    LongName {
        /// Where.
        place: Place,
    },
    /// Something other than what the format has there.
    #[error("{place}: {expected}")]
    Shape {
        /// Where.
        place: Place,
        /// What stands there in a valid file.
        expected: &'static str,
    },
    /// A variable without a value.
    #[error("{place}: the variable `{}` has no value{}", shown(variable), said(asked.as_deref()))]
    Unresolved {
        /// Where.
        place: Place,
        /// The variable's name.
        variable: String,
        /// What the file says to those who give none (compose's `${TAG:?message}`).
        asked: Option<String>,
    },
    /// A name that is no reference.
    #[error("{place}: this is not an image")]
    Reference {
        /// Where.
        place: Place,
        /// What is wrong with it.
        source: ReferenceError,
    },
}

fn said(asked: Option<&str>) -> String {
    asked.filter(|asked| !asked.is_empty()).map(|asked| format!(" ({})", shown(asked))).unwrap_or_default()
}
