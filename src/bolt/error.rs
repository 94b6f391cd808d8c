//! What is wrong with a bolt database.

use std::fmt;

/// Bytes can't be read as a bolt database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BoltError {
    /// There is nothing.
    #[error("it is empty")]
    Empty,
    /// No meta page has bolt's mark.
    #[error("it is no bolt database")]
    NotBolt,
    /// It ends within its first two pages.
    #[error("it ends after {bytes} bytes, within its meta pages")]
    Cut {
        /// How much there is.
        bytes: usize,
    },
    /// Another version of the format.
    #[error("it is in version {0} of bolt's format; there is but version 2")]
    Version(u32),
    /// Neither meta page has its checksum.
    #[error("both of its meta pages are damaged")]
    Metas,
    /// A page is not what the format says.
    #[error("page {page} {problem}")]
    Page {
        /// The page's number.
        page: u64,
        /// What is wrong with it.
        problem: PageProblem,
    },
}

/// What can be wrong with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PageProblem {
    /// It would be behind the last one.
    Beyond,
    /// It would be behind the end of the file.
    Cut,
    /// Its header has another number.
    Misplaced,
    /// It is neither branch nor leaf.
    Kind,
    /// Its elements don't fit into it.
    Elements,
    /// Its keys are not in order, or belong elsewhere.
    Order,
    /// Two places lead to it.
    Shared,
    /// A page below others has nothing in it.
    Empty,
    /// A bucket in it is too short for what it should be.
    Bucket,
    /// A bucket stands where a value should, or a value where a bucket should.
    Other,
}

impl fmt::Display for PageProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Beyond => "is named, but there are fewer pages",
            Self::Cut => "lies beyond the end of the file: it was cut",
            Self::Misplaced => "has another page's number",
            Self::Kind => "is neither branch nor leaf",
            Self::Elements => "has elements that don't fit into it",
            Self::Order => "has keys that are out of order",
            Self::Shared => "is named by two others",
            Self::Empty => "has nothing in it",
            Self::Bucket => "has a bucket that is too short",
            Self::Other => "has a value for a bucket, or a bucket for a value",
        })
    }
}
