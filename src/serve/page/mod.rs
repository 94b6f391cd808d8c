//! The page that people use: one document with its modules, style and icon, all of it in the binary.
//!
//! Addresses in it are relative, so it works below any path. It asks the API for all that it shows, needs no other host,
//! and has no script or style within the document, which the guard's policy forbids. What servers and registries say is
//! put in as text only (`dom.js`).

use std::io::Read;
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use bytes::Bytes;
use flate2::Compression;
use flate2::bufread::GzEncoder;

use crate::image::Digest;

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Where each part is, what it is, and what is in it.
const PARTS: [(&str, &str, &[u8]); 12] = [
    ("/", "text/html; charset=utf-8", include_bytes!("index.html")),
    ("/page/style.css", "text/css; charset=utf-8", include_bytes!("style.css")),
    ("/page/icon.svg", "image/svg+xml", include_bytes!("icon.svg")),
    ("/page/main.js", SCRIPT, include_bytes!("main.js")),
    ("/page/api.js", SCRIPT, include_bytes!("api.js")),
    ("/page/dom.js", SCRIPT, include_bytes!("dom.js")),
    ("/page/exports.js", SCRIPT, include_bytes!("exports.js")),
    ("/page/files.js", SCRIPT, include_bytes!("files.js")),
    ("/page/form.js", SCRIPT, include_bytes!("form.js")),
    ("/page/list.js", SCRIPT, include_bytes!("list.js")),
    ("/page/log.js", SCRIPT, include_bytes!("log.js")),
    ("/page/text.js", SCRIPT, include_bytes!("text.js")),
];

/// The page's routes below a base path, which is empty or `/…`. They need no login: the page asks for it.
pub(super) fn router(base_path: &str) -> Router {
    let parts = PARTS.into_iter().fold(Router::new(), |router, (path, content_type, bytes)| {
        let part = Arc::new(Part::new(content_type, bytes));
        let answer = get(async move |headers: HeaderMap| part.answer(&headers));
        router.route(&format!("{base_path}{path}"), answer)
    });
    if base_path.is_empty() {
        return parts;
    }
    // Without the slash relative addresses would lead beside it.
    let document = format!("{base_path}/");
    parts.route(base_path, get(async move || Redirect::permanent(&document)))
}

/// A part as it goes out: as it is, or packed with gzip for browsers that unpack it, which all do.
struct Part {
    content_type: &'static str,
    plain: Form,
    packed: Form,
}

/// Bytes and their entity tag (RFC 9110, section 8.8.3), which is another one for each coding.
struct Form {
    tag: String,
    bytes: Bytes,
}

impl Form {
    fn new(bytes: Bytes) -> Self {
        Self { tag: format!("\"{}\"", Digest::of(&bytes).short()), bytes }
    }
}

impl Part {
    fn new(content_type: &'static str, bytes: &'static [u8]) -> Self {
        let mut packed = Vec::new();
        // Memory does not refuse it.
        let _ = GzEncoder::new(bytes, Compression::best()).read_to_end(&mut packed);
        Self { content_type, plain: Form::new(Bytes::from_static(bytes)), packed: Form::new(packed.into()) }
    }

    /// The part, unless the browser has it: it asks each time, so that a newer server's page is taken at once.
    fn answer(&self, headers: &HeaderMap) -> Response {
        let Form { tag, bytes } = if takes_gzip(headers) { &self.packed } else { &self.plain };
        let kept = [
            (header::ETAG, tag.as_str()),
            (header::CACHE_CONTROL, "no-cache"),
            (header::VARY, "Accept-Encoding"),
        ];
        let is_known =
            headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
        if is_known {
            return (StatusCode::NOT_MODIFIED, kept).into_response();
        }
        let mut answer = (kept, [(header::CONTENT_TYPE, self.content_type)], bytes.clone()).into_response();
        if *tag == self.packed.tag {
            answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        answer
    }
}

/// Whether `Accept-Encoding` has gzip, and not with a weight of zero.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let codings = headers.get(header::ACCEPT_ENCODING).and_then(|codings| codings.to_str().ok());
    codings.unwrap_or_default().split(',').any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.trim().parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_none_or(|weight| weight > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the first look costs, and what keeps the content security policy strict.
    #[test]
    fn the_page_is_small_and_has_nothing_inline() {
        let bytes: usize = PARTS.iter().map(|(_, _, bytes)| bytes.len()).sum();
        assert!(bytes <= 100_000, "{bytes} bytes");
        let document = include_str!("index.html");
        for inline in
            ["<style", " style=", "<script>", " onclick=", " onload=", "javascript:", "http://www", "https:"]
        {
            assert!(!document.contains(inline), "{inline}");
        }
    }

    #[test]
    fn browsers_that_unpack_gzip_get_it() {
        let part = Part::new(SCRIPT, include_bytes!("exports.js"));
        let asked = |codings: &'static str, known: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(codings));
            known.map(|tag| headers.insert(header::IF_NONE_MATCH, tag.parse().unwrap()));
            part.answer(&headers)
        };
        let coding = |answer: &Response| answer.headers().get(header::CONTENT_ENCODING).cloned();
        for codings in ["gzip", "br, GZIP;q=0.5", "deflate,gzip ; q=1"] {
            assert_eq!(coding(&asked(codings, None)).unwrap(), "gzip", "{codings}");
        }
        for codings in ["", "identity", "gzip;q=0", "br, gzip; q=0.0", "xgzip"] {
            assert_eq!(coding(&asked(codings, None)), None, "{codings}");
        }
        assert!(part.packed.bytes.len() < part.plain.bytes.len() / 2);
        assert_eq!(asked("gzip", Some(&part.packed.tag)).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(asked("gzip", Some(&part.plain.tag)).status(), StatusCode::OK);
    }

    /// All that a schema and what is in it have as `code`, `problem_code`, ….
    fn add_codes<'a>(schema: &'a serde_json::Value, codes: &mut Vec<&'a str>) {
        let entries = schema.as_object().into_iter().flatten();
        for (name, inner) in entries {
            if name.ends_with("code") {
                let values = inner["enum"].as_array().into_iter().flatten();
                codes.extend(values.filter_map(serde_json::Value::as_str));
            }
            add_codes(inner, codes);
        }
    }

    /// What is refused, failed or wrong has words in Chinese for each code there is.
    #[test]
    fn every_code_has_its_words_in_chinese() {
        let document: serde_json::Value =
            serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap();
        let mut codes = Vec::new();
        add_codes(&document["components"]["schemas"], &mut codes);
        assert!(codes.len() >= 80, "{codes:?}");
        let chinese = include_str!("text.js").split("const refused").nth(1).unwrap();
        for code in codes {
            assert!(chinese.contains(&format!(" {code}: \"")), "{code}");
        }
    }

    /// A module that is not served, or one that nothing asks for, would show only in a browser.
    #[test]
    fn what_the_page_asks_for_is_what_is_served() {
        let texts: Vec<&str> =
            PARTS.iter().map(|(_, _, bytes)| std::str::from_utf8(bytes).unwrap_or_default()).collect();
        for (path, ..) in PARTS.iter().filter(|(path, ..)| *path != "/") {
            let name = path.trim_start_matches("/page/");
            let is_asked_for = texts.iter().any(|text| {
                text.contains(&format!("\"page/{name}\"")) || text.contains(&format!("\"./{name}\""))
            });
            assert!(is_asked_for, "{name}");
        }
        for text in texts {
            for asked in text.split("from \"./").skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(PARTS.iter().any(|(path, ..)| *path == format!("/page/{asked}")), "{asked}");
            }
        }
    }
}
