//! Tokens: asking a token server (distribution's "Token Authentication" and "OAuth 2.0" specifications).
//!
//! Threats: the realm is named by the registry, so it may point anywhere: it is asked by the rule of [`super::hop`], and
//! an HTTPS registry can't have credentials sent over plain HTTP at all. Credentials go in headers or the body, never
//! the URL. The answer is read up to a limit of bytes, and not however slowly it comes; its token is never shown.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue};
use serde::Deserialize;
use url::Url;

use crate::image::Registry;
use crate::secret::{SafeUrl, Secret};

use super::challenge::Bearer;
use super::credentials::{Credential, Found, TOKEN_USER};
use super::error::RegistryError;
use super::redirect::RedirectProblem;
use super::retry_after::RetryAfter;
use super::said::{Denial, Said, read_at_most};
use super::transport::{Answer, Transport, finish};

/// How long a token lives where the server doesn't say (distribution's specification).
const DEFAULT_LIFETIME: Duration = Duration::from_mins(1);
/// Tokens are renewed this long before they end, or after three quarters of a shorter life.
const RENEWAL_MARGIN: Duration = Duration::from_secs(15);
const MAX_ANSWER_BYTES: u64 = 512 << 10;
const CLIENT_ID: &str = "sealift";

/// An `Authorization` header and when to stop using it.
pub(super) struct Token {
    pub(super) header: HeaderValue,
    pub(super) renew_at: Instant,
    /// What later tokens may be had for instead of the password.
    pub(super) identity: Option<Secret>,
}

/// What the token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// One run.
    Run,
    /// To stay logged in: a password is to be traded for an identity token, where the server has such.
    Login,
}

/// Gets a token that answers the `challenge` of the registry at `base`; `scope` is for challenges that name none.
pub(super) async fn fetch(
    transport: &Transport,
    registry: &Registry,
    base: &Url,
    challenge: &Bearer,
    scope: &str,
    found: &Found,
    purpose: Purpose,
) -> Result<Token, RegistryError> {
    let realm = &challenge.realm;
    let credential = found.credential.as_ref();
    let secret_in_clear = realm.scheme() != "https" && base.scheme() == "https" && credential.is_some();
    let problem = match transport.check_hop(base, realm) {
        Ok(()) if secret_in_clear => Some(RedirectProblem::PlainHttp(realm.clone().into())),
        checked => checked.err(),
    };
    if let Some(problem) = problem {
        return Err(RegistryError::BadRealm { registry: registry.clone(), problem });
    }
    let asked_at = Instant::now();
    let scope = challenge.scope.as_deref().unwrap_or(scope);
    let answer = match credential {
        Some(Credential::IdentityToken(token)) => {
            let mut form = vec![
                ("grant_type", "refresh_token"),
                ("client_id", CLIENT_ID),
                ("scope", scope),
                ("refresh_token", token.reveal()),
            ];
            form.extend(challenge.service.as_deref().map(|service| ("service", service)));
            let answer = transport.post_form(realm, &form).await?;
            // Some know no POST (containerd names GCR), but take the token as a password.
            if matches!(answer.response.status(), StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) {
                finish(answer.response).await;
                ask(transport, challenge, scope, None, Some(&basic_header(TOKEN_USER, token)), Purpose::Run)
                    .await?
            } else {
                answer
            }
        }
        Some(Credential::Password { username, password }) => {
            let basic = basic_header(username, password);
            ask(transport, challenge, scope, Some(username), Some(&basic), purpose).await?
        }
        None => ask(transport, challenge, scope, None, None, Purpose::Run).await?,
    };
    let status = answer.response.status();
    if !status.is_success() {
        return Err(refusal(registry, answer, found).await);
    }
    let realm = answer.url;
    let body = read_at_most(answer.response, answer.patience, MAX_ANSWER_BYTES).await;
    let body = body.map_err(|(broken, _)| transport.no_body(realm.reveal(), broken))?;
    body.and_then(|body| read_token(&body, asked_at))
        .ok_or_else(|| RegistryError::NoToken { registry: registry.clone(), realm: Box::new(realm) })
}

