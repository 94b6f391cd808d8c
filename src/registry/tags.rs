//! The tags of a repository (distribution-spec "Listing Tags"), all pages of them, in the registry's order.
//!
//! Registries page by `Link` (relative or not), or only by `n` and `last`; some take no `n`, some don't mind it.
//!
//! Threats: pages are foreign, and may be endless, go round in circles or lead to somebody else. A page is read up to a
//! limit; the next one is on the same host, was not read before, and of pages that bring nothing new only a few are
//! followed. What is no tag can't be pulled, and is left out.

use std::collections::HashSet;
use std::fmt;

use reqwest::header::{HeaderMap, LINK};
use serde::Deserialize;
use url::Url;

use crate::foreign::shown;
use crate::image::Repository;
use crate::image::reference::is_tag;
use crate::secret::SafeUrl;

use super::client::Client;
use super::error::RegistryError;
use super::object::Object;
use super::said::{is_html, looks_like_html, read_at_most};
use super::transport::Answer;

/// How many tags a page is asked to have. ECR and Quay have no larger ones.
const PAGE_TAGS: usize = 1000;
/// Google's registries send all tags at once, and all manifests with them.
const MAX_PAGE_BYTES: u64 = 64 << 20;
/// More than any repository has.
const MAX_TAGS: usize = 1_000_000;
/// Pages in a row that bring no new tag.
const MAX_EMPTY_PAGES: usize = 20;

/// Why the next page of a list is not asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageProblem {
    /// It is no URL.
    NoUrl(String),
    /// It is on another host.
    Elsewhere(SafeUrl),
    /// It was read before, or brings nothing new again and again.
    Circle,
    /// There are too many tags.
    Endless,
}

impl fmt::Display for PageProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUrl(link) => write!(formatter, "`{link}` is no URL"),
            Self::Elsewhere(to) => write!(formatter, "it is on another host: {to}"),
            Self::Circle => formatter.write_str("the pages go round in circles"),
            Self::Endless => write!(formatter, "there are more than {MAX_TAGS} tags"),
        }
    }
}

#[derive(Deserialize)]
struct Page {
    tags: Option<Vec<String>>,
}

/// All tags, or the first `limit`.
pub(super) async fn list(
    client: &Client,
    repository: &Repository,
    limit: Option<usize>,
) -> Result<Vec<String>, RegistryError> {
    let object = Object::Tags { repository: repository.clone() };
    let path = format!("{}/tags/list", repository.path());
    let page_tags = limit.unwrap_or(PAGE_TAGS).clamp(1, PAGE_TAGS);
    let mut next = format!("{path}?n={page_tags}");
    let (mut tags, mut known) = (Vec::new(), HashSet::new());
    let (mut asked, mut empty_pages) = (HashSet::new(), 0);
    loop {
        let answer = match client.fetch(&object, &next, &HeaderMap::new()).await {
            // It may not like our `n`.
            Err(RegistryError::UnexpectedStatus { status: 400, .. }) if asked.is_empty() => {
                client.fetch(&object, &path, &HeaderMap::new()).await?
            }
            answer => answer?,
        };
        asked.insert(next.clone());
        let url = answer.url.clone();
        let bad = |problem| RegistryError::BadPage { url: Box::new(url.clone()), problem };
        let link = link(answer.response.headers()).map(|link| beside(url.reveal(), &link)).transpose();
        let link = link.map_err(bad)?;
        let page = read(answer).await?;
        let before = tags.len();
        tags.extend(page.iter().filter(|tag| is_tag(tag) && known.insert((*tag).clone())).cloned());
        if let Some(limit) = limit.filter(|limit| tags.len() >= *limit) {
            tags.truncate(limit);
            return Ok(tags);
        }
        let has_new = tags.len() > before;
        empty_pages = if has_new { 0 } else { empty_pages + 1 };
        next = match (link, page.last()) {
            (Some(link), _) => link.into(),
            (None, Some(last)) if has_new && page.len() == page_tags => {
                let query = url::form_urlencoded::Serializer::new(format!("n={page_tags}"))
                    .append_pair("last", last)
                    .finish();
                format!("{path}?{query}")
            }
            (None, _) => return Ok(tags),
        };
        if asked.contains(&next) || empty_pages > MAX_EMPTY_PAGES {
            return Err(bad(PageProblem::Circle));
        }
        if tags.len() > MAX_TAGS {
            return Err(bad(PageProblem::Endless));
        }
    }
}

