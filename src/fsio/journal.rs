//! The journal of a partial file: which of its bytes a run wrote, for the next run to carry on from.
//!
//! A text file of one line a claim, only ever appended to. Bytes that were written survive the death of the process,
//! but not of the machine, before they are synced: so now and then the file is synced, and a line says up to where the
//! journal may be believed after another start of the system. A claim is a hint all the same: whoever reads the bytes
//! back hashes them before believing them. So a wrong one can't spoil a file; it costs a fetch of its whole blob, for a
//! blob has one digest. Where starts of the system can't be told apart, that is the price of a power cut.

use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::ranges::Ranges;

/// The file is synced after so many bytes were claimed.
const SYNC_EVERY_BYTES: u64 = 64 << 20;
/// What is less is not worth a file that lies about.
const WORTH_KEEPING_BYTES: u64 = 1 << 20;
/// No journal is longer: a line for each MiB of 4 TiB.
const MAX_BYTES: u64 = 256 << 20;

/// What a partial file has, written down beside it.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    data: Arc<File>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    length_bytes: u64,
    claims: Ranges,
    unsynced_bytes: u64,
    is_syncing: bool,
    /// The file will never be what it was to become.
    is_given_up: bool,
}

/// Which partial file a journal is of, and by whom it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// What the file is to become, by whoever writes it.
    pub(super) identity: String,
    /// The file itself, so that no other of its name is taken for it.
    pub(super) file: String,
    /// This start of the system.
    pub(super) boot: String,
    /// The process that writes it.
    pub(super) process: u32,
}

impl Header {
    fn line(&self) -> String {
        let Self { identity, file, boot, process } = self;
        format!("sealift-journal 1 {identity} {file} {boot} {process}\n")
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_suffix('\n')?.strip_prefix("sealift-journal 1 ")?.split(' ');
        let mut word = || words.next().map(str::to_owned);
        let (identity, file, boot) = (word()?, word()?, word()?);
        let header = Self { identity, file, boot, process: word()?.parse().ok()? };
        word().is_none().then_some(header)
    }
}

/// What a journal says.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) header: Header,
    pub(super) claims: Ranges,
}

/// Reads a journal; none if it is not one. Of a torn one what comes before the tear counts. `boot` is this start of the
/// system: after another only synced claims do.
pub(super) fn read(file: &File, boot: &str) -> Option<Contents> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    // What is torn may be no text at all.
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.split_inclusive('\n');
    let header = Header::parse(lines.next()?)?;
    let entries: Vec<(usize, Entry)> = lines
        .scan(header.line().len(), |position, line| {
            let entry = Entry::parse(line)?;
            let at = *position;
            *position += line.len();
            Some((at, entry))
        })
        .collect();
    let synced = entries.iter().filter_map(|(_, entry)| match entry {
        Entry::Synced(length) => usize::try_from(*length).ok(),
        _ => None,
    });
    // Where starts can't be told apart processes die more often than machines: all claims count.
    let believed = if header.boot == boot { usize::MAX } else { synced.max().unwrap_or(0) };
    let mut claims = Ranges::default();
    for (_, entry) in entries.into_iter().take_while(|(position, _)| *position < believed) {
        match entry {
            Entry::Written(range) => claims.insert(range),
            Entry::ThrownAway(range) => claims.remove(&range),
            Entry::Synced(_) => {}
        }
    }
    Some(Contents { header, claims })
}

enum Entry {
    Written(Range<u64>),
    ThrownAway(Range<u64>),
    Synced(u64),
}

impl Entry {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_suffix('\n')?.split(' ');
        let kind = words.next()?;
        let mut number = || words.next()?.parse::<u64>().ok();
        let entry = match kind {
            "+" | "-" => {
                let range = number()?..number()?;
                if range.start > range.end {
                    return None;
                }
                if kind == "+" { Self::Written(range) } else { Self::ThrownAway(range) }
            }
            "=" => Self::Synced(number()?),
            _ => return None,
        };
        words.next().is_none().then_some(entry)
    }
}

/// What stands for a start of the system where they can't be told apart (macOS, Windows).
const UNKNOWN_BOOT: &str = "-";

/// This start of the system.
pub(super) fn this_boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let id = id.trim();
    if id.is_empty() || id.contains(char::is_whitespace) { UNKNOWN_BOOT.to_owned() } else { id.to_owned() }
}

