//! Values that must not reach a log, an error or a screen, redacted by their types.
//!
//! [`Secret`] shows as `***` whatever prints it; [`SafeUrl`] shows a URL without its credentials and query
//! (signed CDN links carry their key there). Whoever needs the real value asks for it by name.

use std::fmt;

use rustls::crypto::{GetRandomFailed, aws_lc_rs};
use url::Url;

/// A password or token. `Debug` and `Display` print `***`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself: only for the wire.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// A word that nobody can guess: 128 bits of the system's random numbers, in hexadecimal digits.
pub fn random_word() -> Result<String, GetRandomFailed> {
    let mut bytes = [0; 16];
    aws_lc_rs::default_provider().secure_random.fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// A URL that prints without user, password, query and fragment.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SafeUrl(Url);

impl SafeUrl {
    /// The URL itself: only for the wire.
    pub fn reveal(&self) -> &Url {
        &self.0
    }
}

impl From<Url> for SafeUrl {
    fn from(url: Url) -> Self {
        Self(url)
    }
}

impl fmt::Display for SafeUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        // Both fail only on URLs that can't have credentials.
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        shown.set_query(None);
        shown.set_fragment(None);
        shown.fmt(formatter)
    }
}

impl fmt::Debug for SafeUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_words_are_long_and_never_the_same() {
        let words: Vec<_> = (0..100).map(|_| random_word().unwrap()).collect();
        let different: std::collections::HashSet<_> = words.iter().collect();
        assert_eq!(different.len(), 100);
        assert!(
            words.iter().all(|word| word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit()))
        );
    }

    #[test]
    fn secrets_do_not_print() {
        let url = Url::parse("https://user:pass@cdn.example/blob?X-Amz-Signature=key#part").unwrap();
        assert_eq!(SafeUrl::from(url).to_string(), "https://cdn.example/blob");
        assert_eq!(format!("{0} {0:?}", Secret::new("hunter2")), "*** ***");
    }
}