async fn read(answer: Answer) -> Result<Vec<String>, RegistryError> {
    let Answer { response, url, proxied, patience, .. } = answer;
    let status = response.status().as_u16();
    let is_page = is_html(response.headers());
    let url = Box::new(url);
    let body = match read_at_most(response, patience, MAX_PAGE_BYTES).await {
        Ok(body) => body.unwrap_or_default(),
        Err((broken, _)) => {
            let (failure, cause) = broken.told(proxied);
            return Err(RegistryError::Unreachable { url, proxy: None, failure, cause });
        }
    };
    match serde_json::from_slice::<Page>(&body) {
        Ok(page) => Ok(page.tags.unwrap_or_default()),
        Err(_) if is_page || looks_like_html(&body) => Err(RegistryError::WebPage { url, status }),
        Err(_) => Err(RegistryError::NoList { url }),
    }
}

/// The page that `Link` (RFC 8288) names as the next one.
fn link(headers: &HeaderMap) -> Option<String> {
    let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    links.flat_map(|value| value.split('<').skip(1)).find_map(|link| {
        let (target, parameters) = link.split_once('>')?;
        let is_next = parameters.split([';', ',']).any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or_default();
            name.trim().eq_ignore_ascii_case("rel")
                && value.trim().trim_matches('"').split(' ').any(|kind| kind.eq_ignore_ascii_case("next"))
        });
        is_next.then(|| target.trim().to_owned())
    })
}

/// The page at `link`, seen from that at `url`: on the same host. Registries behind a TLS proxy say `http` of themselves;
/// the scheme stays.
fn beside(url: &Url, link: &str) -> Result<Url, PageProblem> {
    let to = url.join(link).map_err(|_| PageProblem::NoUrl(shown(link)))?;
    if (to.host(), to.port()) != (url.host(), url.port()) {
        return Err(PageProblem::Elsewhere(to.into()));
    }
    let mut next = url.clone();
    next.set_path(to.path());
    next.set_query(to.query());
    Ok(next)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn the_next_page_is_found_among_links() {
        for (headers, expected) in [
            (&[r#"</v2/x/tags/list?last=b&n=2>; rel="next""#][..], Some("/v2/x/tags/list?last=b&n=2")),
            (&["<https://r.example/a>; rel=next"], Some("https://r.example/a")),
            (&[r#"</first>; rel="first", </a?x=1,2>; foo=1; REL="prev Next""#], Some("/a?x=1,2")),
            (&[r#"</b>; rel="prev""#, r#"</a>;rel="next""#], Some("/a")),
            (&[r#"</b>; rel="prev""#], None),
            (&["</b>", "next", "<;", ""], None),
            (&[], None),
        ] {
            let headers = headers.iter().map(|text| (LINK, HeaderValue::from_str(text).unwrap()));
            assert_eq!(link(&headers.collect()).as_deref(), expected);
        }
    }

    #[test]
    fn the_next_page_is_on_the_same_host() {
        let url = Url::parse("https://r.example/v2/x/tags/list?n=2").unwrap();
        for (link, expected) in [
            ("/v2/x/tags/list?n=2&last=b", Ok("https://r.example/v2/x/tags/list?n=2&last=b")),
            ("?last=b", Ok("https://r.example/v2/x/tags/list?last=b")),
            ("http://r.example/v2/x/tags/list?last=b", Ok("https://r.example/v2/x/tags/list?last=b")),
            ("https://R.example:443/a", Ok("https://r.example/a")),
            ("https://r.example:444/a", Err(())),
            ("https://other.example/a", Err(())),
            ("//other.example/a", Err(())),
            ("https://", Err(())),
        ] {
            let next = beside(&url, link);
            assert_eq!(next.as_ref().map(Url::as_str).map_err(|_| ()), expected, "{link}");
        }
    }
}
