//! What holds for every text that sealift shows.

use std::fmt::Display;

/// Messages of foreign input are short, and nothing in them steers a terminal.
pub(crate) fn check_message(message: &dyn Display) {
    let text = message.to_string();
    assert!(!text.chars().any(char::is_control), "a control character in {text:?}");
    assert!(
        !text.contains(['\u{202e}', '\u{2066}', '\u{200f}', '\u{feff}']),
        "a bidirectional mark in {text:?}"
    );
    assert!(text.chars().count() < 4096, "a message of {} characters", text.chars().count());
}

/// The same for an error and its causes.
pub(crate) fn check_error(error: &dyn std::error::Error) {
    let mut next = Some(error);
    while let Some(error) = next {
        check_message(&error);
        next = error.source();
    }
}
