//! Challenges and their parameters, as `WWW-Authenticate` lists them: `Scheme key=value, key="value", Scheme …`.
//!
//! Threats: the text is foreign. Nothing is refused, what makes no sense is left out; how long it may be is the caller's
//! business.
//! Registries break the grammar of RFC 9110 section 11 (URLs and scopes without quotes, spaces in them, letters that
//! are no ASCII), so a parser that keeps to it loses whole challenges.

/// A scheme with its parameters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parameters<'a> {
    pub(super) scheme: &'a str,
    values: Vec<(&'a str, String)>,
}

impl Parameters<'_> {
    /// The parameter's value; an empty one is none.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let (_, value) = self.values.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }
}

/// The challenges of one header.
pub(super) fn challenges(text: &str) -> Vec<Parameters<'_>> {
    let mut challenges: Vec<Parameters<'_>> = Vec::new();
    let mut rest = text;
    loop {
        let before = rest.trim_start();
        let word_starts = before.trim_start_matches([',', ' ', '\t']);
        // A scheme stands at the start or after a comma; what else has no `=` (`Negotiate abc`) is its business.
        let may_be_scheme = rest.len() == text.len() || before.starts_with(',');
        let word = &word_starts[..word_end(word_starts)];
        let after = &word_starts[word.len()..];
        rest = if let Some(value) = after.trim_start().strip_prefix('=') {
            let (value, rest) = read_value(value.trim_start());
            if let Some(challenge) = challenges.last_mut() {
                challenge.values.push((word, value));
            }
            rest
        } else if word.is_empty() {
            // A stray quote.
            let mut characters = after.chars();
            if characters.next().is_none() {
                return challenges;
            }
            characters.as_str()
        } else {
            if may_be_scheme {
                challenges.push(Parameters { scheme: word, values: Vec::new() });
            }
            after
        };
    }
}

fn word_end(text: &str) -> usize {
    text.find([' ', '\t', ',', '=', '"']).unwrap_or(text.len())
}

/// A value, quoted or not, and what follows it.
fn read_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else { return read_unquoted(text) };
    let mut value = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => value.extend(characters.next()),
            _ => value.push(character),
        }
    }
    (value, characters.as_str())
}

/// Without quotes, a value ends at a comma, or at a space before the next `key=`.
fn read_unquoted(text: &str) -> (String, &str) {
    let is_parameter = |text: &str| {
        let text = text.trim_start();
        let end = word_end(text);
        end > 0 && text[end..].starts_with('=')
    };
    let ends = |(at, character): &(usize, char)| match character {
        ',' => true,
        ' ' | '\t' => is_parameter(&text[*at..]),
        _ => false,
    };
    let end = text.char_indices().find(ends).map_or(text.len(), |(at, _)| at);
    (text[..end].trim_end().to_owned(), &text[end..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<String> {
        let challenges = challenges(text);
        challenges.iter().map(|one| format!("{} {:?}", one.scheme, one.values)).collect()
    }

    #[test]
    fn challenges_are_told_apart() {
        for (text, expected) in [
            (r#"Basic realm="a, \"b\", c=d""#, &[r#"Basic [("realm", "a, \"b\", c=d")]"#][..]),
            ("Basic realm=My Registry , x = y", &[r#"Basic [("realm", "My Registry"), ("x", "y")]"#]),
            ("A a=1 b=2,B c=3", &[r#"A [("a", "1"), ("b", "2")]"#, r#"B [("c", "3")]"#]),
            (r#"A a="1" b="2""#, &[r#"A [("a", "1"), ("b", "2")]"#]),
            ("Negotiate abc==, Basic", &[r#"Negotiate [("abc", "=")]"#, "Basic []"]),
            ("Negotiate abc/+, Basic", &["Negotiate []", "Basic []"]),
            ("A,,B", &["A []", "B []"]),
            (r#"a=1, B c="unfinished"#, &[r#"B [("c", "unfinished")]"#]),
            (r#"A "junk" a=1"#, &[r#"A [("a", "1")]"#]),
            ("=,=", &[]),
            ("", &[]),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(text in "([A-Za-z]{1,3}|[=,\" \\\\é]){0,40}") {
            for challenge in challenges(&text) {
                prop_assert!(!challenge.scheme.is_empty() && text.contains(challenge.scheme));
            }
        }
    }
}
