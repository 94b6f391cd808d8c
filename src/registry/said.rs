//! What a registry said of its own accord: error bodies (distribution-spec "Error Codes").
//!
//! Threats: these texts come from whoever runs the server and end on a terminal. They are read up to a limit of bytes and time, and
//! made fit to show ([`crate::foreign`]); a web page is recognised and never shown.

use std::fmt;
use std::time::Duration;

use oci_distribution::errors::OciEnvelope;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap};

use crate::foreign::shown;

/// The most of an error body that is read.
const MAX_ERROR_BYTES: u64 = 64 << 10;
/// How long the whole of a body may take that nothing depends on.
const PATIENCE: Duration = Duration::from_secs(2);

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
    pub(super) async fn read(response: Response) -> Option<Self> {
        let declared_html = is_html(response.headers());
        let body = read_soon(response, MAX_ERROR_BYTES).await?;
        if !declared_html && !looks_like_html(&body) {
            return Self::of_body(&body);
        }
        let page = String::from_utf8_lossy(&body);
        let is_about_certificate = NGINX_ON_CERTIFICATES.iter().any(|words| page.contains(words));
        Some(if is_about_certificate { Self::NoClientCertificate } else { Self::WebPage })
    }

    fn of_body(body: &[u8]) -> Option<Self> {
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
                .find_map(|key| json.get(key)?.as_str().map(shown))?,
            Err(_) => shown(std::str::from_utf8(body).ok()?.trim()),
        };
        if message.is_empty() { None } else { Some(Self::Error { code: String::new(), message }) }
    }
}

/// The body of an answer, or `None` if it is longer than `limit_bytes`: no more than that is ever held. An error
/// comes with the number of bytes before it.
pub(super) async fn read_at_most(
    mut response: Response,
    limit_bytes: u64,
) -> Result<Option<Vec<u8>>, (reqwest::Error, u64)> {
    if response.content_length().is_some_and(|length| length > limit_bytes) {
        return Ok(None);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| (error, body.len() as u64))? {
        if (body.len() + chunk.len()) as u64 > limit_bytes {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// The body of an answer that nothing depends on: none if it is longer than `limit_bytes`, takes too long or breaks.
pub(super) async fn read_soon(response: Response, limit_bytes: u64) -> Option<Vec<u8>> {
    let body = tokio::time::timeout(PATIENCE, read_at_most(response, limit_bytes)).await;
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
        let said = |body: &str| Said::of_body(body.as_bytes()).map(|said| said.to_string());
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
