//! `WWW-Authenticate`: how a registry wants to be asked (RFC 9110 section 11; distribution's token specification).
//!
//! Threats: the header is foreign, and names the URL that credentials are sent to; whether that URL may have them is
//! decided in [`super::token`]. It is read as registries write it, not as the grammar wants it: [`super::parameters`]
//! tells the challenges apart, and one that can't be used takes no other with it.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use url::Url;

use crate::foreign::shown;

use super::parameters;

/// The most of a header that is read.
const MAX_HEADER_BYTES: usize = 8 << 10;

/// The most scopes that are merged: one repository has few.
const MAX_SCOPES: usize = 8;

/// What a registry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token of a token server.
    Bearer(Bearer),
    /// User name and password.
    Basic,
}

impl Challenge {
    /// The challenge for whatever will be asked for: what `/v2/` names as scope is an example (GHCR: `repository:user/image:pull`).
    pub(super) fn without_scope(self) -> Self {
        match self {
            Self::Bearer(bearer) => Self::Bearer(Bearer { scope: None, ..bearer }),
            Self::Basic => Self::Basic,
        }
    }

    /// This challenge, for what `scope` lists and what it asks for beyond that.
    pub(super) fn with_scope(self, scope: &str) -> Self {
        match self {
            Self::Bearer(bearer) => {
                let named = bearer.scope.as_deref().unwrap_or_default().split_ascii_whitespace();
                let more = named.filter(|named| !scope.split(' ').any(|ours| allows(ours, named)));
                let scopes: Vec<_> = scope.split(' ').chain(more).take(MAX_SCOPES).collect();
                Self::Bearer(Bearer { scope: Some(scopes.join(" ")), ..bearer })
            }
            Self::Basic => Self::Basic,
        }
    }

    /// This challenge, for what `former` asked for as well: a registry may want one scope for a manifest and another
    /// for its blobs, and a token for each in turn would be refused in turn.
    pub(super) fn merged_with(self, former: Self) -> Self {
        match (self, former) {
            (Self::Bearer(mut bearer), Self::Bearer(former))
                if (&bearer.realm, &bearer.service) == (&former.realm, &former.service) =>
            {
                let mut scopes: Vec<&str> = Vec::new();
                for scope in [&bearer.scope, &former.scope].into_iter().flatten() {
                    for scope in scope.split_ascii_whitespace() {
                        if scopes.len() < MAX_SCOPES && !scopes.contains(&scope) {
                            scopes.push(scope);
                        }
                    }
                }
                bearer.scope = (!scopes.is_empty()).then(|| scopes.join(" "));
                Self::Bearer(bearer)
            }
            (challenge, _) => challenge,
        }
    }
}

/// True if a token for the scope `one` (`repository:NAME:pull,push`) allows all of `other`.
fn allows(one: &str, other: &str) -> bool {
    match (one.rsplit_once(':'), other.rsplit_once(':')) {
        (Some((of_one, allowed)), Some((of_other, wanted))) => {
            let is_allowed = |action| allowed.split(',').any(|allowed| allowed == action);
            of_one == of_other && wanted.split(',').all(is_allowed)
        }
        _ => one == other,
    }
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
}

/// Why there is no challenge to answer. The texts are fit to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unanswerable {
    /// Only these other schemes are offered.
    Offered(String),
    /// The header, which makes no sense.
    Unreadable(String),
}

/// The challenge of the answer from `url`, Bearer before Basic; none where there is no such header at all.
pub(super) fn of(headers: &HeaderMap, url: &Url) -> Result<Option<Challenge>, Unanswerable> {
    let mut others = Vec::new();
    let mut unreadable = None;
    let mut basic = false;
    for header in headers.get_all(WWW_AUTHENTICATE) {
        let bytes = header.as_bytes();
        let text = decode(&bytes[..bytes.len().min(MAX_HEADER_BYTES)]);
        let mut understood = false;
        for challenge in parameters::challenges(&text) {
            if challenge.scheme.eq_ignore_ascii_case("bearer") {
                if let Some(realm) = challenge.value("realm").and_then(|text| realm(text, url)) {
                    let value = |name| challenge.value(name).map(str::to_owned);
                    let (service, scope) = (value("service"), value("scope"));
                    return Ok(Some(Challenge::Bearer(Bearer { realm, service, scope })));
                }
            } else {
                understood = true;
                if challenge.scheme.eq_ignore_ascii_case("basic") {
                    basic = true;
                } else {
                    others.push(format!("`{}`", shown(challenge.scheme)));
                }
            }
        }
        if !understood {
            unreadable.get_or_insert_with(|| shown(&text));
        }
    }
    match (basic, unreadable) {
        (true, _) => Ok(Some(Challenge::Basic)),
        (false, Some(text)) => Err(Unanswerable::Unreadable(text)),
        (false, None) if others.is_empty() => Ok(None),
        (false, None) => Err(Unanswerable::Offered(others.join(", "))),
    }
}

/// Headers are bytes: UTF-8, or else Latin-1, as they once were (RFC 9110 section 5.5).
fn decode(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| bytes.iter().copied().map(char::from).collect(), str::to_owned)
}

