//! Logins: sessions, tokens, guessing.

use serde_json::json;

use crate::server::{Served, until};
use crate::start::add_user;
use crate::support::sandbox::Sandbox;

const TOKEN: &str = "0123456789abcdef0123";

fn guarded() -> (Sandbox, Served) {
    let sandbox = Sandbox::new().variable("SEALIFT_TOKEN", TOKEN);
    assert!(add_user(&sandbox, "ann", "correct horse").status.success());
    let server = Served::start(&sandbox, &["--user-file", "users"]);
    (sandbox, server)
}

#[test]
fn without_a_login_there_is_nothing_to_see() {
    let (_sandbox, server) = guarded();
    for (method, path) in [
        ("GET", "/api/files"),
        ("GET", "/api/files/a.tar/script"),
        ("GET", "/downloads/a.tar"),
        ("HEAD", "/downloads/a.tar"),
        ("DELETE", "/api/files/a.tar"),
        ("POST", "/api/files/cleanup"),
        ("GET", "/api/exports"),
        ("POST", "/api/exports"),
        ("GET", "/api/exports/x/events"),
        ("GET", "/api/events"),
        ("GET", "/api/log"),
        ("GET", "/metrics"),
    ] {
        assert_eq!(server.send(method, path, &[], b"").status, 401, "{method} {path}");
    }
    let session = server.get("/api/session").json();
    assert_eq!((&session["needs_login"], &session["folder"]), (&json!(true), &json!(null)));
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn a_session_begins_with_a_password_and_ends() {
    let (_sandbox, server) = guarded();
    let wrong = server.post("/api/session", &json!({"username": "ann", "password": "hunter2 hunter2"}));
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, None));
    let right = server.post("/api/session", &json!({"username": "ann", "password": "correct horse"}));
    assert_eq!((right.status, &right.json()["user"]), (200, &json!("ann")));
    let cookie = right.header("set-cookie").unwrap();
    assert!(cookie.contains("; HttpOnly; SameSite=Strict") && cookie.contains("; Path=/;"), "{cookie}");
    let id = format!("Cookie: theme=dark; {}", cookie.split(';').next().unwrap());
    assert_eq!(server.send("GET", "/api/files", &[&id], b"").status, 200);
    assert_eq!(server.send("GET", "/api/files", &["Cookie: sealift_session="], b"").status, 401);
    assert_eq!(server.send("DELETE", "/api/session", &[&id], b"").status, 204);
    assert_eq!(server.send("GET", "/api/files", &[&id], b"").status, 401);
    let token = server.post("/api/session", &json!({"token": TOKEN}));
    assert_eq!((token.status, &token.json()["user"]), (200, &json!("token")));
    for bad in [json!({}), json!({"username": "ann"}), json!({"token": TOKEN, "x": 1}), json!("x")] {
        assert_eq!(server.post("/api/session", &bad).status, 400, "{bad}");
    }
    // It is written down by a thread of its own.
    until(|| server.said().contains(r#""who":"token","from":"127.0.0.1","what":"login""#));
    let said = server.said();
    assert!(!said.contains("horse") && !said.contains("hunter2") && !said.contains(TOKEN), "{said}");
    assert!(said.contains(r#""who":"ann","from":"127.0.0.1","what":"login""#), "{said}");
}

#[test]
fn programs_log_in_by_token_or_password_with_each_request() {
    let (_sandbox, server) = guarded();
    let with = |authorization: &str| {
        server.send("GET", "/api/files", &[&format!("Authorization: {authorization}")], b"").status
    };
    let basic = |text: &str| {
        use base64::Engine;
        with(&format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text)))
    };
    assert_eq!(
        (with(&format!("Bearer {TOKEN}")), basic("ann:correct horse"), basic("ann:correct horse")),
        (200, 200, 200)
    );
    assert_eq!(basic(&format!("x:{TOKEN}")), 200);
    for bad in ["Bearer", "Bearer ", "Bearer wrong", "Basic !!!", "Digest x", ""] {
        assert_eq!(with(bad), 401, "{bad}");
    }
    assert_eq!((basic("ann:wrong"), basic("eve:correct horse")), (401, 401));
}

#[test]
fn who_guesses_waits_and_who_is_in_stays_in() {
    let (_sandbox, server) = guarded();
    let right = server.post("/api/session", &json!({"username": "ann", "password": "correct horse"}));
    let cookie = format!("Cookie: {}", right.header("set-cookie").unwrap().split(';').next().unwrap());
    let guess =
        |password: &str| server.post("/api/session", &json!({"username": "ann", "password": password}));
    let answers: Vec<u16> = (0..12).map(|index| guess(&format!("guess {index}")).status).collect();
    assert_eq!(answers, [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 429, 429]);
    let waits = guess("correct horse");
    assert_eq!(waits.status, 429, "the right one has to wait, too");
    assert!(waits.header("retry-after").unwrap().parse::<u64>().unwrap() > 200);
    let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("any:{TOKEN}"));
    for login in [format!("Bearer {TOKEN}"), format!("Basic {basic}")] {
        let answer = server.send("GET", "/api/files", &[&format!("Authorization: {login}")], b"");
        assert_eq!(answer.status, 429, "{login}");
    }
    assert_eq!(server.send("GET", "/api/files", &[&cookie], b"").status, 200);
    let metrics = server.send("GET", "/metrics", &[&cookie], b"").text();
    assert!(metrics.contains("sealift_wrong_logins_total 15"), "{metrics}");
    // Who guesses on fills no log.
    until(|| server.said().matches(r#""outcome":"refused""#).count() == 10);
}

#[test]
fn a_right_login_in_between_gains_no_guesses() {
    let (_sandbox, server) = guarded();
    let log_in = |name: &str, password: &str| {
        server.post("/api/session", &json!({"username": name, "password": password})).status
    };
    for round in 0..10 {
        assert_eq!(log_in("eve", &format!("guess {round}")), 401);
        if round < 9 {
            assert_eq!(log_in("ann", "correct horse"), 200);
        }
    }
    assert_eq!(log_in("eve", "guess 10"), 429);
}

#[test]
fn a_login_ends_the_session_before_it_and_a_cookie_of_https_stays_there() {
    let (_sandbox, server) = guarded();
    let body = json!({"token": TOKEN}).to_string();
    let log_in = |headers: &[&str]| {
        let all = [&["Content-Type: application/json"], headers].concat();
        let answer = server.send("POST", "/api/session", &all, body.as_bytes());
        assert_eq!(answer.status, 200);
        answer.header("set-cookie").unwrap()
    };
    let (first, is_in) = (log_in(&[]), |id: &str| server.send("GET", "/api/files", &[id], b"").status);
    let id = |cookie: &str| format!("Cookie: {}", cookie.split(';').next().unwrap());
    assert_eq!(is_in(&id(&first)), 200);
    let origin = format!("Origin: https://{}", server.address);
    let second = log_in(&[&id(&first), &origin]);
    assert_eq!((is_in(&id(&first)), is_in(&id(&second))), (401, 200));
    assert!(!first.contains("; Secure") && second.contains("; Secure"), "{first} {second}");
}
