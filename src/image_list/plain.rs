//! A plain list: a name a line; `#` starts a comment at the start of a line or after a space.

use super::{Found, ListError};

pub(super) fn read(text: &str, found: &mut Found<'_>) -> Result<(), ListError> {
    for (index, line) in text.lines().enumerate() {
        let name = without_comment(line).trim();
        if !name.is_empty() {
            let place = found.place(index + 1, None);
            found.add(place, name)?;
        }
    }
    Ok(())
}

/// A line up to its comment.
pub fn without_comment(line: &str) -> &str {
    let starts_comment =
        |(at, _): &(usize, &str)| line[..*at].chars().next_back().is_none_or(char::is_whitespace);
    line.match_indices('#').find(starts_comment).map_or(line, |(at, _)| &line[..at])
}
