//! Which call is where. What anybody may ask stands apart from what users may.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};

use super::answer::Refusal;
use super::guard::{guard, only_users};
use super::{App, api, downloads, events, page, registry_side};

/// All of the server.
pub(super) fn router(app: &Arc<App>) -> Router {
    let users = Router::new()
        .route("/metrics", get(api::metrics))
        .route("/downloads/{filename}", get(downloads::download))
        .route("/api/lists", post(api::check_list))
        .route("/api/files", get(api::files))
        .route("/api/files/cleanup", post(api::clean_up))
        .route("/api/files/{filename}", delete(api::delete_file))
        .route("/api/files/{filename}/script", get(api::file_script))
        .route("/api/files/{filename}/sha256", get(api::file_sha256))
        .route("/api/exports", get(api::all_exports).post(api::begin_export))
        .route("/api/exports/{id}", get(api::one_export).delete(api::forget_export))
        .route("/api/exports/{id}/events", get(events::of_one))
        .route("/api/events", get(events::of_all))
        .route("/api/exports/{id}/cancel", post(api::cancel_export))
        .route("/api/exports/{id}/retry", post(api::retry_export))
        .route("/api/log", get(api::log))
        .route_layer(from_fn_with_state(Arc::clone(app), only_users));
    let anybody = Router::new()
        .route("/healthz", get(api::health))
        .route("/api/openapi.json", get(api::openapi))
        .route("/api/session", get(api::session).post(api::log_in).delete(api::log_out));
    let all = users.merge(anybody).method_not_allowed_fallback(not_allowed).with_state(Arc::clone(app));
    let all = match app.files.base_path.as_str() {
        "" => all,
        base => Router::new().nest(base, all),
    };
    let all = all.merge(page::router(&app.files.base_path));
    let all = if app.has_registry {
        // Registries are at the root, whatever stands before the page.
        all.merge(registry_side::routes(app).route_layer(from_fn_with_state(Arc::clone(app), only_users)))
    } else {
        all
    };
    all.fallback(nothing).layer(from_fn_with_state(Arc::clone(app), guard))
}

async fn nothing() -> Response {
    Refusal::NO_PAGE.into_response()
}

async fn not_allowed() -> Response {
    Refusal::NotAllowed.into_response()
}
