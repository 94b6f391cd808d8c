//! The API's calls, each by its parts. What they take and answer is told in `docs/openapi.json`.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Extension, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::answer::{MaybePosted, Named, Posted, Refusal, failed, json};
use super::downloads::{SCRIPT_TYPE, TEXT_TYPE, disposition};
use super::export::MAX_IMAGES;
use super::exports::{self, Detail, Stop};
use super::files::Cleanup;
use super::folder::{FileKind, FileName};
use super::listener::Peer;
use super::lists::{self, ListRequest};
use super::log::{Asker, MAX_RECENT};
use super::request::{ExportRequest, RetryRequest};
use super::{App, access, guard, script};
use crate::fsio::blocking;
use crate::secret::Secret;

/// The contract, as it is served.
const OPENAPI: &str = include_str!("../../docs/openapi.json");
/// Lines of the log that are told without a number.
const LINES: usize = 200;

type Answered = Result<Response, Refusal>;

pub(super) async fn health() -> Response {
    json(StatusCode::OK, &json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let text = app.metrics.text(&app.exports.counts());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

#[derive(Serialize)]
struct Session {
    user: Option<String>,
    needs_login: bool,
    by_password: bool,
    by_token: bool,
    version: &'static str,
    folder: Option<String>,
    description: Option<String>,
    max_images: usize,
}

fn session_of(app: &App, user: Option<String>) -> Session {
    let is_in = user.is_some() || app.access.is_open();
    Session {
        user,
        needs_login: !is_in,
        by_password: app.access.by_password(),
        by_token: app.access.by_token(),
        version: env!("CARGO_PKG_VERSION"),
        folder: is_in.then(|| app.files.folder.path().display().to_string()),
        description: app.description.clone().filter(|_| is_in),
        max_images: MAX_IMAGES,
    }
}

pub(super) async fn session(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
) -> Response {
    // A wrong login is a stranger here.
    let user = guard::user(&app, &headers, peer.address.ip()).await.ok().flatten();
    json(StatusCode::OK, &session_of(&app, user))
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(super) enum Login {
    Password { username: String, password: String },
    Token { token: String },
}

pub(super) async fn log_in(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    Posted(login): Posted<Login>,
) -> Answered {
    let from = peer.address.ip();
    let (name, user) = match login {
        Login::Password { username, password } => {
            let user = app.access.with_password(&username, Secret::new(password), from).await;
            (username, user)
        }
        Login::Token { token } => (String::new(), app.access.with_token(&Secret::new(token), from)),
    };
    let user = user.inspect_err(|refusal| app.wrong_login(refusal, &name, from))?;
    // Of who logs in anew nothing of the session before is left.
    app.access.end(&headers);
    let id = app.access.begin(&user)?;
    app.log.add(&Asker::new(Some(&user), from), "login", "", "ok");
    let cookie = access::cookie(Some(&id), &app.cookie_path(), app.is_tls || guard::is_of_https(&headers));
    let mut response = json(StatusCode::OK, &session_of(&app, Some(user)));
    response.headers_mut().extend(cookie.parse().map(|value| (header::SET_COOKIE, value)));
    Ok(response)
}

pub(super) async fn log_out(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
) -> Response {
    if let Some(user) = app.access.end(&headers) {
        app.log.add(&Asker::new(Some(&user), peer.address.ip()), "logout", "", "ok");
    }
    let cookie = access::cookie(None, &app.cookie_path(), app.is_tls);
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response()
}

pub(super) async fn check_list(Posted(list): Posted<ListRequest>) -> Response {
    let checked = blocking(move || lists::check(&list.text)).await;
    json(StatusCode::OK, &checked)
}

pub(super) async fn files(State(app): State<Arc<App>>) -> Answered {
    let listing = blocking(move || app.files.list()).await.map_err(failed)?;
    Ok(json(StatusCode::OK, &listing))
}

fn archive(name: &str) -> Result<FileName, Refusal> {
    let name: Option<FileName> = name.parse().ok();
    name.filter(|name| name.kind() == FileKind::Archive).ok_or(Refusal::NO_FILE)
}

pub(super) async fn delete_file(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Named(name): Named,
) -> Answered {
    let name = archive(&name)?;
    let cleaned = {
        let (app, name) = (Arc::clone(&app), name.clone());
        blocking(move || app.files.delete(&name)).await.map_err(failed)?
    };
    let cleaned = cleaned.ok_or(Refusal::NO_FILE)?;
    app.tell_cleaned(&asker, "delete", &cleaned);
    match cleaned.failed.first() {
        Some(failed) => Err(Refusal::Failed(format!("{}: {}", failed.name, failed.error))),
        None => Ok(json(StatusCode::OK, &cleaned)),
    }
}

pub(super) async fn clean_up(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Posted(cleanup): Posted<Cleanup>,
) -> Answered {
    if cleanup.max_age_days.is_some_and(|days| days < 0.0) {
        return Err(Refusal::BadRequest("bad_age", "`max_age_days` is less than nothing".to_owned()));
    }
    let cleaned = {
        let app = Arc::clone(&app);
        blocking(move || app.files.clean_up(cleanup)).await.map_err(failed)?
    };
    if !cleanup.dry_run {
        app.tell_cleaned(&asker, "cleanup", &cleaned);
    }
    Ok(json(StatusCode::OK, &cleaned))
}

pub(super) async fn file_script(State(app): State<Arc<App>>, Named(name): Named) -> Answered {
    let name = archive(&name)?;
    let shown = disposition(name.script().as_str());
    let script = script::script(&app, &name).await?;
    let headers = [(header::CONTENT_TYPE, SCRIPT_TYPE.to_owned()), (header::CONTENT_DISPOSITION, shown)];
    Ok((headers, script).into_response())
}

pub(super) async fn file_sha256(State(app): State<Arc<App>>, Named(name): Named) -> Answered {
    let name = archive(&name)?;
    let (_, sha256) = app.sha256(&name).await?;
    let line = format!("{sha256}  {}\n", name.as_str());
    Ok(([(header::CONTENT_TYPE, TEXT_TYPE)], line).into_response())
}

pub(super) async fn all_exports(State(app): State<Arc<App>>) -> Response {
    let exports: Vec<_> = app.exports.all().iter().map(|entry| entry.told(Detail::Short)).collect();
    json(StatusCode::OK, &json!({"exports": exports}))
}

pub(super) async fn begin_export(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Posted(request): Posted<ExportRequest>,
) -> Answered {
    let id = app.exports.new_id()?;
    let (export, secrets) = request.export(id.clone(), &asker, &app.sources)?;
    let entry = exports::begin(&app, export, secrets).await?;
    app.log.add(&asker, "export", entry.on(), "ok");
    let mut response = json(StatusCode::CREATED, &entry.told(Detail::Whole));
    let location = format!("{}/api/exports/{id}", app.files.base_path);
    response.headers_mut().extend(location.parse().map(|value| (header::LOCATION, value)));
    Ok(response)
}

pub(super) async fn one_export(State(app): State<Arc<App>>, Named(id): Named) -> Answered {
    Ok(json(StatusCode::OK, &app.exports.of(&id)?.told(Detail::Whole)))
}

pub(super) async fn forget_export(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Named(id): Named,
) -> Answered {
    let entry = app.exports.of(&id)?;
    exports::forget(&app, &entry).await?;
    app.log.add(&asker, "forget", entry.on(), "ok");
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn cancel_export(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Named(id): Named,
) -> Answered {
    let entry = app.exports.of(&id)?;
    exports::stop(&entry, Stop::Cancel).await?;
    app.log.add(&asker, "cancel", entry.on(), "ok");
    Ok(json(StatusCode::OK, &entry.told(Detail::Whole)))
}

pub(super) async fn retry_export(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Named(id): Named,
    MaybePosted(request): MaybePosted<RetryRequest>,
) -> Answered {
    let entry = app.exports.of(&id)?;
    let secrets = entry.read(|export| request.secrets(export, &app.sources))?;
    exports::retry(&app, &entry, secrets).await?;
    app.log.add(&asker, "retry", entry.on(), "ok");
    Ok(json(StatusCode::OK, &entry.told(Detail::Whole)))
}

#[derive(Deserialize)]
pub(super) struct Count {
    limit: Option<usize>,
}

pub(super) async fn log(
    State(app): State<Arc<App>>,
    count: Result<Query<Count>, QueryRejection>,
) -> Answered {
    let asked =
        count.map_err(|error| Refusal::BadRequest("bad_limit", error.body_text()))?.limit.unwrap_or(LINES);
    if !(1..=MAX_RECENT).contains(&asked) {
        return Err(Refusal::BadRequest("bad_limit", format!("`limit` is from 1 to {MAX_RECENT}")));
    }
    Ok(json(StatusCode::OK, &json!({"entries": app.log.newest(asked)})))
}
