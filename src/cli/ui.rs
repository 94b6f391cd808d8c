//! stdout is data, stderr is talk.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;

use sealift::foreign::steers;
use serde::Serialize;

use super::report::Failure;

/// Writes one line of data. A reader that went away (`| head`) is no error worth words.
pub(super) fn data(line: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::ReaderGone,
        _ => Failure::Other(anyhow::Error::new(error).context("cannot write to stdout")),
    })
}

/// Standard output for bytes: without the buffer that waits for the end of a line.
pub(super) fn raw_stdout() -> Result<impl Write + Send + 'static, Failure> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        let stdout = io::stdout().as_fd().try_clone_to_owned().map(std::fs::File::from);
        stdout.map_err(|error| Failure::Other(anyhow::Error::new(error).context("cannot write to stdout")))
    }
    #[cfg(not(unix))]
    Ok(io::stdout())
}

/// Writes one value as a line of JSON.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    data(&serde_json::to_string(value).map_err(|error| Failure::Other(error.into()))?)
}

/// Says one line to the person. Nobody listening is no reason to stop.
pub(super) fn talk(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", printable(line));
}

/// Text that may hold foreign words, without what would steer a terminal.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    let steers = |c: char| steers(c) && c != '\n';
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    text.chars().flat_map(|c| if steers(c) { c.escape_default().collect() } else { vec![c] }).collect()
}

/// A size as people read it.
pub(super) fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// A path as a shell takes it.
pub(super) fn shell_word(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) && !text.starts_with('-') {
        return text.into_owned();
    }
    let prefix = if text.starts_with('-') { "./" } else { "" };
    format!("'{prefix}{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_words_do_not_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\r\nc\u{9b}"), "a\\u{1b}[2Jb\\r\nc\\u{9b}");
        assert_eq!(printable("label\u{202e}gnp.exe"), "label\\u{202e}gnp.exe");
        assert!(matches!(printable("naïve\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn paths_are_quoted_where_a_shell_needs_it() {
        for (path, word) in [
            ("a/b_c-1.tar", "a/b_c-1.tar"),
            ("it's a.tar", r"'it'\''s a.tar'"),
            ("-x.tar", "'./-x.tar'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(Path::new(path)), word);
        }
    }
}
