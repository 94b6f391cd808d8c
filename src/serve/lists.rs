//! A list of images, checked as it is typed: each line by the grammar that an export goes by.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::progress::with_causes;
use crate::image::Reference;
use crate::image::reference::{ReferenceError, ReferenceProblem};
use crate::image_list::{ImageList, ListError, ListKind, Note, is_yaml, without_comment};

/// What errors call it.
const LIST: &str = "the list";

/// What is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListRequest {
    pub(super) text: String,
}

/// What a list says.
#[derive(Default, Serialize)]
pub(super) struct CheckedList {
    kind: &'static str,
    images: Vec<CheckedImage>,
    notes: Vec<Told>,
    /// Why it can't be read.
    error: Option<Told>,
}

/// Something of a list as a whole, or of a place in it.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Told {
    /// The same in a word, for the page's other language.
    code: &'static str,
    line: Option<usize>,
    error: String,
}

#[derive(Serialize)]
struct CheckedImage {
    line: Option<usize>,
    text: String,
    image: Option<String>,
    error: Option<String>,
    /// The same in a word, for the page's other language.
    code: Option<&'static str>,
    column: Option<usize>,
    repeated: bool,
}

/// Reads a list; a plain one line by line, so that one that is wrong doesn't hide the others.
pub(super) fn check(text: &str) -> CheckedList {
    if is_yaml(text) {
        return of_yaml(text);
    }
    let mut known = HashSet::new();
    let lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    let images = lines.filter_map(|(index, line)| {
        let code = without_comment(line);
        let name = code.trim();
        (!name.is_empty()).then(|| {
            let before = code.len() - code.trim_start().len();
            checked(index + 1, code[..before].chars().count(), name, &mut known)
        })
    });
    CheckedList { kind: "plain", images: images.collect(), ..CheckedList::default() }
}

fn checked(line: usize, before: usize, name: &str, known: &mut HashSet<Reference>) -> CheckedImage {
    let read: Result<Reference, ReferenceError> = name.parse();
    let mut image = CheckedImage {
        line: Some(line),
        text: name.to_owned(),
        image: None,
        error: None,
        code: None,
        column: None,
        repeated: false,
    };
    match read {
        Ok(reference) => {
            image.image = Some(reference.to_string());
            image.repeated = !known.insert(reference);
        }
        Err(error) => {
            image.column = Some(before + name[..error.position].chars().count() + 1);
            image.error = Some(error.problem.to_string());
            image.code = Some(code(&error.problem));
        }
    }
    image
}

fn code(problem: &ReferenceProblem) -> &'static str {
    match problem {
        ReferenceProblem::NoName => "no_name",
        ReferenceProblem::UpperCase => "upper_case",
        ReferenceProblem::BadPathCharacter => "bad_character",
        ReferenceProblem::BadSeparator => "bad_separator",
        ReferenceProblem::EmptyComponent => "empty_part",
        ReferenceProblem::BadHost => "bad_host",
        ReferenceProblem::BadPort => "bad_port",
        ReferenceProblem::BadTag => "bad_tag",
        ReferenceProblem::BadDigest(_) => "bad_digest",
        ReferenceProblem::Credentials => "has_credentials",
        ReferenceProblem::Scheme => "has_scheme",
        ReferenceProblem::TooLong => "too_long",
        ReferenceProblem::LooksLikeId => "looks_like_id",
    }
}

fn of_yaml(text: &str) -> CheckedList {
    match ImageList::read(LIST, text.as_bytes()) {
        Ok(list) => CheckedList {
            kind: match list.kind {
                ListKind::Plain => "plain",
                ListKind::Yaml => "yaml",
            },
            images: list.references.iter().map(of_reference).collect(),
            notes: list.notes.iter().map(of_note).collect(),
            error: None,
        },
        Err(error) => {
            let notes = if let ListError::Empty { notes, .. } = &error { &notes[..] } else { &[] };
            let notes = notes.iter().map(of_note).collect();
            CheckedList { kind: "yaml", error: Some(of_error(&error)), notes, ..CheckedList::default() }
        }
    }
}

