//! Asking a person on a terminal; passwords without echo.

use std::io::{self, Read, Write};

use sealift::secret::Secret;

use super::report::Failure;

/// No answer is longer.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// A line, as it is typed.
pub(super) fn text(question: &str) -> Result<String, Failure> {
    ask(question)?;
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(unreadable)?;
    Ok(line.trim().to_owned())
}

/// A line that doesn't show. Ctrl-C ends the program with the terminal as it was.
#[cfg(unix)]
pub(super) fn password(question: &str) -> Result<Secret, Failure> {
    const END_OF_TEXT: u8 = 0x03;
    const END_OF_TRANSMISSION: u8 = 0x04;
    const BACKSPACE: [u8; 2] = [0x08, 0x7f];
    ask(question)?;
    let silent = Silent::new()?;
    let mut typed = Vec::new();
    // Unbuffered, so that nothing of the line after it is taken.
    let mut stdin = silent.terminal.try_clone().map_err(unreadable)?;
    let mut byte = [0];
    loop {
        if stdin.read(&mut byte).map_err(unreadable)? == 0 {
            break;
        }
        match byte[0] {
            b'\n' | b'\r' | END_OF_TRANSMISSION => break,
            END_OF_TEXT => return Err(Failure::Interrupted),
            byte if BACKSPACE.contains(&byte) => drop_last_character(&mut typed),
            byte if typed.len() < MAX_ANSWER_BYTES => typed.push(byte),
            _ => {}
        }
    }
    drop(silent);
    let text = String::from_utf8(typed)
        .map_err(|_| unreadable(io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8")))?;
    Ok(Secret::new(text))
}

/// A line that doesn't show: not here.
#[cfg(not(unix))]
pub(super) fn password(_question: &str) -> Result<Secret, Failure> {
    Err(Failure::LoginUsage("on this system, login needs --password-stdin or $SEALIFT_PASSWORD"))
}

#[cfg(unix)]
fn drop_last_character(typed: &mut Vec<u8>) {
    while typed.pop().is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000) {}
}

/// The terminal without echo and without signals, until it is dropped.
#[cfg(unix)]
struct Silent {
    terminal: std::fs::File,
    before: rustix::termios::Termios,
}

#[cfg(unix)]
impl Silent {
    fn new() -> Result<Self, Failure> {
        use std::os::fd::AsFd;

        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let terminal = io::stdin().as_fd().try_clone_to_owned().map_err(unreadable)?;
        let before = tcgetattr(&terminal).map_err(|errno| unreadable(errno.into()))?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG | LocalModes::ICANON);
        tcsetattr(&terminal, OptionalActions::Flush, &silent).map_err(|errno| unreadable(errno.into()))?;
        Ok(Self { terminal: terminal.into(), before })
    }
}

#[cfg(unix)]
impl Drop for Silent {
    fn drop(&mut self) {
        // A terminal that went away needs no echo.
        let _ =
            rustix::termios::tcsetattr(&self.terminal, rustix::termios::OptionalActions::Flush, &self.before);
        let _ = writeln!(io::stderr());
    }
}

fn ask(question: &str) -> Result<(), Failure> {
    let mut stderr = io::stderr();
    write!(stderr, "{question}").and_then(|()| stderr.flush()).map_err(unreadable)
}

fn unreadable(error: io::Error) -> Failure {
    Failure::Other(anyhow::Error::new(error).context("cannot ask on the terminal"))
}
