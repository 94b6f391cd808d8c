//! What a registry said of its own accord: error bodies (distribution-spec "Error Codes").
//!
//! Threats: these texts come from whoever runs the server and end on a terminal. They are read up to a limit of bytes and time, and
//! made fit to show ([`crate::foreign`]); a secret that a server repeats is taken out; a web page is recognised and never shown.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use oci_distribution::errors::OciEnvelope;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use crate::foreign::shown;

use super::patience::{Broken, Patience};

/// The most of an error body that is read.
const MAX_ERROR_BYTES: u64 = 64 << 10;
/// How long the whole of a body may take that nothing depends on.
const PATIENCE: Duration = Duration::from_secs(2);

/// Shorter ones are parts of words.
const MIN_SECRET_BYTES: usize = 4;

/// Of nginx's pages for its statuses 495 and 496, which go out as 400 (nginx 1.22, `ngx_http_special_response.c`).
const NGINX_ON_CERTIFICATES: [&str; 2] =
    ["No required SSL certificate was sent", "The SSL certificate error"];

/// Why access was denied, as far as it can be told from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// No credentials were found for the registry: logging in could help.
    NoCredentials,
    /// As well, but Docker's settings name a credential helper that is not installed: after `docker-credential-`.
    NoHelper(String),
    /// There were credentials, and they are wrong.
    CredentialsRefused,
    /// There were credentials, and their time is over: ECR's live for 12 hours.
    Expired,
    /// The credentials are right, but do not reach this far.
    Forbidden,
}

impl fmt::Display for Denial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NoCredentials => "anonymous access was refused",
            Self::NoHelper(helper) => {
                return write!(
                    formatter,
                    "anonymous access was refused, and the credential helper `docker-credential-{helper}` was not found"
                );
            }
            Self::CredentialsRefused => "the credentials were refused",
            Self::Expired => "the credentials have expired",
            Self::Forbidden => "the credentials do not allow it",
        })
    }
}

/// What a server said to explain an error status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Said {
    /// An error in the specification's form; the code is empty where a server has its own form.
    #[error("the server said: {}{}{message}", .code, if .code.is_empty() || .message.is_empty() { "" } else { ": " })]
    Error {
        /// The code, e.g. `MANIFEST_UNKNOWN`.
        code: String,
        /// The message.
        message: String,
    },
    /// A web page, not a registry's error.
    #[error("the answer was a web page, not a registry's error")]
    WebPage,
    /// The page by which nginx says that it wants a client certificate that it accepts; it comes after the handshake.
    #[error("the server sent nginx's page for a client certificate that is missing or refused")]
    NoClientCertificate,
}

impl Said {
    /// True if this is a registry's error with that code.
    pub(super) fn has_code(&self, wanted: &str) -> bool {
        matches!(self, Self::Error { code, .. } if code == wanted)
    }

    /// True if it is about something that has expired: there is no code for that.
    pub(super) fn is_of_expiry(&self) -> bool {
        matches!(self, Self::Error { message, .. } if message.contains("expired"))
    }

    /// Reads an error answer's body; none where it says nothing.
    ///
    /// Some servers repeat what they were sent: of `authorization`, the request's, nothing is left in it.
    pub(crate) async fn read(response: Response, authorization: Option<&HeaderValue>) -> Option<Self> {
        let declared_html = is_html(response.headers());
        let body = read_soon(response, MAX_ERROR_BYTES).await?;
        if !declared_html && !looks_like_html(&body) {
            return Self::of_body(&body, &secrets_in(authorization));
        }
        let page = String::from_utf8_lossy(&body);
        let is_about_certificate = NGINX_ON_CERTIFICATES.iter().any(|words| page.contains(words));
        Some(if is_about_certificate { Self::NoClientCertificate } else { Self::WebPage })
    }

