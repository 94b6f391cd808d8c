//! JSON as Go's `encoding/json` reads it into a struct, which is how Docker, containerd and podman read what sealift
//! passes on: keys in any case, of several the last, no UTF-8 needed. What sealift accepts it reads as they do.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

/// A value, its keys in order and all of them.
#[derive(Debug)]
pub(crate) enum Go {
    Nothing,
    Bool,
    Fraction,
    Integer(i128),
    Text(String),
    List(Vec<Go>),
    Object(Vec<(String, Go)>),
}

impl Go {
    /// Reads a document; `None` where it is none, or has what this reader has no room for.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_str(&String::from_utf8_lossy(bytes)).ok()
    }

    /// The field of a struct that has the tag `name`.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        let Self::Object(entries) = self else { return None };
        entries.iter().rev().find(|(key, _)| same(key, name)).map(|(_, value)| value)
    }

    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(crate) fn integer(&self) -> Option<i128> {
        if let Self::Integer(integer) = self { Some(*integer) } else { None }
    }

    pub(crate) fn items(&self) -> &[Self] {
        if let Self::List(items) = self { items } else { &[] }
    }
}

/// `strings.EqualFold`, for one name in ASCII.
fn same(key: &str, name: &str) -> bool {
    let fold = |c: char| {
        let mut upper = c.to_uppercase();
        let upper = if upper.len() == 1 && c != '\u{131}' { upper.next().unwrap_or(c) } else { c };
        let mut lower = upper.to_lowercase();
        if lower.len() == 1 { lower.next().unwrap_or(c) } else { c }
    };
    key.chars().map(fold).eq(name.chars().map(fold))
}

impl<'de> Deserialize<'de> for Go {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(GoVisitor)
    }
}

struct GoVisitor;

impl<'de> Visitor<'de> for GoVisitor {
    type Value = Go;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Go, E> {
        Ok(Go::Nothing)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Go, E> {
        Ok(Go::Bool)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Go, E> {
        Ok(Go::Fraction)
    }

    fn visit_i64<E>(self, integer: i64) -> Result<Go, E> {
        Ok(Go::Integer(integer.into()))
    }

    fn visit_u64<E>(self, integer: u64) -> Result<Go, E> {
        Ok(Go::Integer(integer.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Go, E> {
        Ok(Go::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Go, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Go::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Go, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Go::Object(entries))
    }
}
