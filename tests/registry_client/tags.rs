//! Lists of tags by pages, as registries page them and as they must not.

use sealift::registry::{Mirrored, PageProblem, RegistryError};

use crate::scripted::{Reply, Scripted};
use crate::*;

async fn tags(address: SocketAddr, limit: Option<usize>) -> Result<Vec<String>, RegistryError> {
    let registries = sealift::config::Registries::default();
    let source = Mirrored::new(client(), &registries, &sealift::event::SharedReporter::default())?;
    source.tags(&repository(address), limit).await
}

fn page(tags: &[&str]) -> Reply {
    Reply::ok(serde_json::json!({"name": "org/app", "tags": tags}).to_string())
}

#[tokio::test]
async fn links_are_followed_to_the_last_page_in_the_registrys_order() {
    for absolute in [false, true] {
        let server = Scripted::plain(move |request| {
            let host =
                if absolute { format!("http://{}", request.header("host").unwrap()) } else { String::new() };
            let next = |last: &str| format!(r#"<{host}/v2/org/app/tags/list?last={last}&n=2>; rel="next""#);
            match request.target.split_once("last=").map(|(_, last)| last) {
                None => page(&["v10", "v2"]).with("Link", next("v2")),
                Some("v2&n=2") => page(&["v2", "a"]).with("Link", next("a")),
                Some(_) => page(&["b"]),
            }
        })
        .await;
        assert_eq!(tags(server.address, None).await.unwrap(), ["v10", "v2", "a", "b"]);
        assert_eq!(server.count("/v2/org/app/tags/list"), 3);
        assert_eq!(tags(server.address, Some(3)).await.unwrap(), ["v10", "v2", "a"]);
        assert_eq!(server.count("/v2/org/app/tags/list"), 5, "no page too many");
    }
}

#[tokio::test]
async fn without_links_pages_are_asked_for_by_their_last_tag() {
    let all: Vec<String> = (0..2500).map(|number| format!("{number:05}")).collect();
    let expected = all.clone();
    let server = Scripted::plain(move |request| {
        let query = request.target.split_once('?').unwrap().1;
        let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
        let count: usize = value("n").unwrap().parse().unwrap();
        let after = all.iter().filter(|tag| value("last").is_none_or(|last| tag.as_str() > last));
        let tags: Vec<&str> = after.take(count).map(String::as_str).collect();
        page(&tags)
    })
    .await;
    assert_eq!(tags(server.address, None).await.unwrap(), expected);
    assert_eq!(server.count("/v2/org/app/tags/list"), 3);
}

#[tokio::test]
async fn who_knows_no_pages_is_asked_twice_at_most() {
    let all: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    let server = Scripted::plain(move |_| page(&all.iter().map(String::as_str).collect::<Vec<_>>())).await;
    assert_eq!(tags(server.address, None).await.unwrap().len(), 1000);
    assert_eq!(server.count("/v2/org/app/tags/list"), 2);
}

#[tokio::test]
async fn who_minds_the_number_is_asked_without() {
    let server = Scripted::plain(|request| match request.target.split_once('?') {
        Some(_) => Reply::new(400, r#"{"errors":[{"code":"PAGINATION_NUMBER_INVALID"}]}"#),
        None => page(&["1"]),
    })
    .await;
    assert_eq!(tags(server.address, None).await.unwrap(), ["1"]);
}

#[tokio::test]
async fn no_tags_are_none_and_what_is_no_tag_is_left_out() {
    let server = Scripted::plain(|_| Reply::ok(r#"{"name":"org/app","tags":null}"#)).await;
    assert!(tags(server.address, None).await.unwrap().is_empty());
    let server = Scripted::plain(|_| page(&["a", "b\u{1b}[2J", "../c", "", "d\ne", "f"])).await;
    assert_eq!(tags(server.address, None).await.unwrap(), ["a", "f"]);
}

#[tokio::test]
async fn a_link_that_leads_elsewhere_or_in_circles_is_refused() {
    for (link, expected) in [
        ("<http://elsewhere.example/v2/org/app/tags/list?key=hunter2>; rel=next", "it is on another host"),
        ("</v2/org/app/tags/list?last=a>; rel=next", "circles"),
        ("<http://>; rel=next", "is no URL"),
    ] {
        let server = Scripted::plain(move |_| page(&["a"]).with("Link", link)).await;
        let error = tags(server.address, None).await.unwrap_err();
        assert!(matches!(error, RegistryError::BadPage { .. }), "{link}: {error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!everything(&error).contains("hunter2"));
    }
}

#[tokio::test]
async fn pages_that_never_end_are_given_up() {
    let server = Scripted::plain(|request| {
        let last = request.target.split_once("last=").map_or(0, |(_, last)| last.parse::<u64>().unwrap());
        page(&["a"]).with("Link", format!("<?last={}>; rel=next", last + 1))
    })
    .await;
    let error = tags(server.address, None).await.unwrap_err();
    assert!(matches!(error, RegistryError::BadPage { problem: PageProblem::Circle, .. }), "{error}");
    assert!(server.requests().len() < 30);
}

#[tokio::test]
async fn what_is_no_list_is_told() {
    for (body, is_page) in [("{\"tags\":5}", false), ("<html>", true), ("", false)] {
        let server = Scripted::plain(move |_| Reply::ok(body)).await;
        let error = tags(server.address, None).await.unwrap_err();
        let found =
            (matches!(error, RegistryError::WebPage { .. }), matches!(error, RegistryError::NoList { .. }));
        assert_eq!(found, (is_page, !is_page), "{body}: {error}");
    }
}
