//! Variables in names, by compose's rules: `$TAG`, `${TAG}`, `${TAG:-default}`, `$$` for a dollar.
//!
//! All variables are unset: the environment is never read, since a foreign file would choose what of it goes into a
//! request to a registry of its choice.

/// Deeper defaults within defaults are nobody's.
const MAX_DEPTH: usize = 8;

/// A name with its variables replaced.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Substituted {
    pub(super) text: String,
    /// Each variable that got its default, with it.
    pub(super) defaults: Vec<(String, String)>,
}

/// Why a name can't be had.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum VariableError {
    /// No value and no default; with what the file says to that.
    Unset { variable: String, asked: Option<String> },
    /// Not a form that compose knows.
    Malformed,
}

/// The first variable of `text`: compose's and the shell's, or a template's `{{ … }}`.
pub(super) fn first(text: &str) -> Option<&str> {
    if let Some(start) = text.find("{{") {
        let end = text[start..].find("}}").map_or(text.len(), |end| start + end + 2);
        return Some(&text[start..end]);
    }
    let after = &text[text.find('$')? + 1..];
    let name = name(after.strip_prefix(['{', '(']).unwrap_or(after));
    Some(if name.is_empty() { "$" } else { name })
}

/// Replaces variables as compose does, were all of them unset.
pub(super) fn substitute(text: &str) -> Result<Substituted, VariableError> {
    let mut substituted = Substituted::default();
    substituted.text = replace(text, 0, &mut substituted.defaults)?;
    Ok(substituted)
}

fn replace(text: &str, depth: usize, defaults: &mut Vec<(String, String)>) -> Result<String, VariableError> {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        replaced.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            replaced.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let end = closing_brace(after).ok_or(VariableError::Malformed)?;
            replaced.push_str(&braced(&after[..end], depth, defaults)?);
            rest = &after[end + 1..];
        } else {
            let variable = name(rest).to_owned();
            return Err(if variable.is_empty() {
                VariableError::Malformed
            } else {
                VariableError::Unset { variable, asked: None }
            });
        }
    }
    replaced.push_str(rest);
    Ok(replaced)
}

/// What `${inner}` stands for.
fn braced(inner: &str, depth: usize, defaults: &mut Vec<(String, String)>) -> Result<String, VariableError> {
    let variable = name(inner);
    if variable.is_empty() || depth == MAX_DEPTH {
        return Err(VariableError::Malformed);
    }
    let rest = &inner[variable.len()..];
    let operator = rest.strip_prefix(':').unwrap_or(rest);
    let unset = |asked| VariableError::Unset { variable: variable.to_owned(), asked };
    match operator.split_at_checked(1) {
        None if rest.is_empty() => Err(unset(None)),
        Some(("-", default)) => {
            let value = replace(default, depth + 1, defaults)?;
            defaults.push((variable.to_owned(), value.clone()));
            Ok(value)
        }
        Some(("+", _)) => Ok(String::new()),
        Some(("?", message)) => Err(unset(Some(message.to_owned()))),
        _ => Err(VariableError::Malformed),
    }
}

/// Where the brace that was opened before `text` closes.
fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' if text[..at].ends_with('$') => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The variable's name that `text` starts with; may be empty.
fn name(text: &str) -> &str {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
    if text.starts_with(|c: char| c.is_ascii_digit()) { "" } else { &text[..end] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_as_compose_does_with_none_of_them_set() {
        for (text, replaced) in [
            ("app:1", "app:1"),
            ("app:${TAG:-1.2}", "app:1.2"),
            ("app:${TAG-1.2}", "app:1.2"),
            ("${HOST:-h:5000}/app:${TAG:-1}", "h:5000/app:1"),
            ("app:${A:-${B:-3}}", "app:3"),
            ("app${SUFFIX:+-x}", "app"),
            ("app${SUFFIX:-}", "app"),
            ("a$$b$${C}", "a$b${C}"),
        ] {
            assert_eq!(substitute(text).unwrap().text, replaced, "{text}");
        }
        let defaults = substitute("${HOST:-h}/${A:-${B:-3}}").unwrap().defaults;
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(defaults, [pair("HOST", "h"), pair("B", "3"), pair("A", "3")]);
    }

    #[test]
    fn variables_without_a_default_are_named() {
        let unset = |variable: &str, asked: Option<&str>| {
            Err(VariableError::Unset { variable: variable.into(), asked: asked.map(str::to_owned) })
        };
        assert_eq!(substitute("app:$TAG-x"), unset("TAG", None));
        assert_eq!(substitute("app:${TAG}"), unset("TAG", None));
        assert_eq!(substitute("app:${TAG:?give a tag}"), unset("TAG", Some("give a tag")));
        assert_eq!(substitute("app:${A:-$B}"), unset("B", None));
        for bad in ["$", "${", "${}", "$1", "${A", "${A:}", "${A:é}", "${A/b/c}", "${A:-${B:-x}", "${é}"] {
            assert_eq!(substitute(bad), Err(VariableError::Malformed), "{bad}");
        }
        assert_eq!(substitute(&"${A:-".repeat(100)), Err(VariableError::Malformed));
        let deep = format!("{}{}", "${A:-".repeat(100), "}".repeat(100));
        assert_eq!(substitute(&deep), Err(VariableError::Malformed));
    }

    #[test]
    fn the_first_variable_is_told_by_its_name() {
        for (text, variable) in [
            ("app:$TAG", Some("TAG")),
            ("app:${TAG:=1}", Some("TAG")),
            ("app:$(TAG)", Some("TAG")),
            ("app:$", Some("$")),
            ("{{ .Values.image }}:1", Some("{{ .Values.image }}")),
            ("app:1", None),
        ] {
            assert_eq!(first(text), variable, "{text}");
        }
    }
}
