//! `WWW-Authenticate`: how a registry wants to be asked (RFC 9110 section 11; distribution's token specification).
//!
//! Threats: the header is foreign. It names the URL that credentials are sent to, so only whole, well-formed
//! challenges count, and whether that URL may have them is decided in [`super::token`].

use http_auth::ChallengeParser;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use url::Url;

use crate::foreign::shown;

/// What a registry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token of a token server.
    Bearer(Bearer),
    /// User name and password.
    Basic,
}

/// A `Bearer` challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bearer {
    /// The token server.
    pub(super) realm: Url,
    /// Whom the token is for.
    pub(super) service: Option<String>,
    /// What it is to allow, e.g. `repository:library/busybox:pull`.
    pub(super) scope: Option<String>,
    /// Why a token that was sent did not do.
    pub(super) error: Option<String>,
}

/// The challenge to answer: Bearer before Basic; none where there is no challenge at all. Otherwise the schemes that
/// were offered instead, for a message.
pub(super) fn of(headers: &HeaderMap) -> Result<Option<Challenge>, String> {
    let mut offered = Vec::new();
    let mut basic = false;
    for header in headers.get_all(WWW_AUTHENTICATE) {
        let Ok(text) = header.to_str() else { continue };
        for challenge in ChallengeParser::new(text).map_while(Result::ok) {
            if challenge.scheme.eq_ignore_ascii_case("bearer") {
                let value = |name: &str| {
                    let mut params = challenge.params.iter();
                    let (_, value) = params.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
                    Some(value.to_unescaped()).filter(|value| !value.is_empty())
                };
                if let Some(realm) = value("realm").as_deref().and_then(realm) {
                    return Ok(Some(Challenge::Bearer(Bearer {
                        realm,
                        service: value("service"),
                        scope: value("scope"),
                        error: value("error"),
                    })));
                }
            }
            basic |= challenge.scheme.eq_ignore_ascii_case("basic");
            offered.push(format!("`{}`", shown(challenge.scheme)));
        }
    }
    match (basic, offered.is_empty()) {
        (true, _) => Ok(Some(Challenge::Basic)),
        (false, true) => Ok(None),
        (false, false) => Err(offered.join(", ")),
    }
}

fn realm(text: &str) -> Option<Url> {
    let mut realm = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    // reqwest would make an Authorization header of these.
    let _ = realm.set_username("");
    let _ = realm.set_password(None);
    realm.set_fragment(None);
    Some(realm)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn read(headers: &[&'static str]) -> Result<Option<Challenge>, String> {
        of(&headers.iter().map(|text| (WWW_AUTHENTICATE, HeaderValue::from_static(text))).collect())
    }

    fn bearer(headers: &[&'static str]) -> Bearer {
        match read(headers) {
            Ok(Some(Challenge::Bearer(bearer))) => bearer,
            other => panic!("{headers:?}: {other:?}"),
        }
    }

    #[test]
    fn challenges_are_read_whatever_their_form() {
        let hub = bearer(&[
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push repository:c:pull",error="insufficient_scope""#,
        ]);
        assert_eq!(hub.realm.as_str(), "https://auth.docker.io/token");
        assert_eq!(hub.service.as_deref(), Some("registry.docker.io"));
        assert_eq!(hub.scope.as_deref(), Some("repository:a/b:pull,push repository:c:pull"));
        assert_eq!(hub.error.as_deref(), Some("insufficient_scope"));

        let odd = bearer(&[r#"bEARER Realm="https://a.example/t", Service=plain"#]);
        assert_eq!((odd.service.as_deref(), odd.scope), (Some("plain"), None));
        assert_eq!(
            bearer(&[r#"Bearer realm="https://u:p@a.example/t""#]).realm.as_str(),
            "https://a.example/t"
        );
    }

    #[test]
    fn bearer_goes_before_basic() {
        let bearer = r#"Bearer realm="https://a.example/t""#;
        for headers in [
            &[r#"Basic realm="r", Bearer realm="https://a.example/t""#][..],
            &[r#"Basic realm="r""#, bearer],
            &[bearer, r#"Basic realm="r""#],
        ] {
            assert!(matches!(read(headers), Ok(Some(Challenge::Bearer(_)))), "{headers:?}");
        }
        assert_eq!(read(&[r#"BASIC realm="r""#]), Ok(Some(Challenge::Basic)));
        // A realm that is no URL can't be asked; Basic still can.
        assert_eq!(read(&[r#"Bearer realm="/token", Basic realm="r""#]), Ok(Some(Challenge::Basic)));
    }

    #[test]
    fn what_else_is_offered_is_told() {
        assert_eq!(read(&["Negotiate, Digest realm=\"r\""]), Err("`Negotiate`, `Digest`".to_owned()));
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["=,="]), Ok(None));
    }
}
