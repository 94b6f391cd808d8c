//! Lists: tags of a repository (distribution-spec "Listing Tags") and all repositories (Docker's `_catalog`), by pages.

use axum::extract::Query;
use axum::http::request::Parts;
use axum::http::{HeaderName, Method, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::name::RepositoryName;
use super::{Registry, ServerError};

/// Which part of a list is asked for: at most `n`, after `last`.
#[derive(Deserialize)]
struct Page {
    n: Option<usize>,
    last: Option<String>,
}

impl Page {
    fn of(request: &Parts) -> Result<Self, ServerError> {
        if ![Method::GET, Method::HEAD].contains(&request.method) {
            return Err(ServerError::MethodNotAllowed { allowed: "GET, HEAD" });
        }
        Query::try_from_uri(&request.uri).map(|Query(page)| page).map_err(|_| ServerError::QueryInvalid)
    }

    /// The page of `all`, and where the next one is.
    fn cut(&self, mut all: Vec<String>, path: &str) -> (Vec<String>, Option<(HeaderName, String)>) {
        all.sort_unstable();
        if let Some(last) = &self.last {
            all.retain(|entry| entry > last);
        }
        let Some(n) = self.n else { return (all, None) };
        let more = all.len() > n;
        all.truncate(n);
        let next = all.last().filter(|_| more);
        let link = next.map(|last| (header::LINK, format!("<{path}?n={n}&last={last}>; rel=\"next\"")));
        (all, link)
    }
}

/// `/v2/<name>/tags/list`
pub(super) async fn tags(
    registry: &Registry,
    name: RepositoryName,
    request: &Parts,
) -> Result<Response, ServerError> {
    let page = Page::of(request)?;
    let tags =
        registry.store.storage().tags(&name).await?.ok_or_else(|| ServerError::NameUnknown(name.clone()))?;
    let tags = tags.iter().map(ToString::to_string).collect();
    let (tags, link) = page.cut(tags, &format!("/v2/{name}/tags/list"));
    Ok(answer(&json!({ "name": name.as_str(), "tags": tags }), link))
}

/// `/v2/_catalog`
pub(super) async fn repositories(registry: &Registry, request: &Parts) -> Result<Response, ServerError> {
    let page = Page::of(request)?;
    let names = registry.store.storage().repositories().await?.iter().map(ToString::to_string).collect();
    let (names, link) = page.cut(names, "/v2/_catalog");
    Ok(answer(&json!({ "repositories": names }), link))
}

fn answer(body: &serde_json::Value, link: Option<(HeaderName, String)>) -> Response {
    let mut response = ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response();
    let link = link.and_then(|(name, value)| Some((name, value.parse().ok()?)));
    response.headers_mut().extend(link);
    response
}