    fn of_body(body: &[u8], secrets: &[String]) -> Option<Self> {
        // Before it is cut: a part of a secret would not be found.
        let shown = |text: &str| {
            shown(&secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***")))
        };
        if let Ok(OciEnvelope { errors }) = serde_json::from_slice(body)
            && let Some(first) = errors.into_iter().next()
        {
            let code = serde_json::to_value(&first.code).ok()?;
            let code = shown(code.as_str().unwrap_or_default());
            return Some(Self::Error { code, message: shown(&first.message) });
        }
        let message = match serde_json::from_slice::<serde_json::Value>(body) {
            Ok(json) => ["error_description", "details", "message", "error"]
                .iter()
                .find_map(|key| json.get(key)?.as_str().map(&shown))?,
            Err(_) => shown(std::str::from_utf8(body).ok()?.trim()),
        };
        if message.is_empty() { None } else { Some(Self::Error { code: String::new(), message }) }
    }
}

/// What no server is to make us show: a token, or a password, in base64 and as it is. Hardly anything is hidden of those
/// shorter than a word of the message.
fn secrets_in(authorization: Option<&HeaderValue>) -> Vec<String> {
    let text = authorization.and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
    let Some((scheme, given)) = text.and_then(|text| text.split_once(' ')) else { return vec![] };
    let basic = if scheme == "Basic" { BASE64.decode(given).ok() } else { None };
    let password = basic.and_then(|basic| Some(String::from_utf8(basic).ok()?.split_once(':')?.1.to_owned()));
    let secrets = password.into_iter().chain([given.to_owned()]);
    secrets.filter(|secret| secret.len() >= MIN_SECRET_BYTES).collect()
}

/// The body of an answer, or `None` if it is longer than `limit_bytes`: no more than that is ever held. An error
/// comes with the number of bytes before it.
pub(crate) async fn read_at_most(
    mut response: Response,
    mut patience: Patience,
    limit_bytes: u64,
) -> Result<Option<Vec<u8>>, (Broken, u64)> {
    if response.content_length().is_some_and(|length| length > limit_bytes) {
        return Ok(None);
    }
    let mut body = Vec::new();
    while let Some(chunk) =
        patience.next_chunk(&mut response).await.map_err(|broken| (broken, body.len() as u64))?
    {
        if (body.len() + chunk.len()) as u64 > limit_bytes {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// The body of an answer that nothing depends on: none if it is longer than `limit_bytes`, takes too long or breaks.
pub(super) async fn read_soon(response: Response, limit_bytes: u64) -> Option<Vec<u8>> {
    let reading = read_at_most(response, Patience::new(PATIENCE, PATIENCE), limit_bytes);
    let body = tokio::time::timeout(PATIENCE, reading).await;
    body.ok()?.ok()?
}

/// True if the headers call the body HTML.
pub(super) fn is_html(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("text/html") || kind.eq_ignore_ascii_case("application/xhtml+xml")
}

/// True if the body starts as web pages do, whatever the headers say.
pub(super) fn looks_like_html(body: &[u8]) -> bool {
    let start = body.trim_ascii_start();
    ["<!doctype html", "<html", "<head", "<body"]
        .iter()
        .any(|tag| start.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_bodies_are_read_in_every_form_registries_have() {
        let said = |body: &str| Said::of_body(body.as_bytes(), &[]).map(|said| said.to_string());
        for (body, expected) in [
            (
                r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#,
                Some("the server said: DENIED: requested access to the resource is denied"),
            ),
            (r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#, Some("the server said: MANIFEST_UNKNOWN")),
            (r#"{"errors":[{"code":"ODD","message":"x"}]}"#, Some("the server said: ODD: x")),
            (
                r#"{"details":"incorrect username or password"}"#,
                Some("the server said: incorrect username or password"),
            ),
            ("try later\n", Some("the server said: try later")),
            ("{}", None),
            ("", None),
        ] {
            assert_eq!(said(body).as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn web_pages_are_recognised_without_a_content_type() {
        assert!(looks_like_html(b"\n  <!DOCTYPE HTML><html>"));
        assert!(looks_like_html(b"<html lang=en>"));
        assert!(!looks_like_html(b"{\"errors\":[]}") && !looks_like_html(b"<"));
    }
}
