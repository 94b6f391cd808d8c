//! A reader whose bytes somebody else gets, too, and which knows what of its errors is no fault of the bytes.

use std::io::{self, ErrorKind, Read};

/// Hands on all that is read of it. Whoever inflates that takes any error for one of the packing; what the disk or the line
/// said is kept here.
pub(super) struct Tee<R, F> {
    reader: R,
    hand_on: F,
    failure: Option<io::Error>,
}

impl<R: Read, F: FnMut(&[u8]) -> io::Result<()>> Tee<R, F> {
    pub(super) fn new(reader: R, hand_on: F) -> Self {
        Self { reader, hand_on, failure: None }
    }

    /// Reads what is left. The error is the one that was kept, whenever that was.
    pub(super) fn finish(mut self) -> io::Result<()> {
        let rest = io::copy(&mut self, &mut io::sink());
        self.failure.map_or(rest.map(drop), Err)
    }
}

impl<R: Read, F: FnMut(&[u8]) -> io::Result<()>> Read for Tee<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer).and_then(|read| match read {
            0 => Ok(0),
            _ => (self.hand_on)(&buffer[..read]).map(|()| read),
        });
        match read {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                let kind = error.kind();
                self.failure = Some(error);
                Err(kind.into())
            }
            read => read,
        }
    }
}
