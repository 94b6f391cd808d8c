//! The entries of a tar that somebody else made: names, kinds and places. Contents are passed over, never unpacked.
//!
//! Threats: the file is foreign. Headers are checksummed; sizes that are negative, overflow or run beyond the file end
//! the reading; numbers of entries, names and headers are bounded, so a crafted file costs bounded time and memory.
//! Nothing is written, no name is ever opened, and of archives inside the archive nothing is read. What an entry's name
//! says of its content is a claim: whoever wants the bytes verifies them.
//!
//! Where tar's dialects differ this follows Go's reader, which Docker, containerd, podman and skopeo have: what it takes for
//! a second `manifest.json` must be one here. Links, directories and devices have no content whatever their size says; a pax
//! header replaces the one before, a global one all that was said of the next entry; GNU's names go before pax's, and
//! empty ones say nothing. What Go changes on the way, as sparse files, is told as ambiguous. Contents are passed over by
//! seeking where that can be, so an archive of 5 GB costs a few reads; of a pipe they are read.
//!
//! Neighbours: [`super::contents`] finds the blobs among the entries.

mod header;

use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;

use tar::EntryType;

use super::entry::BLOCK_BYTES;
use header::{Header, Overrides};

/// An archive of images has a handful of entries for each layer.
const MAX_ENTRIES: usize = 100_000;
/// The longest path Linux takes.
const MAX_NAME_BYTES: u64 = 4096;
/// Go's bound for a pax header.
const MAX_PAX_BYTES: u64 = 1 << 20;
/// All headers together, with long names and pax records: enough for all entries.
const MAX_HEADER_BYTES: u64 = 64 << 20;
/// Offsets beyond this are not a file's.
const MAX_TAR_BYTES: u64 = i64::MAX as u64;
const BLOCK: usize = 512;

/// An entry of a tar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name as it stands there, whatever that is; what is no UTF-8 is replaced.
    pub path: String,
    /// What it is.
    pub kind: MemberKind,
    /// Where its content starts.
    pub offset_bytes: u64,
    /// How long its content is; it ends within the file.
    pub size_bytes: u64,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symlink to this path, relative to where it stands.
    Symlink(String),
    /// A hard link to this entry.
    HardLink(String),
    /// A device or FIFO.
    Device,
    /// A sparse file, or of a kind that is not known here: readers differ on what it holds.
    Ambiguous,
}

/// A tar that can't be read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk refused.
    #[error("cannot read at byte {at_bytes}")]
    Io {
        /// Where.
        at_bytes: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The file doesn't begin as a tar does.
    #[error("it is no tar archive")]
    NotATar,
    /// What stands where a header should be has not a header's checksum, or no numbers where those should be; or it stands
    /// behind half of a tar's end.
    #[error("no tar header at byte {at_bytes}")]
    BadHeader {
        /// Where.
        at_bytes: u64,
    },
    /// A header's size is negative, no number or too large for any file.
    #[error("the tar header at byte {at_bytes} has no valid size")]
    BadSize {
        /// Where.
        at_bytes: u64,
    },
    /// The records of a pax header don't parse.
    #[error("the pax header at byte {at_bytes} is broken")]
    BadPax {
        /// Where.
        at_bytes: u64,
    },
    /// A name, link or pax header longer than any honest one.
    #[error("the tar header at byte {at_bytes} has a name or extension of {size_bytes} bytes")]
    TooLong {
        /// Where.
        at_bytes: u64,
        /// How long.
        size_bytes: u64,
    },
    /// The file ends before an entry does.
    #[error("it is cut short: the entry at byte {at_bytes} goes to byte {end_bytes}, there are {size_bytes}")]
    Truncated {
        /// Where the entry starts.
        at_bytes: u64,
        /// Where it should end.
        end_bytes: u64,
        /// Where the file ends.
        size_bytes: u64,
    },
    /// More entries, or longer headers, than any honest archive has.
    #[error("it has more than {MAX_ENTRIES} entries, or {MAX_HEADER_BYTES} bytes of headers")]
    TooMany,
}

impl ReadError {
    /// True if it is this entry's content that can't be read.
    pub fn is_within(&self, member: &Member) -> bool {
        match self {
            Self::Io { at_bytes, .. } | Self::Truncated { at_bytes, .. } => *at_bytes < member.offset_bytes,
            _ => false,
        }
    }
}

/// Reads the entries of a tar, in order. After an error there are no more.
pub struct Members<R> {
    reader: R,
    /// Passes over so many bytes, and says over how many there were.
    skip: fn(&mut R, u64) -> io::Result<u64>,
    /// Where the tar ends, if that is known before.
    end_bytes: Option<u64>,
    position_bytes: u64,
    /// Where the entry that was told of starts, and where it ends.
    current: Range<u64>,
    entries: usize,
    header_bytes: u64,
    has_end: bool,
    is_over: bool,
}