/// The `Authorization` header of user name and password. It does not show in `Debug`.
pub(super) fn basic_header(username: &str, password: &Secret) -> HeaderValue {
    let encoded = BASE64.encode(format!("{username}:{}", password.reveal()));
    sensitive(&format!("Basic {encoded}")).unwrap_or_else(|| HeaderValue::from_static(""))
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

async fn ask(
    transport: &Transport,
    challenge: &Bearer,
    scope: &str,
    account: Option<&str>,
    authorization: Option<&HeaderValue>,
    purpose: Purpose,
) -> Result<Answer, RegistryError> {
    let mut url = challenge.realm.clone();
    {
        let mut query = url.query_pairs_mut();
        query.extend_pairs(challenge.service.as_deref().map(|service| ("service", service)));
        query.extend_pairs(scope.split_ascii_whitespace().map(|scope| ("scope", scope)));
        query.extend_pairs(account.map(|account| ("account", account)));
        query.extend_pairs(account.map(|_| ("client_id", CLIENT_ID)));
        query.extend_pairs((purpose == Purpose::Login).then_some(("offline_token", "true")));
    }
    transport.get(&url, &HeaderMap::new(), authorization).await
}

async fn refusal(registry: &Registry, answer: Answer, found: &Found) -> RegistryError {
    let stranger = found.stranger();
    let sent = found.credential.as_ref().map(|credential| match credential {
        Credential::Password { username, password } => basic_header(username, password),
        Credential::IdentityToken(token) => basic_header(TOKEN_USER, token),
    });
    let status = answer.response.status();
    let url: Box<SafeUrl> = Box::new(answer.url);
    let retry_after = RetryAfter::of(answer.response.headers());
    let said = Said::read(answer.response, sent.as_ref()).await;
    match status {
        // OAuth 2.0 servers answer 400 `invalid_grant` to a wrong refresh token (RFC 6749 section 5.2).
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST
            if stranger.is_none() || status != StatusCode::BAD_REQUEST =>
        {
            let denial = match (stranger, status) {
                (Some(denial), _) => denial,
                _ if said.as_ref().is_some_and(Said::is_of_expiry) => Denial::Expired,
                (None, StatusCode::FORBIDDEN) => Denial::Forbidden,
                (None, _) => Denial::CredentialsRefused,
            };
            let may_not_exist = !matches!(denial, Denial::CredentialsRefused | Denial::Expired);
            RegistryError::TokenRefused {
                registry: registry.clone(),
                realm: url,
                denial,
                may_not_exist,
                said,
            }
        }
        StatusCode::TOO_MANY_REQUESTS => RegistryError::RateLimited { url, retry_after, said },
        status if status.is_server_error() => {
            RegistryError::ServerError { url, status: status.as_u16(), retry_after, said }
        }
        _ if said == Some(Said::WebPage) => RegistryError::WebPage { url, status: status.as_u16() },
        _ => RegistryError::UnexpectedStatus { url, status: status.as_u16(), said },
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<serde_json::Value>,
}

fn read_token(body: &[u8], asked_at: Instant) -> Option<Token> {
    let answer: TokenAnswer = serde_json::from_slice(body).ok()?;
    let token = [answer.token, answer.access_token].into_iter().flatten().find(|token| !token.is_empty())?;
    let seconds =
        answer.expires_in.as_ref().and_then(serde_json::Value::as_u64).filter(|&seconds| seconds > 0);
    // A year is forever, and can be added to any clock.
    let lifetime = seconds.map_or(DEFAULT_LIFETIME, |seconds| Duration::from_secs(seconds.min(365 * 86_400)));
    let margin = RENEWAL_MARGIN.min(lifetime / 4);
    Some(Token {
        header: sensitive(&format!("Bearer {token}"))?,
        renew_at: asked_at + lifetime.saturating_sub(margin),
        identity: answer.refresh_token.filter(|token| !token.is_empty()).map(Secret::new),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_answers_are_read_in_every_form() {
        let now = Instant::now();
        for (body, expected) in [
            (r#"{"token":"a"}"#, Some(("Bearer a", 45))),
            (r#"{"access_token":"b","expires_in":300}"#, Some(("Bearer b", 285))),
            (r#"{"token":"","access_token":"b","expires_in":20}"#, Some(("Bearer b", 15))),
            (r#"{"token":"a","access_token":"b","expires_in":0}"#, Some(("Bearer a", 45))),
            (r#"{"token":"a","expires_in":"soon"}"#, Some(("Bearer a", 45))),
            (r#"{"token":"a","expires_in":-5}"#, Some(("Bearer a", 45))),
            (r#"{"token":"a\nb"}"#, None),
            (r#"{"token":null}"#, None),
            ("<html>", None),
        ] {
            let token = read_token(body.as_bytes(), now);
            let token = token.map(|token| (token.header, (token.renew_at - now).as_secs()));
            let expected = expected.map(|(header, life)| (HeaderValue::from_static(header), life));
            assert_eq!(token, expected, "{body}");
        }
        let far = read_token(br#"{"token":"a","expires_in":18446744073709551615}"#, now).unwrap();
        assert!(far.renew_at > now);
        assert!(!format!("{:?}", far.header).contains("Bearer"));
    }

    #[test]
    fn basic_headers_do_not_show() {
        let header = basic_header("user", &Secret::new("hunter2"));
        assert_eq!(header.as_bytes(), b"Basic dXNlcjpodW50ZXIy");
        assert_eq!(format!("{header:?}"), "Sensitive");
    }
}
