//! Tars as version 1.0 has them, entry by entry: GNU's, with long names and files with holes.
//!
//! Threats: the tar is foreign. What is in a block the `tar` crate knows; its reader is not used, as that takes what a header
//! says for granted. How much is read and kept because a block says so is bounded here.

use std::io::{self, Read};

use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

use crate::overlay::{BLOCK_BYTES, Extent, HeaderError, MAX_EXTENTS, extents_flaw};

/// The longest path Linux takes, with the zero at its end.
const MAX_NAME_BYTES: u64 = 4096;
/// What has more parts than fit in so many blocks is no file of a container.
const MAX_MAP_BLOCKS: usize = MAX_EXTENTS / 21;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const NO_HEADER: HeaderError = HeaderError::Wrong("what stands there is no header");
const BAD_MAP: HeaderError = HeaderError::Wrong("the map of its holes is no map");

/// Reads a tar, and as a reader the data of the entry that it came to last.
pub(super) struct GnuTar<R> {
    input: R,
    /// How much of the tar was read.
    pub(super) position_bytes: u64,
    left_bytes: u64,
    padding_bytes: u64,
}

/// An entry.
pub(super) struct Member {
    /// At most as long as Linux's paths are.
    pub(super) name: Vec<u8>,
    pub(super) header: Box<Header>,
    /// Holes included.
    pub(super) size_bytes: u64,
    /// Where its data belongs, if there are holes.
    pub(super) extents: Option<Vec<Extent>>,
}

impl<R: Read> GnuTar<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, position_bytes: 0, left_bytes: 0, padding_bytes: 0 }
    }

    /// The next entry; none at the first zero block, or where the input ends instead of a header.
    pub(super) fn next(&mut self) -> Result<Option<Member>, HeaderError> {
        let mut long_name = None;
        loop {
            self.pass_over()?;
            let Some(header) = self.header()? else {
                return if long_name.is_none() { Ok(None) } else { Err(NO_HEADER) };
            };
            let stored_bytes = header.entry_size().ok().filter(|size| i64::try_from(*size).is_ok());
            let stored_bytes = stored_bytes.ok_or(NO_HEADER)?;
            let kind = header.entry_type();
            if kind == EntryType::GNULongName && long_name.is_none() {
                long_name = Some(self.long_name(stored_bytes)?);
                continue;
            }
            let name = long_name.unwrap_or_else(|| header.path_bytes().into_owned());
            let (mut size_bytes, mut extents) = (stored_bytes, None);
            if kind == EntryType::GNUSparse {
                size_bytes = header.as_gnu().and_then(|gnu| gnu.real_size().ok()).ok_or(BAD_MAP)?;
                extents = self.extents(&header, size_bytes, stored_bytes)?;
            }
            self.begin(stored_bytes);
            return Ok(Some(Member { name, header, size_bytes, extents }));
        }
    }

    /// What stands behind.
    pub(super) fn into_input(self) -> R {
        self.input
    }

    /// What was not read of an entry's data.
    fn pass_over(&mut self) -> Result<(), HeaderError> {
        io::copy(self, &mut io::sink())?;
        let padding_bytes = std::mem::take(&mut self.padding_bytes);
        self.position_bytes += io::copy(&mut (&mut self.input).take(padding_bytes), &mut io::sink())?;
        Ok(())
    }

    fn begin(&mut self, stored_bytes: u64) {
        self.left_bytes = stored_bytes;
        self.padding_bytes = stored_bytes.next_multiple_of(BLOCK_BYTES as u64) - stored_bytes;
    }

    fn header(&mut self) -> Result<Option<Box<Header>>, HeaderError> {
        let mut header = Box::new(Header::new_old());
        if !self.block(header.as_mut_bytes())? || header.as_bytes().iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let spaced = |(at, byte): (usize, &u8)| u32::from(if CHECKSUM.contains(&at) { b' ' } else { *byte });
        let sum: u32 = header.as_bytes().iter().enumerate().map(spaced).sum();
        let is_one = header.cksum().is_ok_and(|stated| stated == sum);
        if is_one { Ok(Some(header)) } else { Err(NO_HEADER) }
    }

    /// Fills a block; false where the input ended before it.
    fn block(&mut self, block: &mut [u8; BLOCK_BYTES]) -> Result<bool, HeaderError> {
        let mut filled = 0;
        while filled < BLOCK_BYTES {
            match self.input.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.position_bytes += BLOCK_BYTES as u64;
        Ok(true)
    }

    /// The content of GNU's entry for a long name; a zero ends it.
    fn long_name(&mut self, stored_bytes: u64) -> Result<Vec<u8>, HeaderError> {
        if stored_bytes > MAX_NAME_BYTES {
            return Err(HeaderError::Wrong("a name is longer than Linux has them"));
        }
        self.begin(stored_bytes);
        let mut name = Vec::new();
        self.read_to_end(&mut name)?;
        name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
        Ok(name)
    }

    /// Where a sparse file's data belongs: told in its header, and in blocks behind that; none if it has no hole.
    fn extents(
        &mut self,
        header: &Header,
        size_bytes: u64,
        stored_bytes: u64,
    ) -> Result<Option<Vec<Extent>>, HeaderError> {
        let gnu = header.as_gnu().ok_or(BAD_MAP)?;
        let mut extents = Vec::new();
        take_in(&mut extents, &gnu.sparse)?;
        let (mut is_extended, mut blocks) = (gnu.is_extended(), 0);
        while is_extended {
            blocks += 1;
            if blocks > MAX_MAP_BLOCKS {
                return Err(HeaderError::Wrong("it has too many holes"));
            }
            let mut more = GnuExtSparseHeader::new();
            if !self.block(more.as_mut_bytes())? {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            take_in(&mut extents, more.sparse())?;
            is_extended = more.is_extended();
        }
        let data_bytes = extents.iter().try_fold(0_u64, |sum, extent| sum.checked_add(extent.size_bytes));
        if data_bytes != Some(stored_bytes) || i64::try_from(size_bytes).is_err() {
            return Err(BAD_MAP);
        }
        if size_bytes == stored_bytes && extents.iter().all(|extent| extent.start_bytes == 0) {
            return Ok(None);
        }
        extents_flaw(&extents, size_bytes).map_or(Ok(Some(extents)), |flaw| Err(HeaderError::Wrong(flaw)))
    }
}

/// Adds what a block says of a sparse file's data.
fn take_in(extents: &mut Vec<Extent>, told: &[GnuSparseHeader]) -> Result<(), HeaderError> {
    let mut is_over = false;
    for one in told {
        if one.is_empty() {
            is_over = true;
            continue;
        }
        let (start_bytes, size_bytes) = one.offset().ok().zip(one.length().ok()).ok_or(BAD_MAP)?;
        if is_over {
            return Err(BAD_MAP);
        }
        match extents.last_mut() {
            Some(last) if last.start_bytes.checked_add(last.size_bytes) == Some(start_bytes) => {
                last.size_bytes = last.size_bytes.checked_add(size_bytes).ok_or(BAD_MAP)?;
            }
            // The end of a hole at the end.
            _ if size_bytes == 0 => {}
            _ => extents.push(Extent { start_bytes, size_bytes }),
        }
    }
    Ok(())
}

impl<R: Read> Read for GnuTar<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left_bytes).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.input.read(&mut buffer[..wanted])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left_bytes -= read as u64;
        self.position_bytes += read as u64;
        Ok(read)
    }
}
