//! What is answered when something is not done, and JSON bodies taken in within bounds.
//!
//! Threats: bodies are foreign: they have a limit, a time, and a content type that no form of a web page can send.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error as _, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::files::shell_word;
use super::progress::with_causes;
use crate::archived::OpenError;
use crate::image_list::MAX_BYTES;

/// A list of images in JSON is no larger.
const MAX_BODY_BYTES: usize = 2 * MAX_BYTES;
/// How long a body may take.
const BODY_TIME: Duration = Duration::from_secs(30);

/// Why a request was not done. Each has a word that stays the same (`code`), for programs and for the page's other language.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It says something that can't be.
    BadRequest(&'static str, String),
    /// Who asks has to log in.
    Unauthorized(&'static str, &'static str),
    /// A page of another origin sent it.
    Foreign,
    /// There is no such thing.
    NotFound(&'static str, &'static str),
    /// The method is not for this.
    NotAllowed,
    /// Not in this state.
    Conflict(&'static str, String),
    /// The body is too large.
    TooLarge,
    /// The body took too long.
    TooSlow,
    /// The body isn't said to be JSON.
    NotJson,
    /// The file ends before the part asked for.
    OutOfRange(u64),
    /// Too many at once, or too often.
    TooMany(&'static str, &'static str, Duration),
    /// The server is about to end.
    Stopping,
    /// The server doesn't go by the name in `Host`.
    WrongHost,
    /// This machine stands in the way.
    Failed(String),
}

impl Refusal {
    pub(super) const NO_FILE: Self = Self::NotFound("no_file", "there is no such file");
    pub(super) const NO_EXPORT: Self = Self::NotFound("no_export", "there is no such export");
    pub(super) const NO_PAGE: Self = Self::NotFound("no_page", "there is no such page");

    /// An archive that is none.
    pub(super) fn unreadable(error: &OpenError) -> Self {
        Self::Conflict("unreadable", with_causes(error))
    }

    /// An archive whose images can't be named.
    pub(super) fn nameless(archive: &str) -> Self {
        Self::Conflict("nameless", format!("not every image in {archive} has a name"))
    }

    /// An archive that came without manifests.
    pub(super) fn no_manifest(archive: &str) -> Self {
        let what = format!(
            "{archive} has no manifest of its images: load it with `docker load < {}`",
            shell_word(archive)
        );
        Self::Conflict("no_manifest", what)
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(..) => StatusCode::BAD_REQUEST,
            Self::Unauthorized(..) => StatusCode::UNAUTHORIZED,
            Self::Foreign => StatusCode::FORBIDDEN,
            Self::NotFound(..) => StatusCode::NOT_FOUND,
            Self::NotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict(..) => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::OutOfRange(_) => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::TooMany(..) => StatusCode::TOO_MANY_REQUESTS,
            Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Self::WrongHost => StatusCode::MISDIRECTED_REQUEST,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::BadRequest(code, _)
            | Self::Unauthorized(code, _)
            | Self::NotFound(code, _)
            | Self::Conflict(code, _)
            | Self::TooMany(code, ..) => code,
            Self::Foreign => "foreign_origin",
            Self::NotAllowed => "not_allowed",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::NotJson => "not_json",
            Self::OutOfRange(_) => "out_of_range",
            Self::Stopping => "stopping",
            Self::WrongHost => "wrong_host",
            Self::Failed(_) => "failed",
        }
    }

    /// What is wrong, and what to do about it.
    fn words(self) -> (String, Option<&'static str>) {
        match self {
            Self::BadRequest(_, what) | Self::Conflict(_, what) | Self::Failed(what) => (what, None),
            Self::Unauthorized(_, what) | Self::NotFound(_, what) | Self::TooMany(_, what, _) => {
                (what.to_owned(), None)
            }
            Self::NotAllowed => ("the method is not for this".to_owned(), None),
            Self::Stopping => ("the server is stopping".to_owned(), Some("ask again when it is back")),
            Self::Foreign => (
                "a web page of another origin sent this".to_owned(),
                Some("behind a reverse proxy: let it pass the Host header on as it came"),
            ),
            Self::TooLarge => (format!("a request has at most {} MiB", MAX_BODY_BYTES >> 20), None),
            Self::TooSlow => ("the request took too long to come".to_owned(), None),
            Self::NotJson => {
                ("the request is not JSON".to_owned(), Some("send it with Content-Type: application/json"))
            }
            Self::OutOfRange(size) => (format!("the file has {size} bytes"), None),
            Self::WrongHost => (
                "this server does not go by the name in the Host header".to_owned(),
                Some(
                    "use its address, or start it with --host NAME, or with NAME in `serve_hosts` of config.json",
                ),
            ),
        }
    }
}