impl<R: Read + Seek> Members<R> {
    /// Of a tar that `reader` has from its first byte to its last.
    pub fn new(mut reader: R) -> Result<Self, ReadError> {
        let size_bytes = reader.seek(SeekFrom::End(0)).and_then(|end| {
            reader.rewind()?;
            Ok(end)
        });
        let size_bytes = size_bytes.map_err(|source| ReadError::Io { at_bytes: 0, source })?;
        Ok(Self::from(reader, seek_over, Some(size_bytes)))
    }
}

impl<R: Read> Members<R> {
    /// Of a tar that comes through a pipe.
    pub fn streaming(reader: R) -> Self {
        Self::from(reader, read_over, None)
    }

    fn from(reader: R, skip: fn(&mut R, u64) -> io::Result<u64>, end_bytes: Option<u64>) -> Self {
        Self {
            reader,
            skip,
            end_bytes,
            position_bytes: 0,
            current: 0..0,
            entries: 0,
            header_bytes: 0,
            has_end: false,
            is_over: false,
        }
    }

    /// True once the mark was met that ends a tar: files that were cut between two entries have none.
    pub fn has_end(&self) -> bool {
        self.has_end
    }

    /// How far it was read.
    pub fn position_bytes(&self) -> u64 {
        self.position_bytes
    }

