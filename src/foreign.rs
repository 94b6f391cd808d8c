//! Foreign words made fit to show.
//!
//! Registries, files and servers name things in texts of their own, which end up in messages, and so on a terminal.
//! What could steer it (control characters) or turn the line around (bidirectional marks) is escaped, and long texts
//! are cut. Letters of any script stay as they are.

use std::path::Path;

/// The most characters of a foreign text that are shown.
const MAX_SHOWN: usize = 160;

/// `text` as it may stand in a message: on one line, escaped, and cut after 160 characters with `…`.
pub fn shown(text: &str) -> String {
    let mut shown = escaped(text.chars().take(MAX_SHOWN));
    if text.chars().nth(MAX_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// A path as it may stand in a message: as [`shown`], but whole, so that its file can be found.
pub fn shown_path(path: &Path) -> String {
    escaped(path.to_string_lossy().chars())
}

fn escaped(text: impl Iterator<Item = char>) -> String {
    let mut escaped = String::new();
    for character in text {
        if steers(character) {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// The name of a host as it may stand in a message: as [`shown`], without what stands before an `@`. That may be user
/// and password, and messages end in logs.
pub fn shown_host(text: &str) -> String {
    match text.rfind('@') {
        Some(at) => format!("…{}", shown(&text[at..])),
        None => shown(text),
    }
}

/// True for what a terminal obeys instead of showing.
pub fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character,
            // Marks, embeddings, overrides and isolates of the bidirectional algorithm.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Line and paragraph separators.
            | '\u{2028}' | '\u{2029}'
            // Zero-width space, byte order mark: two names that differ would look alike.
            | '\u{200b}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_words_can_not_steer_a_terminal() {
        assert_eq!(shown("\u{1b}[2J\r\n\u{9b}1m"), r"\u{1b}[2J\r\n\u{9b}1m");
        assert_eq!(shown("a\u{202e}b\u{2066}c\u{200f}d"), r"a\u{202e}b\u{2066}c\u{200f}d");
    }

    #[test]
    fn paths_are_shown_whole_and_on_one_line() {
        let long = "d/".repeat(200);
        assert_eq!(shown_path(Path::new(&format!("{long}x\nhint: y"))), format!(r"{long}x\nhint: y"));
    }

    #[test]
    fn user_and_password_before_a_host_are_left_out() {
        assert_eq!(shown_host("https://me:hun@ter2@reg.example\n"), r"…@reg.example\n");
        assert_eq!(shown_host("reg.example:x"), "reg.example:x");
    }

    #[test]
    fn letters_and_quotes_stay() {
        assert_eq!(shown(r#"Übung: "нет" C:\x 日本 it's"#), r#"Übung: "нет" C:\x 日本 it's"#);
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(shown(&"é".repeat(160)), "é".repeat(160));
        assert_eq!(shown(&"é".repeat(161)), format!("{}…", "é".repeat(160)));
    }
}
