//! Editing docker's config.json: one entry of `auths` is put in or taken out, and all else stays as it stands there.
//!
//! Threats: the file belongs to docker and holds what we don't know, so keys keep their order and their values' text,
//! byte for byte; what can't be read is never overwritten. Content never reaches an error.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON object whose keys keep their order and whose values keep their text.
#[derive(Default)]
pub(super) struct Ordered(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Ordered;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

impl Ordered {
    fn place_of(&self, key: &str) -> Option<usize> {
        // Of a key that is there twice the last one counts, as for Go.
        self.0.iter().rposition(|(found, _)| found == key)
    }

    fn put(&mut self, key: &str, value: Box<RawValue>) {
        match self.place_of(key) {
            Some(place) => self.0[place].1 = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// As docker writes it: tabs, an entry a line. Values are set in as they are.
    fn write(&self, depth: usize) -> Result<String, serde_json::Error> {
        if self.0.is_empty() {
            return Ok("{}".to_owned());
        }
        let (outer, inner) = ("\t".repeat(depth), "\t".repeat(depth + 1));
        let entry = |(key, value): &(String, Box<RawValue>)| {
            Ok(format!("{inner}{}: {}", serde_json::to_string(key)?, value.get()))
        };
        let entries = self.0.iter().map(entry).collect::<Result<Vec<_>, serde_json::Error>>()?;
        Ok(format!("{{\n{}\n{outer}}}", entries.join(",\n")))
    }
}

/// What becomes of an entry of `auths`.
pub(super) enum Change<'a> {
    /// This `auth` (base64 of `user:password`) is put in.
    Auth(&'a str),
    /// An identity token is put in, in the place of user and password.
    IdentityToken(&'a str),
    /// The entry is there and empty: a credential helper has the rest.
    Elsewhere,
    /// It is taken out.
    Remove,
}

/// `text`, a config.json, with the entry `key` of `auths` changed; other keys for which `is_same` holds go. True if an
/// entry was there.
pub(super) fn edit(
    text: &str,
    key: &str,
    is_same: impl Fn(&str) -> bool,
    change: &Change<'_>,
) -> Result<(String, bool), serde_json::Error> {
    let mut file: Ordered =
        if text.trim().is_empty() { Ordered::default() } else { serde_json::from_str(text)? };
    let mut auths = match file.place_of("auths") {
        Some(place) => serde_json::from_str::<Option<Ordered>>(file.0[place].1.get())?.unwrap_or_default(),
        None => Ordered::default(),
    };
    let was_there = auths.0.iter().any(|(found, _)| is_same(found));
    let keeps = |found: &str| !is_same(found) || (found == key && !matches!(change, Change::Remove));
    auths.0.retain(|(found, _)| keeps(found));
    let field = |name: &str, value: &str| {
        Ok::<_, serde_json::Error>(format!("{{\n\t\t\t\"{name}\": {}\n\t\t}}", serde_json::to_string(value)?))
    };
    let entry = match change {
        Change::Auth(auth) => Some(field("auth", auth)?),
        Change::IdentityToken(token) => Some(field("identitytoken", token)?),
        Change::Elsewhere => Some("{}".to_owned()),
        Change::Remove => None,
    };
    if let Some(entry) = entry {
        auths.put(key, RawValue::from_string(entry)?);
    }
    file.put("auths", RawValue::from_string(auths.write(1)?)?);
    Ok((file.write(0)? + "\n", was_there))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{
	"psFormat": "table {{.ID}}\t<x>",
	"auths": {
		"z.example": {
			"auth": "eg=="
		},
		"https://reg.example/v1/": {"auth": "b2xk"},
		"a.example": {}
	},
	"HttpHeaders": { "B": 1.0, "A": 1e3 }
}"#;

    fn edited(text: &str, change: &Change<'_>) -> (String, bool) {
        edit(text, "reg.example", |key| key.contains("reg.example"), change).unwrap()
    }

    #[test]
    fn all_else_stays_as_it_stands() {
        insta::assert_snapshot!(edited(FILE, &Change::Auth("dTpw")).0, @r#"
        {
        	"psFormat": "table {{.ID}}\t<x>",
        	"auths": {
        		"z.example": {
        			"auth": "eg=="
        		},
        		"a.example": {},
        		"reg.example": {
        			"auth": "dTpw"
        		}
        	},
        	"HttpHeaders": { "B": 1.0, "A": 1e3 }
        }
        "#);
        let (removed, was_there) = edited(FILE, &Change::Remove);
        assert!(was_there && !removed.contains("reg.example") && removed.contains("z.example"));
        assert!(!edited(&removed, &Change::Remove).1);
    }

    #[test]
    fn a_new_file_is_made_and_a_broken_one_is_left() {
        for empty in ["", "{}", r#"{"auths":null}"#] {
            let (text, was_there) = edited(empty, &Change::Elsewhere);
            assert_eq!(text, "{\n\t\"auths\": {\n\t\t\"reg.example\": {}\n\t}\n}\n");
            assert!(!was_there);
        }
        for broken in ["[]", "{", r#"{"auths":[]}"#, "{} {}"] {
            assert!(edit(broken, "a", |key| key == "a", &Change::Remove).is_err(), "{broken}");
        }
    }
}