impl Journal {
    /// Begins a journal of `data` in the empty `file`, with what is claimed already.
    pub(super) fn begin(
        mut file: File,
        path: &Path,
        data: Arc<File>,
        header: &Header,
        claims: Ranges,
    ) -> io::Result<Self> {
        let mut text = header.line();
        text.extend(claims.iter().map(|range| line('+', range)));
        file.write_all(text.as_bytes())?;
        let state = State {
            file,
            length_bytes: text.len() as u64,
            unsynced_bytes: claims.bytes(),
            claims,
            is_syncing: false,
            is_given_up: false,
        };
        Ok(Self { path: path.to_owned(), data, state: Mutex::new(state) })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is claimed of the file.
    pub(super) fn claims(&self) -> Ranges {
        self.state().claims.clone()
    }

    /// True if there is enough to carry on from.
    pub(super) fn is_worth_keeping(&self) -> bool {
        self.state().claims.bytes() >= WORTH_KEEPING_BYTES
    }

    /// These bytes are written. A journal that can't be written only makes the next run fetch more.
    pub(super) fn claim(self: &Arc<Self>, range: Range<u64>) {
        let mut state = self.state();
        if state.is_given_up {
            return;
        }
        state.append(&line('+', &range));
        state.unsynced_bytes += range.end - range.start;
        state.claims.insert(range);
        if state.unsynced_bytes >= SYNC_EVERY_BYTES && !state.is_syncing {
            state.is_syncing = true;
            state.unsynced_bytes = 0;
            let (journal, length_bytes) = (Arc::clone(self), state.length_bytes);
            std::thread::spawn(move || {
                let synced = journal.data.sync_data();
                let mut state = journal.state();
                if synced.is_ok() {
                    state.append(&format!("= {length_bytes}\n"));
                }
                state.is_syncing = false;
            });
        }
    }

    /// These bytes are not what they should be.
    pub(super) fn throw_away(&self, range: &Range<u64>) {
        let mut state = self.state();
        state.append(&line('-', range));
        state.claims.remove(range);
    }

    /// The file will never be what it was to become: nothing in it counts, nor what is still being written to it.
    pub(super) fn give_up(&self) {
        let mut state = self.state();
        state.append(&line('-', &(0..u64::MAX)));
        state.claims = Ranges::default();
        state.is_given_up = true;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn append(&mut self, line: &str) {
        if self.file.write_all(line.as_bytes()).is_ok() {
            self.length_bytes += line.len() as u64;
        }
    }
}

fn line(sign: char, range: &Range<u64>) -> String {
    format!("{sign} {} {}\n", range.start, range.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, SeekFrom};

    fn header(boot: &str) -> Header {
        Header { identity: "id".into(), file: "1:2".into(), boot: boot.into(), process: 7 }
    }

    fn written(text: &str) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file
    }

    fn claims(text: &str, boot: &str) -> Vec<(u64, u64)> {
        let claims = read(&written(text), boot).map(|read| read.claims).unwrap_or_default();
        claims.iter().map(|range| (range.start, range.end)).collect()
    }

    #[test]
    fn what_was_claimed_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let open = || {
            std::fs::OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .unwrap()
        };
        let data = Arc::new(tempfile::tempfile().unwrap());
        let journal =
            Arc::new(Journal::begin(open(), &path, data, &header("boot"), Ranges::default()).unwrap());
        journal.claim(0..10);
        journal.claim(20..30);
        journal.throw_away(&(5..25));
        let read = read(&open(), "boot").unwrap();
        assert_eq!(read.header, header("boot"));
        assert_eq!(read.claims, journal.claims());
        assert_eq!(read.claims.iter().cloned().collect::<Vec<_>>(), [0..5, 25..30]);
        journal.give_up();
        journal.claim(40..50); // by a thread that was not through
        assert_eq!((journal.claims().bytes(), self::read(&open(), "boot").unwrap().claims.bytes()), (0, 0));
    }

    #[test]
    fn after_another_start_of_the_system_only_synced_claims_count() {
        let head = header("boot").line();
        let first = format!("{head}+ 0 10\n");
        let text = format!("{first}+ 10 20\n= {}\n+ 30 40\n", first.len());
        assert_eq!(claims(&text, "boot"), [(0, 20), (30, 40)]);
        assert_eq!(claims(&text, "another"), [(0, 10)]);
    }

    #[test]
    fn where_starts_of_the_system_can_not_be_told_apart_all_claims_count() {
        let text = format!("{}+ 0 10\n", header(UNKNOWN_BOOT).line());
        assert_eq!(claims(&text, UNKNOWN_BOOT), [(0, 10)]);
        assert_eq!(claims(&text, "boot"), [], "it can now");
    }

    #[test]
    fn a_torn_journal_counts_up_to_the_tear() {
        let head = header("boot").line();
        for tail in [
            "+ 10 2",
            "+ 10",
            "\0\0\0\n+ 1 2\n",
            "+ 9 1\n",
            "+ 1 2 3\n",
            "? 1 2\n",
            "+ 18446744073709551616 2\n",
        ] {
            assert_eq!(claims(&format!("{head}+ 0 10\n{tail}"), "boot"), [(0, 10)], "{tail:?}");
        }
        for bad in ["", "sealift-journal 2 a b c 1\n", "sealift-journal 1 a b c\n", &head[..head.len() - 1]] {
            assert!(read(&written(bad), "boot").is_none(), "{bad:?}");
        }
    }
}
