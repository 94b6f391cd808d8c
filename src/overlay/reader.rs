//! A raw tar that somebody gave, entry by entry, held to its one form.
//!
//! Threats: all of it is foreign. Headers are held to the byte ([`super::decode`]), entries to what a tree can have
//! ([`super::rules`]), padding and end to zeros; numbers are bounded before anything is kept for them. Nothing is opened or
//! made here.

use std::io::{self, Read};

use super::decode::{HeaderError, read_header};
use super::header::{BLOCK_BYTES, Header, Kind};
use super::rules::Rules;
use super::tree::TreeSum;
use crate::foreign::shown;

/// Entries with their contents, in order.
pub(crate) trait Entries {
    /// The next entry. What was not read of the last one's content is passed over.
    fn next(&mut self) -> Result<Option<Header>, EntryError>;

    /// Reads on in its data, without its holes; 0 at its end.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, EntryError>;
}

/// Why there is no entry to be had.
#[derive(Debug)]
pub(crate) enum EntryError {
    /// The bytes can't be read.
    Read(io::Error),
    /// They are not what they have to be, and why, fit to show.
    Wrong(String),
}

impl From<HeaderError> for EntryError {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::Read(error) => Self::Read(error),
            HeaderError::Wrong(what) => Self::Wrong(what.to_owned()),
        }
    }
}

/// Reads a raw tar.
pub(crate) struct RawReader<R> {
    input: R,
    rules: Rules,
    /// What was read so far.
    pub(crate) sum: TreeSum,
    name: Vec<u8>,
    data_left_bytes: u64,
    padding_bytes: usize,
}

impl<R: Read> RawReader<R> {
    /// Of what comes out of `input`, which ends where the tar does.
    pub(crate) fn new(input: R) -> Self {
        let (rules, sum) = (Rules::default(), TreeSum::default());
        Self { input, rules, sum, name: Vec::new(), data_left_bytes: 0, padding_bytes: 0 }
    }

    /// What is wrong with the entry that was last come to.
    fn wrong(&self, what: &str) -> EntryError {
        if self.name.is_empty() {
            return EntryError::Wrong(what.to_owned());
        }
        EntryError::Wrong(format!("`{}`: {what}", shown(&String::from_utf8_lossy(&self.name))))
    }

    /// Reads to the end of the last entry.
    fn pass_over(&mut self) -> Result<(), EntryError> {
        let mut chunk = [0; 8 << 10];
        while self.read(&mut chunk)? > 0 {}
        let mut padding = [0; BLOCK_BYTES];
        let padding = &mut padding[..std::mem::take(&mut self.padding_bytes)];
        self.input.read_exact(padding).map_err(|error| EntryError::from(HeaderError::from(error)))?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(self.wrong("what stands behind its content is not zero"));
        }
        Ok(())
    }

    /// After the first zero block: another one, and nothing more.
    fn check_end(&mut self) -> Result<(), EntryError> {
        if self.name.is_empty() {
            return Err(self.wrong("it has no entries, not even the root's"));
        }
        self.name.clear();
        let mut end = Vec::new();
        self.input.by_ref().take(BLOCK_BYTES as u64 + 1).read_to_end(&mut end).map_err(EntryError::Read)?;
        if end != [0; BLOCK_BYTES] {
            return Err(self.wrong("it does not end as it has to"));
        }
        Ok(())
    }
}

impl<R: Read> Entries for RawReader<R> {
    fn next(&mut self) -> Result<Option<Header>, EntryError> {
        self.pass_over()?;
        let Some((header, blocks)) = read_header(&mut self.input).map_err(|error| match error {
            HeaderError::Wrong(what) if !self.name.is_empty() => {
                EntryError::Wrong(format!("after `{}`: {what}", shown(&String::from_utf8_lossy(&self.name))))
            }
            error => error.into(),
        })?
        else {
            self.check_end()?;
            return Ok(None);
        };
        self.name.clone_from(&header.name);
        self.rules.check(&header).map_err(|what| self.wrong(what))?;
        if !self.sum.add(&header, &blocks) {
            return Err(EntryError::Wrong("it has too many entries".to_owned()));
        }
        if header.kind == Kind::File {
            self.data_left_bytes = header.data_bytes();
            let over = self.data_left_bytes.next_multiple_of(BLOCK_BYTES as u64) - self.data_left_bytes;
            self.padding_bytes = usize::try_from(over).unwrap_or(0);
        }
        Ok(Some(header))
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, EntryError> {
        let wanted = usize::try_from(self.data_left_bytes).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        loop {
            match self.input.read(&mut buffer[..wanted]) {
                Ok(0) => return Err(self.wrong("its content ends too early")),
                Ok(read) => {
                    self.data_left_bytes -= read as u64;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(EntryError::Read(error)),
            }
        }
    }
}