/// A realm's URL; a path is one of the server that names it.
fn realm(text: &str, url: &Url) -> Option<Url> {
    let realm = if text.starts_with('/') { url.join(text) } else { Url::parse(text) };
    let mut realm = realm.ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
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

    fn read(headers: &[&'static str]) -> Result<Option<Challenge>, Unanswerable> {
        let headers = headers.iter().map(|text| HeaderValue::from_bytes(text.as_bytes()).unwrap());
        let url = Url::parse("https://reg.example/v2/x/manifests/1").unwrap();
        of(&headers.map(|value| (WWW_AUTHENTICATE, value)).collect(), &url)
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
        assert_eq!(read(&[r#"Bearer realm="token", Basic realm="r""#]), Ok(Some(Challenge::Basic)));
    }

    #[test]
    fn one_that_breaks_the_grammar_is_read_too() {
        let unquoted =
            bearer(&["Bearer realm=https://a.example/t,service=host:5000,scope=repository:x:pull"]);
        assert_eq!(unquoted.realm.as_str(), "https://a.example/t");
        assert_eq!(unquoted.service.as_deref(), Some("host:5000"));
        assert_eq!(unquoted.scope.as_deref(), Some("repository:x:pull"));
        for basic in [
            "Basic realm=\"Übung\"",
            "Basic realm=My Registry",
            "Basic",
            "Negotiate abc==, Basic realm=x",
            "Bearer, Basic",
            "=, Basic realm=\"r\"",
        ] {
            assert_eq!(read(&[basic]), Ok(Some(Challenge::Basic)), "{basic}");
        }
        let latin1 = HeaderValue::from_bytes(b"Basic realm=\"\xdcbung\"").unwrap();
        let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, latin1)]);
        let url = Url::parse("https://reg.example/").unwrap();
        assert_eq!(of(&headers, &url), Ok(Some(Challenge::Basic)));
    }

    #[test]
    fn a_realm_may_be_a_path_of_the_registry() {
        assert_eq!(bearer(&[r#"Bearer realm="/token""#]).realm.as_str(), "https://reg.example/token");
        assert_eq!(bearer(&[r#"Bearer realm="//a.example/t""#]).realm.as_str(), "https://a.example/t");
    }

    #[test]
    fn scopes_of_one_token_server_are_merged() {
        let challenge = |realm: &str, scope: Option<&str>| {
            let realm = Url::parse(realm).unwrap();
            Challenge::Bearer(Bearer { realm, service: None, scope: scope.map(str::to_owned) })
        };
        let (one, other) = ("https://a.example/t", "https://b.example/t");
        for (now, former, expected) in [
            (challenge(one, Some("b a")), challenge(one, Some("a c")), Some("b a c")),
            (challenge(one, None), challenge(one, Some("a")), Some("a")),
            (challenge(one, None), challenge(one, None), None),
            (challenge(one, Some("b")), challenge(other, Some("a")), Some("b")),
            (challenge(one, Some("b")), Challenge::Basic, Some("b")),
        ] {
            assert_eq!(now.merged_with(former), challenge(one, expected));
        }
        let many = (0..100).map(|number| number.to_string()).collect::<Vec<_>>().join(" ");
        let merged = challenge(one, Some(&many)).merged_with(challenge(one, Some("x")));
        assert_eq!(merged, challenge(one, Some("0 1 2 3 4 5 6 7")));
    }

    #[test]
    fn what_a_token_is_for_is_asked_for_and_what_else_the_registry_wants() {
        let asked = |named: Option<&str>| {
            let realm = Url::parse("https://a.example/t").unwrap();
            let bearer = Bearer { realm, service: None, scope: named.map(str::to_owned) };
            match Challenge::Bearer(bearer).with_scope("repository:a/b:pull,push repository:c:pull") {
                Challenge::Bearer(bearer) => bearer.scope.unwrap(),
                Challenge::Basic => panic!("another challenge"),
            }
        };
        let ours = "repository:a/b:pull,push repository:c:pull";
        for named in
            [None, Some(""), Some("repository:a/b:pull"), Some("repository:c:pull repository:a/b:push")]
        {
            assert_eq!(asked(named), ours, "{named:?}");
        }
        for more in [
            "repository:a/b:delete",
            "repository:c:pull,push",
            "repository:a:pull",
            "registry:catalog:*",
            "x",
        ] {
            assert_eq!(asked(Some(more)), format!("{ours} {more}"));
        }
    }

    #[test]
    fn what_else_is_offered_is_told() {
        let offered = Unanswerable::Offered("`Negotiate`, `Digest`".to_owned());
        assert_eq!(read(&["Negotiate, Digest realm=\"r\""]), Err(offered));
        assert_eq!(read(&[]), Ok(None));
        for unreadable in ["=,=", "", "Bearer", "Bearer realm=\"token\""] {
            let expected = Unanswerable::Unreadable(unreadable.to_owned());
            assert_eq!(read(&[unreadable]), Err(expected));
        }
    }
}