fn of_error(error: &ListError) -> Told {
    let (code, line) = match error {
        ListError::TooLarge { .. } => ("list_too_large", None),
        ListError::NotText { .. } => ("not_text", None),
        ListError::Empty { .. } => ("names_no_image", None),
        ListError::UnknownYaml { .. } => ("unknown_yaml", None),
        ListError::Yaml { line, .. } => ("bad_yaml", Some(*line)),
        ListError::Bound { line, .. } => ("out_of_bounds", Some(*line)),
        ListError::TooManyImages { place } => ("too_many_names", Some(place.line)),
        ListError::LongName { place } => ("too_long", Some(place.line)),
        ListError::Shape { place, .. } => ("not_expected", Some(place.line)),
        ListError::Unresolved { place, .. } => ("no_value", Some(place.line)),
        ListError::Reference { place, source } => (self::code(&source.problem), Some(place.line)),
    };
    Told { code, line, error: without_line(&with_causes(error), line) }
}

fn of_note(note: &Note) -> Told {
    let (code, place) = match note {
        Note::DefaultApplied { place, .. } => ("default_applied", place),
        Note::OnlyBuilt { place } => ("only_built", place),
        Note::WithoutImage { place } => ("without_image", place),
        Note::NotFollowed { place, .. } => ("not_followed", place),
    };
    let line = Some(place.line);
    Told { code, line, error: without_line(&note.to_string(), line) }
}

/// What is told of a place, without the list and the line, which are known.
fn without_line(text: &str, line: Option<usize>) -> String {
    let place = line.map(|line| format!("{LIST}, line {line}")).unwrap_or_default();
    text.strip_prefix(&place).unwrap_or(text).trim_start_matches([',', ':', ' ']).to_owned()
}

fn of_reference(reference: &Reference) -> CheckedImage {
    let text = reference.to_string();
    CheckedImage {
        line: None,
        image: Some(text.clone()),
        text,
        error: None,
        code: None,
        column: None,
        repeated: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_told_by_itself() {
        let checked = check("# images\nnginx:1  # web\n\n  redis:\nnginx:1\n");
        let told: Vec<_> = checked
            .images
            .iter()
            .map(|image| (image.line, image.image.as_deref(), image.column, image.repeated))
            .collect();
        assert_eq!(
            told,
            [
                (Some(2), Some("docker.io/library/nginx:1"), None, false),
                (Some(4), None, Some(9), false),
                (Some(5), Some("docker.io/library/nginx:1"), None, true),
            ]
        );
        assert_eq!(checked.images[1].code, Some("bad_tag"));
    }

    #[test]
    fn what_is_wrong_with_yaml_has_a_word_and_a_line() {
        let compose = check("services:\n  web:\n    image: nginx:1\n  db:\n    build: .\n");
        assert_eq!((compose.kind, compose.images.len()), ("yaml", 1));
        let skipped = "service `db`: skipped, it is built and has no `image`".to_owned();
        assert_eq!(compose.notes, [Told { code: "only_built", line: Some(5), error: skipped }]);
        for (text, code, line, error) in [
            ("services: [\n", "bad_yaml", Some(2), "column 1: "),
            ("a:\n  b: 1\n", "unknown_yaml", None, "the list is YAML, but"),
            ("services:\n  a:\n    build: .\n", "names_no_image", None, "the list names no image"),
            (
                "services:\n  a:\n    image: nginx:${TAG}\n",
                "no_value",
                Some(3),
                "service `a`: the variable `TAG`",
            ),
            (
                "services:\n  a:\n    image: nginx:-x\n",
                "bad_tag",
                Some(3),
                "service `a`: this is not an image: ",
            ),
            ("services: 7\n", "not_expected", Some(1), ""),
        ] {
            let told = check(text).error.unwrap();
            assert_eq!((told.code, told.line), (code, line), "{told:?}");
            assert!(told.error.starts_with(error), "{told:?}");
        }
    }
}
