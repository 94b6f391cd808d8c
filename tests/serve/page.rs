//! The page's parts: there for anybody, kept by browsers, and found below a base path.

use crate::server::Served;
use crate::support::sandbox::Sandbox;

/// All that a document or a module names, as addresses below `path`.
fn named(path: &str, text: &str) -> Vec<String> {
    let quoted = text.split('"').filter(|part| part.starts_with("page/") || part.starts_with("./"));
    quoted
        .map(|part| format!("{path}page/{}", part.trim_start_matches("page/").trim_start_matches("./")))
        .collect()
}

#[test]
fn the_page_and_all_it_names_are_there_before_a_login() {
    let sandbox = Sandbox::new();
    let server = Served::start(&sandbox, &["--base-path", "/images"]);
    let moved = server.get("/images");
    assert_eq!((moved.status, moved.header("location").as_deref()), (308, Some("/images/")));
    let document = server.get("/images/");
    assert_eq!(document.status, 200);
    assert!(document.header("content-security-policy").unwrap().contains("script-src 'self';"));
    let mut names = named("/images/", &document.text());
    names.extend(named("/images/", &server.get("/images/page/main.js").text()));
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        let part = server.get(&name);
        let kind = part.header("content-type").unwrap_or_default();
        assert_eq!(part.status, 200, "{name}");
        assert!(kind.starts_with("text/") || kind == "image/svg+xml", "{name}: {kind}");
        let known = format!("If-None-Match: {}", part.header("etag").unwrap());
        assert_eq!(server.send("GET", &name, &[&known], b"").status, 304, "{name}");
    }
}
