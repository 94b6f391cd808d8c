//! JSON that has one reading.
//!
//! Threats: Go's reader, with which Docker, containerd and podman read these documents, takes a key in any case
//! (`Layers` for `layers`) and of several the last; others take exact keys, and the first or none. A document with
//! both has two meanings: the layers that were verified and packed are not the ones that run. Such documents are
//! refused, as are arrays for objects, which serde would take and Go does not. Only the keys that sealift reads matter;
//! all others, annotations too, may be anything. A problem's text may repeat what stands there: it is cut.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::foreign::shown;

/// What is wrong with a JSON document, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at line {line} column {column}")]
pub struct JsonError {
    /// What is wrong there, fit to show.
    pub problem: String,
    /// The line, counted from 1; 0 where the place is not known.
    pub line: usize,
    /// The column, counted from 1; 0 at a line's end.
    pub column: usize,
    /// True where it is JSON, but not what is wanted.
    pub is_data: bool,
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let place = format!(" at line {line} column {column}");
        Self {
            problem: shown(text.strip_suffix(&place).unwrap_or(&text)),
            line,
            column,
            is_data: error.is_data(),
        }
    }
}

/// Where the keys are that sealift reads.
pub(crate) enum Shape {
    /// Whatever stands there is not looked into.
    Any,
    /// An object with these keys among others.
    Object(&'static [(&'static str, &'static Shape)]),
    /// An array.
    List(&'static Shape),
}

/// Refuses a document that has two readings.
pub(crate) fn check(json: &[u8], shape: &Shape) -> Result<(), JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    shape.deserialize(&mut deserializer)?;
    Ok(deserializer.end()?)
}

impl<'de> DeserializeSeed<'de> for &Shape {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self {
            Shape::Any => deserializer.deserialize_ignored_any(IgnoredAny).map(drop),
            Shape::Object(_) | Shape::List(_) => deserializer.deserialize_any(self),
        }
    }
}

/// What is of another type than the shape says is for the reader of the document to refuse.
impl<'de> Visitor<'de> for &Shape {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Shape::Any => "anything",
            Shape::Object(_) => "an object",
            Shape::List(_) => "an array",
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Shape::Object(known) = self else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        let mut seen = vec![false; known.len()];
        while let Some(key) = map.next_key_seed(Key)? {
            let Some(at) = known.iter().position(|(name, _)| is_in_any_case(&key, name)) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let (name, shape) = known[at];
            if key != name {
                let key = shown(&key);
                return Err(A::Error::custom(format_args!(
                    "the key `{key}` is `{name}` to some readers and nothing to others"
                )));
            }
            if std::mem::replace(&mut seen[at], true) {
                return Err(A::Error::custom(format_args!("the key `{name}` is there twice")));
            }
            map.next_value_seed(shape)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let items = match self {
            Shape::Any => &Shape::Any,
            Shape::Object(_) => return Err(A::Error::custom("an array stands where an object belongs")),
            Shape::List(items) => *items,
        };
        while list.next_element_seed(items)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A key as Go reads it: what is not UTF-8 in it is replaced.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Key {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_bytes<E>(self, key: &[u8]) -> Result<String, E> {
        Ok(String::from_utf8_lossy(key).into_owned())
    }

    fn visit_str<E>(self, key: &str) -> Result<String, E> {
        Ok(key.to_owned())
    }
}

/// True if Go takes `key` for `name`, which is ASCII: letters of both cases are one, and so are the two others that
/// Unicode folds to ASCII (long s, Kelvin sign).
fn is_in_any_case(key: &str, name: &str) -> bool {
    let fold = |character: char| match character {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    key.chars().map(fold).eq(name.chars().map(fold))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape::Object(&[("layers", &Shape::List(&Shape::Object(&[("size", &Shape::Any)])))]);

    fn refusal(json: impl AsRef<[u8]>) -> Option<String> {
        check(json.as_ref(), &SHAPE).err().map(|error| error.to_string())
    }

    #[test]
    fn one_reading_is_taken_whatever_else_is_there() {
        for json in [
            r#"{"layers":[{"size":1,"x":1,"X":2,"x":3}],"annotations":{"layers":1,"Layers":2,"layers":3}}"#,
            r#"{"layers":null}"#,
            r#"{"layers":5,"number":1e999}"#,
            r#"{"layers":{"size":1}}"#,
            r#"{"layers":[null,5,"x",true]}"#,
            "\t{} \r\n",
            r#"{"\ud800":1,"layer":2,"layerss":3}"#,
        ] {
            assert_eq!(refusal(json), None, "{json}");
        }
        assert_eq!(refusal(b"{\"lay\xffers\":1}"), None);
    }

    #[test]
    fn two_readings_are_refused() {
        for json in [
            r#"{"layers":[],"layers":[]}"#,
            r#"{"layers":[],"Layers":[]}"#,
            r#"{"LAYERS":[]}"#,
            r#"{"layer\u0073":[],"layers":[]}"#,
            r#"{"layer\u017f":[]}"#,
            r#"{"layers":[{"size":1,"SIZE":2}]}"#,
            r#"{"layers":[{"size":1},{"\u0073ize":2,"size":1}]}"#,
            r#"{"layers":[[1]]}"#,
            "[]",
        ] {
            assert!(refusal(json).is_some(), "{json}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for json in
            ["", "\u{feff}{}", "{} {}", "{},", "{\"layers\":[}", "nan", "{\"layers\":NaN}", "{'layers':1}"]
        {
            let error = check(json.as_bytes(), &SHAPE).unwrap_err();
            assert!(!error.is_data, "{json}: {error}");
        }
        for deep in ["[".repeat(1 << 20), "{\"layers\":[".repeat(1 << 18), "{\"a\":".repeat(1 << 18)] {
            assert!(refusal(deep).is_some());
        }
        assert_eq!(refusal(format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000))), None);
    }

    #[test]
    fn long_texts_in_a_problem_are_cut() {
        let error: serde_json::Error =
            serde_json::from_str::<u64>(&format!("\"{}\u{202e}\"", "x".repeat(1000))).unwrap_err();
        let problem = JsonError::from(error).to_string();
        assert!(problem.len() < 250 && problem.ends_with("… at line 1 column 1005"), "{problem}");
    }
}
