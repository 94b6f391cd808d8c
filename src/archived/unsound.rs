//! An archive of which something is to be made, and which is not whole.

use std::path::{Path, PathBuf};

use super::Problem;

/// An archive is not whole, or holds nothing.
#[derive(Debug, thiserror::Error)]
#[error("{} is not whole{}", .path.display(), and_more(*.more))]
pub struct Unsound {
    /// The file.
    pub path: PathBuf,
    /// The first thing that is wrong with it.
    pub source: Box<Problem>,
    /// How many problems there are besides.
    pub more: usize,
}

impl Unsound {
    /// Of these problems.
    pub fn of(path: &Path, problems: impl IntoIterator<Item = Problem>) -> Self {
        let mut problems = problems.into_iter();
        let source = Box::new(problems.next().unwrap_or(Problem::NoImages));
        Self { path: path.to_owned(), source, more: problems.count() }
    }
}

fn and_more(more: usize) -> String {
    match more {
        0 => String::new(),
        1 => ": it has 2 problems".to_owned(),
        more => format!(": it has {} problems", more + 1),
    }
}
