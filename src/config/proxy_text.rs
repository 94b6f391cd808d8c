//! A proxy as config.json has it: a text that may hold a password, so it is written and shown without.

use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use crate::secret::{SafeUrl, Secret};

/// A proxy's URL, or `direct`. What it means, [`crate::registry::ProxyRules`] decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyText(Secret);

impl ProxyText {
    /// The text itself: only for the wire.
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }
}

impl<'de> Deserialize<'de> for ProxyText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // serde would quote a value of another type in its error; that one may be a secret just as well.
        let text = serde_json::Value::deserialize(deserializer)?;
        let text = text.as_str().ok_or_else(|| serde::de::Error::custom("a proxy is a text"))?;
        Ok(Self(Secret::new(text)))
    }
}

impl Serialize for ProxyText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.reveal();
        match Url::parse(text) {
            Ok(url) if url.has_host() => serializer.collect_str(&SafeUrl::from(url)),
            _ if text.contains('@') => serializer.serialize_str("***"),
            _ => serializer.serialize_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxys_password_is_read_and_not_shown() {
        for (text, shown) in [
            ("http://user:hunter2@proxy:3128", "http://proxy:3128/"),
            ("user:hunter2@proxy:3128", "***"),
            ("proxy:3128", "proxy:3128"),
            ("direct", "direct"),
        ] {
            let json = serde_json::to_string(text).unwrap();
            let read: ProxyText = serde_json::from_str(&json).unwrap();
            assert_eq!(read.reveal(), text);
            assert_eq!(serde_json::to_value(&read).unwrap(), shown);
            assert!(!format!("{read:?}").contains("hunter2"));
        }
        let error = serde_json::from_str::<ProxyText>(r#"["hunter2"]"#).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
