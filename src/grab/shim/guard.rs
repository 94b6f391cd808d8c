//! Who may speak to the shim: the daemon that was told the repository's random name and, where others than this machine
//! reach it, a password of this one push.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::mpsc::UnboundedSender;

use super::Step;
use crate::daemon::USER;
use crate::image::Digest;
use crate::registry::server::ServerError;
use crate::secret::Secret;

/// The header of what is answered of the push's own repository, and nowhere else: whoever knows the name learns that its run
/// is there.
pub(in crate::grab) const PRESENCE: &str = "sealift-grab";

/// What is let in.
pub(in crate::grab) struct Guard {
    /// The one repository.
    pub(in crate::grab) repository: String,
    /// What is to be shown; none where only this machine reaches the shim.
    pub(in crate::grab) password: Option<Secret>,
    /// Is told of each request.
    pub(in crate::grab) steps: UnboundedSender<Step>,
}

/// `router`, for whoever is let in.
pub(in crate::grab) fn guarded(router: Router, guard: Guard) -> Router {
    router.layer(from_fn_with_state(Arc::new(guard), check))
}

async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let asked = format!("{} {}", request.method(), request.uri());
    let is_of_repository = guard.is_of_repository(request.uri().path());
    let mut response = if !guard.is_known(request.headers()) {
        let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"sealift\"")];
        (StatusCode::UNAUTHORIZED, challenge).into_response()
    } else if is_of_repository || matches!(request.uri().path(), "/v2" | "/v2/") {
        next.run(request).await
    } else {
        ServerError::EndpointUnknown.into_response()
    };
    if is_of_repository {
        response.headers_mut().insert(PRESENCE, HeaderValue::from_static("here"));
    }
    let _ = guard.steps.send(Step::Answered(format!("{asked}: {}", response.status().as_u16())));
    response
}

impl Guard {
    fn is_of_repository(&self, path: &str) -> bool {
        let below = path.strip_prefix("/v2/").and_then(|rest| rest.strip_prefix(self.repository.as_str()));
        below.is_some_and(|rest| rest.starts_with('/'))
    }

    fn is_known(&self, headers: &HeaderMap) -> bool {
        let Some(password) = &self.password else { return true };
        let expected = format!("Basic {}", STANDARD.encode(format!("{USER}:{}", password.reveal())));
        let shown = headers.get(header::AUTHORIZATION);
        // Of hashes nobody learns by how long it takes to compare them.
        shown.is_some_and(|shown| Digest::of(shown.as_bytes()) == Digest::of(expected.as_bytes()))
    }
}