    /// Reads on in the content of the entry that was told of last; 0 at its end, or where the tar is cut.
    pub fn read_content(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.content_left_bytes()).unwrap_or(usize::MAX);
        let room = buffer.len().min(left);
        if room == 0 {
            return Ok(0); // some decoders take a read of nothing for their end
        }
        let read = self.reader.read(&mut buffer[..room])?;
        self.position_bytes += read as u64;
        Ok(read)
    }

    /// Reads what stands behind the tar's end, to its own end.
    pub fn read_to_end(&mut self) -> Result<(), ReadError> {
        let at_bytes = self.position_bytes;
        io::copy(&mut self.reader, &mut io::sink()).map_err(|source| ReadError::Io { at_bytes, source })?;
        Ok(())
    }

    fn content_left_bytes(&self) -> u64 {
        self.current.end.saturating_sub(self.position_bytes)
    }

    fn next_member(&mut self) -> Result<Option<Member>, ReadError> {
        self.pass_content()?;
        let mut overrides = Overrides::default();
        loop {
            let at_bytes = self.position_bytes;
            let Some(header) = self.header()? else { return Ok(None) };
            let stated_bytes = header.size_bytes().ok_or(ReadError::BadSize { at_bytes })?;
            match header.kind() {
                EntryType::GNULongName => overrides.path = self.long_name(at_bytes, stated_bytes)?,
                EntryType::GNULongLink => overrides.link = self.long_name(at_bytes, stated_bytes)?,
                kind @ (EntryType::XHeader | EntryType::XGlobalHeader) => {
                    let records = self.extension(at_bytes, stated_bytes, MAX_PAX_BYTES)?;
                    overrides.read_pax(&records).ok_or(ReadError::BadPax { at_bytes })?;
                    if kind == EntryType::XGlobalHeader {
                        overrides = Overrides::default();
                    }
                }
                kind => {
                    if kind == EntryType::GNUSparse {
                        self.pass_sparse_headers(at_bytes, &header)?;
                    }
                    let offset_bytes = self.position_bytes;
                    let content_bytes = overrides.size_bytes().unwrap_or(stated_bytes);
                    let (path, kind) = overrides.name(&header);
                    let has_content = matches!(kind, MemberKind::File | MemberKind::Ambiguous);
                    let size_bytes = if has_content { content_bytes } else { 0 };
                    self.check_end(at_bytes, size_bytes)?;
                    self.current = at_bytes..offset_bytes.saturating_add(size_bytes);
                    return Ok(Some(Member { path, kind, offset_bytes, size_bytes }));
                }
            }
        }
    }

    /// The next header; none at the end of the tar.
    fn header(&mut self) -> Result<Option<Header>, ReadError> {
        let at_bytes = self.position_bytes;
        let block = match self.block()? {
            Block::Whole(block) => block,
            Block::None if at_bytes > 0 => return Ok(None),
            Block::Cut(size_bytes) if at_bytes > 0 => {
                let end_bytes = at_bytes + BLOCK_BYTES;
                return Err(ReadError::Truncated { at_bytes, end_bytes, size_bytes });
            }
            Block::None | Block::Cut(_) => return Err(ReadError::NotATar),
        };
        if is_zero(&block) {
            return self.pass_end().map(|()| None);
        }
        let no_header = if at_bytes == 0 { ReadError::NotATar } else { ReadError::BadHeader { at_bytes } };
        let header = Header::of(block).ok_or(no_header)?;
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(ReadError::TooMany);
        }
        Ok(Some(header))
    }

    /// A second block of zeros belongs to the end; the file may end without it, but have nothing else there.
    fn pass_end(&mut self) -> Result<(), ReadError> {
        let at_bytes = self.position_bytes;
        match self.block()? {
            Block::Whole(block) if !is_zero(&block) => Err(ReadError::BadHeader { at_bytes }),
            Block::Cut(size_bytes) => {
                Err(ReadError::Truncated { at_bytes, end_bytes: at_bytes + BLOCK_BYTES, size_bytes })
            }
            Block::Whole(_) | Block::None => {
                self.has_end = true;
                Ok(())
            }
        }
    }

    fn block(&mut self) -> Result<Block, ReadError> {
        self.count(BLOCK_BYTES)?;
        let at_bytes = self.position_bytes;
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.reader.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(Block::None),
                Ok(0) => return Ok(Block::Cut(at_bytes + filled as u64)),
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(ReadError::Io { at_bytes, source }),
            }
        }
        self.position_bytes += BLOCK_BYTES;
        Ok(Block::Whole(Box::new(block)))
    }

    fn count(&mut self, bytes: u64) -> Result<(), ReadError> {
        self.header_bytes += bytes;
        if self.header_bytes > MAX_HEADER_BYTES { Err(ReadError::TooMany) } else { Ok(()) }
    }

    /// The content of GNU's entry for a long name; a zero ends it.
    fn long_name(&mut self, at_bytes: u64, size_bytes: u64) -> Result<Vec<u8>, ReadError> {
        let name = self.extension(at_bytes, size_bytes, MAX_NAME_BYTES)?;
        Ok(header::c_string(&name).to_vec())
    }

    /// The content of an entry that says more of the next one.
    fn extension(&mut self, at_bytes: u64, size_bytes: u64, limit_bytes: u64) -> Result<Vec<u8>, ReadError> {
        if size_bytes > limit_bytes {
            return Err(ReadError::TooLong { at_bytes, size_bytes });
        }
        self.check_end(at_bytes, size_bytes)?;
        self.count(size_bytes)?;
        let mut content = Vec::new();
        let read = (&mut self.reader).take(size_bytes).read_to_end(&mut content);
        read.map_err(|source| ReadError::Io { at_bytes, source })?;
        let missing_bytes = size_bytes - content.len() as u64;
        self.position_bytes += content.len() as u64;
        let padding_bytes = size_bytes.next_multiple_of(BLOCK_BYTES) - size_bytes;
        self.skip(at_bytes, missing_bytes, padding_bytes)?;
        Ok(content)
    }

    /// Old GNU sparse files have more headers behind the first.
    fn pass_sparse_headers(&mut self, at_bytes: u64, header: &Header) -> Result<(), ReadError> {
        let mut is_extended = header.is_extended().ok_or(ReadError::BadHeader { at_bytes })?;
        while is_extended {
            let at_bytes = self.position_bytes;
            let Block::Whole(block) = self.block()? else { return Err(ReadError::BadHeader { at_bytes }) };
            is_extended = block[header::SPARSE_IS_EXTENDED[1]] != 0;
        }
        Ok(())
    }

    /// Goes to behind the entry that was told of last.
    fn pass_content(&mut self) -> Result<(), ReadError> {
        let Range { start, end } = std::mem::take(&mut self.current);
        if end == 0 {
            return Ok(());
        }
        self.skip(start, end - self.position_bytes, end.next_multiple_of(BLOCK_BYTES) - end)
    }

    /// Does a content of `size_bytes` that starts here end within the file?
    fn check_end(&self, at_bytes: u64, size_bytes: u64) -> Result<(), ReadError> {
        let end_bytes = self.position_bytes.saturating_add(size_bytes);
        match self.end_bytes {
            Some(size_bytes) if end_bytes > size_bytes => {
                Err(ReadError::Truncated { at_bytes, end_bytes, size_bytes })
            }
            _ if end_bytes > MAX_TAR_BYTES => Err(ReadError::BadSize { at_bytes }),
            _ => Ok(()),
        }
    }

    /// Passes over the rest of a content, and its padding; only that may be missing at the end of a file.
    fn skip(&mut self, at_bytes: u64, content_bytes: u64, padding_bytes: u64) -> Result<(), ReadError> {
        let end_bytes = self.position_bytes + content_bytes;
        let skipped = (self.skip)(&mut self.reader, content_bytes + padding_bytes);
        self.position_bytes += skipped.map_err(|source| ReadError::Io { at_bytes, source })?;
        if self.position_bytes < end_bytes {
            let size_bytes = self.position_bytes;
            return Err(ReadError::Truncated { at_bytes, end_bytes, size_bytes });
        }
        Ok(())
    }
}

/// What stands where a header should.
enum Block {
    Whole(Box<[u8; BLOCK]>),
    /// The tar is over.
    None,
    /// It ends within, at this byte.
    Cut(u64),
}

fn is_zero(block: &[u8; BLOCK]) -> bool {
    block.iter().all(|byte| *byte == 0)
}

fn seek_over(reader: &mut (impl Read + Seek), bytes: u64) -> io::Result<u64> {
    let distance = i64::try_from(bytes).map_err(|_| ErrorKind::InvalidInput)?;
    reader.seek_relative(distance)?;
    Ok(bytes)
}

fn read_over(reader: &mut impl Read, bytes: u64) -> io::Result<u64> {
    io::copy(&mut reader.take(bytes), &mut io::sink())
}

impl<R: Read> Iterator for Members<R> {
    type Item = Result<Member, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let member = self.next_member().transpose();
        self.is_over = !matches!(member, Some(Ok(_)));
        member
    }
}

#[cfg(test)]
mod tests;