impl Refusal {
    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::OutOfRange(size) => {
                format!("bytes */{size}").parse().ok().map(|value| (header::CONTENT_RANGE, value))
            }
            Self::TooMany(.., wait) => Some((header::RETRY_AFTER, wait.as_secs().max(1).into())),
            _ => None,
        }
    }

    /// In the form that clients of registries read (distribution-spec, "Error Codes").
    pub(super) fn into_registry_response(self) -> Response {
        let code = match self.status() {
            StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
            StatusCode::TOO_MANY_REQUESTS => "TOOMANYREQUESTS",
            _ => "DENIED",
        };
        self.told(|message, _| serde_json::json!({ "errors": [{ "code": code, "message": message }] }))
    }

    /// With a body made of its words and hint.
    fn told<T: Serialize>(self, body: impl FnOnce(String, Option<&'static str>) -> T) -> Response {
        let (status, header) = (self.status(), self.header());
        let (error, hint) = self.words();
        let mut response = json(status, &body(error, hint));
        response.headers_mut().extend(header);
        response
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let code = self.code();
        self.told(|error, hint| Told { code, error, hint })
    }
}

#[derive(Serialize)]
struct Told {
    code: &'static str,
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
}

/// An answer in JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => (status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        // None of our types fails.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The one part of a path that differs.
pub(super) struct Named(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        // What is no text names nothing.
        let Path(name) = Path::from_request_parts(parts, state).await.map_err(|_| Refusal::NO_PAGE)?;
        Ok(Self(name))
    }
}

/// A body of JSON.
pub(super) struct Posted<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Posted<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        if !is_json(&parts.headers) {
            return Err(Refusal::NotJson);
        }
        read(&whole(&parts.headers, body).await?).map(Posted)
    }
}

/// A body of JSON, or none.
pub(super) struct MaybePosted<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned + Default> FromRequest<S> for MaybePosted<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let bytes = whole(&parts.headers, body).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        if !is_json(&parts.headers) {
            return Err(Refusal::NotJson);
        }
        read(&bytes).map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let stated = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = stated.and_then(|stated| stated.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let read: Result<Object<T>, _> = serde_json::from_slice(bytes);
    read.map(|Object(read)| read)
        .map_err(|error| Refusal::BadRequest("bad_json", without_values(&error.to_string())))
}

/// What stands in braces: a structure would be read from a list, too.
#[derive(Debug)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

/// A number without a fraction, however it is written: `1.0` is 1 in JSON.
pub(super) fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    let Some(number) = Option::<f64>::deserialize(deserializer)? else { return Ok(None) };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is whole, and not negative"
    )]
    let whole = (number >= 0.0 && number.fract() == 0.0).then_some(number as usize);
    whole
        .map(Some)
        .ok_or_else(|| D::Error::invalid_value(Unexpected::Float(number), &"a number of 0, 1, 2, …"))
}

/// What is wrong with a body, without what stands in it: that may be a password in the wrong place.
fn without_values(error: &str) -> String {
    let has_value = error.starts_with("invalid ") && !error.starts_with("invalid length");
    match error.split_once(", expected ") {
        Some((_, expected)) if has_value => format!("something else was expected: {expected}"),
        _ => error.to_owned(),
    }
}

async fn whole(headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
    let stated =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if stated.is_some_and(|bytes| bytes > MAX_BODY_BYTES as u64) {
        return Err(Refusal::TooLarge);
    }
    let read = tokio::time::timeout(BODY_TIME, axum::body::to_bytes(body, MAX_BODY_BYTES)).await;
    let read = read.map_err(|_| Refusal::TooSlow)?;
    read.map_err(|error| {
        let is_limit = std::error::Error::source(&error)
            .is_some_and(|cause| cause.to_string().contains("length limit exceeded"));
        if is_limit {
            Refusal::TooLarge
        } else {
            Refusal::BadRequest("cut_short", "the request was cut short".to_owned())
        }
    })
}

/// The default for what takes any error of the disk.
pub(super) fn failed(error: impl std::error::Error) -> Refusal {
    Refusal::Failed(with_causes(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_body_is_told_without_its_values() {
        let error = |text: &str| {
            let read: Result<std::collections::BTreeMap<String, u8>, _> = serde_json::from_str(text);
            without_values(&read.unwrap_err().to_string())
        };
        assert_eq!(error(r#"{"a":"hunter2"}"#), "something else was expected: u8 at line 1 column 14");
        assert_eq!(error(r#""hunter2""#), "something else was expected: a map at line 1 column 9");
        assert_eq!(error("{"), "EOF while parsing an object at line 1 column 1");
    }
}
