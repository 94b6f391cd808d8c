//! A token server like Docker Hub's: signs what docker-registry's `auth: token` asks for (distribution's "Token
//! Authentication Specification", tokens by RFC 7519).
//!
//! Everyone may pull, but repositories under `sailor/` are that user's alone, who may push to them.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::certificates::Certificate;
use crate::command::output_of_with_input;

const SERVICE: &str = "registry.docker.io";
const ISSUER: &str = "auth.docker.io";
pub(crate) const USER: &str = "sailor";
pub(crate) const PASSWORD: &str = "anchors: aweigh";

/// The running server.
pub(crate) struct TokenServer {
    pub(crate) address: SocketAddr,
    certificate: PathBuf,
    scopes: Arc<Mutex<Vec<String>>>,
}

impl TokenServer {
    /// Starts it in a thread of its own, with what it signs by.
    pub(crate) fn start(signed_by: Certificate) -> Self {
        let Certificate { certificate, key } = signed_by;
        let pem = fs::read_to_string(&certificate).unwrap();
        let text = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let scopes = Arc::default();
        let signer = Signer { certificate: text, key, scopes: Arc::clone(&scopes) };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let router = Router::new().route("/token", get(token)).with_state(Arc::new(signer));
                axum::serve(listener, router).await.unwrap();
            });
        });
        Self { address, certificate, scopes }
    }

    /// What makes docker-registry demand this server's tokens, and send whoever has none to `realm` for them.
    pub(crate) fn access_settings(&self, realm: &str) -> String {
        let certificate = self.certificate.display();
        format!(
            "auth: {{token: {{realm: '{realm}', service: {SERVICE}, issuer: {ISSUER}, rootcertbundle: {certificate}}}}}\n"
        )
    }

    /// How many tokens for this scope were asked for.
    pub(crate) fn tokens_for(&self, scope: &str) -> usize {
        self.scopes.lock().unwrap().iter().filter(|asked| *asked == scope).count()
    }
}

struct Signer {
    certificate: String,
    key: PathBuf,
    scopes: Arc<Mutex<Vec<String>>>,
}

async fn token(State(signer): State<Arc<Signer>>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let query = query.unwrap_or_default();
    let query: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    if !query.contains(&("service".into(), SERVICE.into())) {
        return (StatusCode::BAD_REQUEST, "no such service").into_response();
    }
    let Some(user) = user(&headers) else {
        return (StatusCode::UNAUTHORIZED, "incorrect username or password").into_response();
    };
    let scopes = query.iter().filter(|(name, _)| name == "scope").map(|(_, scope)| scope);
    let access: Vec<Value> = scopes
        .filter_map(|scope| {
            signer.scopes.lock().unwrap().push(scope.clone());
            granted(scope, user)
        })
        .collect();
    let token = signer.sign(user, &access);
    ([(header::CONTENT_TYPE, "application/json")], json!({"token": token, "expires_in": 300}).to_string())
        .into_response()
}

/// The user that asks, empty for nobody; nothing for wrong credentials.
fn user(headers: &HeaderMap) -> Option<&'static str> {
    let Some(authorization) = headers.get(header::AUTHORIZATION) else {
        return Some("");
    };
    let right = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    (authorization.as_bytes() == right.as_bytes()).then_some(USER)
}

/// What of a scope `repository:NAME:ACTIONS` the user gets: pulling, pushing to what is the user's own, or nothing.
fn granted(scope: &str, user: &str) -> Option<Value> {
    let (name, actions) = scope.strip_prefix("repository:")?.rsplit_once(':')?;
    let private = name.starts_with(&format!("{USER}/")) && user != USER;
    let own = user == USER && name.starts_with(&format!("{USER}/"));
    let may = |action: &&str| (*action == "pull" && !private) || (*action == "push" && own);
    let actions: Vec<&str> = actions.split(',').filter(may).collect();
    (!actions.is_empty()).then(|| json!({"type": "repository", "name": name, "actions": actions}))
}

impl Signer {
    fn sign(&self, user: &str, access: &[Value]) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [self.certificate]});
        let claims = json!({
            "iss": ISSUER,
            "sub": user,
            "aud": SERVICE,
            "exp": now + 300,
            "nbf": now - 10,
            "iat": now,
            "jti": NEXT.fetch_add(1, Ordering::Relaxed).to_string(),
            "access": access,
        });
        let signed = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let mut openssl = Command::new("openssl");
        openssl.args(["dgst", "-sha256", "-sign"]).arg(&self.key);
        let signature = output_of_with_input(&mut openssl, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
