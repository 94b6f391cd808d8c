//! The API is what its document says: no more and no less.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::server::Served;
use crate::support::image::push;
use crate::support::registry::{Fault, TestRegistry};
use crate::support::sandbox::Sandbox;

fn document() -> Value {
    serde_json::from_slice(&std::fs::read("docs/openapi.json").unwrap()).unwrap()
}

#[test]
fn the_document_is_served_as_it_is_kept() {
    let sandbox = Sandbox::new();
    let server = Served::start(&sandbox, &[]);
    assert_eq!(server.get("/api/openapi.json").json(), document());
    assert_eq!(document()["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_call_it_names_is_there_and_no_other_method() {
    let sandbox = Sandbox::new();
    let server = Served::start(&sandbox, &[]);
    for (path, calls) in document()["paths"].as_object().unwrap() {
        let filled = path.replace("{filename}", "none.tar").replace("{id}", "none");
        for method in ["get", "post", "delete", "put", "patch"] {
            let answer = server.send(&method.to_uppercase(), &filled, &[], b"");
            if let Some(call) = calls.get(method) {
                let status = answer.status.to_string();
                assert!(call["responses"].get(&status).is_some(), "{method} {path}: {status} is not told of");
            } else {
                assert_eq!(answer.status, 405, "{method} {path}");
                assert!(answer.header("allow").is_some(), "{method} {path}");
            }
        }
    }
}

#[test]
fn what_is_answered_has_the_shape_it_says() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let image = push(&registry, "n:1", "linux/amd64", &[b"layer"]);
    let server = Served::start(&sandbox, &[]);
    let bad = format!("{}/none:1", registry.address());
    let begun = server.post("/api/exports", &json!({"images": [image.reference, bad]}));
    let id = begun.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(begun.header("location").unwrap(), format!("/api/exports/{id}"));
    conforms("post", "/api/exports", "201", &begun.json());
    server.wait(&id, &["failed"]);
    conforms("get", "/api/exports/{id}", "200", &server.get(&format!("/api/exports/{id}")).json());
    for path in ["/api/exports", "/api/files", "/api/log", "/api/session", "/healthz"] {
        conforms("get", path, "200", &server.get(path).json());
    }
    for list in ["nginx\nBAD:\n", "services: [", "services:\n  a:\n    image: nginx\n  b:\n    build: .\n"] {
        let checked = server.post("/api/lists", &json!({"text": list}));
        conforms("post", "/api/lists", "200", &checked.json());
    }
    let cleaned = server.post("/api/files/cleanup", &json!({"max_files": 0}));
    conforms("post", "/api/files/cleanup", "200", &cleaned.json());
    conforms("get", "/api/exports/{id}", "404", &server.get("/api/exports/none").json());
}

#[test]
fn why_an_image_fails_has_a_word_of_the_document() {
    let (registry, sandbox) = (TestRegistry::start(), Sandbox::new());
    let refuse = |name: &str, status: u16| {
        registry.fault(&format!("GET /v2/{name}/"), Fault::Answer(status, vec![], String::new()));
    };
    let basic = vec![("www-authenticate", "Basic realm=\"r\"".to_owned())];
    registry.fault("GET /v2/stranger/", Fault::Answer(401, basic, String::new()));
    refuse("forbidden", 403);
    refuse("often", 429);
    refuse("broken", 503);
    let page = vec![("content-type", "text/html".to_owned())];
    registry.fault("GET /v2/page/", Fault::Answer(200, page, "<html></html>".to_owned()));
    registry.fault("GET /v2/cut/", Fault::NoAnswer);
    registry.fault("GET /v2/stalled/", Fault::Stall(1));
    push(&registry, "stalled:1", "linux/amd64", &[b"layer"]);
    push(&registry, "arm:1", "linux/arm64", &[b"layer"]);
    let here = registry.address();
    let server = Served::start(&sandbox, &["--stall-timeout", "1"]);
    let expected = [
        (format!("{here}/stranger:1"), "unauthorized"),
        (format!("{here}/forbidden:1"), "unauthorized"),
        (format!("{here}/none:1"), "not_found"),
        (format!("{here}/arm:1"), "no_platform"),
        (format!("{here}/often:1"), "too_many_requests"),
        (format!("{here}/broken:1"), "server_error"),
        (format!("{here}/page:1"), "bad_answer"),
        (format!("{here}/cut:1"), "unreachable"),
        (format!("{here}/stalled:1"), "timed_out"),
        ("127.0.0.1:1/a:1".to_owned(), "unreachable"),
        ("nowhere.invalid/a:1".to_owned(), "unknown_host"),
    ];
    let images: Vec<&String> = expected.iter().map(|(image, _)| image).collect();
    let id = server.export(&json!({"images": images, "platform": "linux/amd64"}));
    let export = server.wait(&id, &["failed"]);
    conforms("get", "/api/exports/{id}", "200", &export);
    for (archive, (image, code)) in export["archives"].as_array().unwrap().iter().zip(&expected) {
        assert_eq!(archive["error_code"], *code, "{image}: {archive:#}");
    }
}

fn conforms(method: &str, path: &str, status: &str, value: &Value) {
    let document = document();
    let mut answer = &document["paths"][path][method]["responses"][status];
    answer = resolved(&document, answer);
    let schema = &answer["content"]["application/json"]["schema"];
    assert!(schema.is_object(), "{method} {path} {status}");
    check(&document, schema, value, &format!("{method} {path}"));
}

fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    match schema["$ref"].as_str() {
        Some(name) => document.pointer(name.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

/// As much of JSON Schema as the document uses; fields it does not name are none.
fn check(document: &Value, schema: &Value, value: &Value, at: &str) {
    let schema = resolved(document, schema);
    if let Some(kinds) = schema["anyOf"].as_array() {
        let kind = kinds.iter().find(|kind| (kind["type"] == "null") == value.is_null());
        return check(document, kind.unwrap(), value, at);
    }
    if let Some(values) = schema["enum"].as_array() {
        assert!(values.contains(value), "{at}: {value}");
        return;
    }
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_u64() || value.is_i64(),
        _ => value.is_number(),
    };
    match &schema["type"] {
        Value::String(name) => assert!(is(name), "{at}: {value} is no {name}"),
        Value::Array(names) => {
            assert!(
                names.iter().any(|name| is(name.as_str().unwrap())),
                "{at}: {value} is none of {names:?}"
            );
        }
        _ => {}
    }
    if let (Some(fields), Some(properties)) = (value.as_object(), schema["properties"].as_object()) {
        let known: BTreeSet<_> = properties.keys().collect();
        let there: BTreeSet<_> = fields.keys().collect();
        assert!(there.is_subset(&known), "{at}: {:?}", there.difference(&known));
        for name in schema["required"].as_array().unwrap_or(&vec![]) {
            assert!(fields.contains_key(name.as_str().unwrap()), "{at} has no {name}");
        }
        fields
            .iter()
            .for_each(|(name, field)| check(document, &properties[name], field, &format!("{at}.{name}")));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        check(document, &schema["items"], item, &format!("{at}[{index}]"));
    }
}
