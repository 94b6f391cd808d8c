//! What a daemon says while it loads: JSON values one after the other (Docker's `jsonmessage`), in pieces of any size.
//!
//! Threats: the words end on a terminal and are made fit to show; a value without end is not kept.

use serde::Deserialize;

use crate::foreign::shown;

/// No message is longer.
const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// The answer so far.
#[derive(Default)]
pub(super) struct Answer {
    unread: Vec<u8>,
    failure: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    stream: Option<String>,
    error: Option<String>,
    error_detail: Option<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    message: Option<String>,
}

impl Answer {
    /// Takes in what came.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        let mut values = serde_json::Deserializer::from_slice(&self.unread).into_iter::<Message>();
        for value in values.by_ref() {
            let failure = match value {
                Ok(message) => message.failure(),
                Err(error) if error.is_eof() && self.unread.len() <= MAX_MESSAGE_BYTES => break,
                Err(_) => Some(format!("an answer that can't be read: {}", first_line(&self.unread))),
            };
            // The first tells why; others follow from it.
            self.failure = self.failure.take().or(failure);
        }
        let read = values.byte_offset();
        self.unread.drain(..read);
        if self.failure.is_some() {
            self.unread.clear();
        }
    }

    /// What went wrong, in the daemon's own words.
    pub(super) fn failure(mut self) -> Option<String> {
        let is_cut = self.unread.iter().any(|byte| !byte.is_ascii_whitespace());
        self.failure.take().or_else(|| is_cut.then(|| "its answer ended in the middle".to_owned()))
    }

    /// True once the daemon has said what went wrong.
    pub(super) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }
}

impl Message {
    fn failure(self) -> Option<String> {
        let detail = self.error_detail.and_then(|detail| detail.message);
        // Docker 28 says "Loaded image", and then so, where layers can't be unpacked.
        let in_words = self.stream.filter(|words| words.trim_start().starts_with("Error "));
        let said = detail.or(self.error).or(in_words)?;
        Some(shown(said.trim()))
    }
}

fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]);
    shown(text.trim().lines().next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(pieces: &[&str]) -> Option<String> {
        let mut answer = Answer::default();
        for piece in pieces {
            answer.take(piece.as_bytes());
        }
        answer.failure()
    }

    #[test]
    fn answers_come_in_pieces() {
        let whole = "{\"status\":\"Loading layer\",\"progressDetail\":{\"current\":1,\"total\":2},\"id\":\"a\"}\r\n\
                     {\"stream\":\"Loaded image: busybox:latest\\n\"}\r\n";
        for at in 0..whole.len() {
            assert_eq!(failure(&[&whole[..at], &whole[at..]]), None);
        }
        assert_eq!(failure(&[]), None);
    }

    #[test]
    fn what_went_wrong_is_told_in_each_form() {
        for (answer, said) in [
            (
                r#"{"errorDetail":{"message":"no space left on device"},"error":"x"}"#,
                "no space left on device",
            ),
            (r#"{"error":"x\u001b[2J"}{"error":"y"}"#, r"x\u{1b}[2J"),
            (
                r#"{"stream":"Loaded image: a"}{"stream":"Error unpacking image a: y\n"}"#,
                "Error unpacking image a: y",
            ),
            (r#"{"stream":"Loaded"#, "its answer ended in the middle"),
            ("<html>", "an answer that can't be read: <html>"),
        ] {
            assert_eq!(failure(&[answer]).as_deref(), Some(said));
        }
    }
}
