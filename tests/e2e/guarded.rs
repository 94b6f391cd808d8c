//! docker-registries that let nobody in without a password: one asks for it itself, one wants a token for it.

use std::fs;
use std::process::Command;
use std::sync::LazyLock;

use crate::command::output_of;
use crate::docker_registry::DockerRegistry;
use crate::hub::HUB;
use crate::images::push_small;
use crate::session::session;
use crate::token_server;

/// The open registry's storage behind an access control.
pub(crate) struct Guarded {
    pub(crate) address: String,
    pub(crate) user: &'static str,
    pub(crate) password: &'static str,
    _registry: DockerRegistry,
}

/// It wants user and password with each request (Basic).
pub(crate) static BASIC: LazyLock<Guarded> = LazyLock::new(|| {
    let (user, password) = ("sailor", "pass:word with blanks");
    let folder = session().work_folder("basic-registry");
    let users = folder.join("users");
    fs::write(&users, output_of(Command::new("htpasswd").args(["-nbB", user, password]))).unwrap();
    let access = format!("auth: {{htpasswd: {{realm: sealift tests, path: {}}}}}\n", users.display());
    Guarded::start(DockerRegistry::of_the_session(&folder, &access), user, password)
});

/// It wants a token, which the token server gives for user and password.
pub(crate) static BY_TOKEN: LazyLock<Guarded> = LazyLock::new(|| {
    let realm = format!("http://{}/token", HUB.tokens.address);
    let folder = session().work_folder("token-registry");
    let registry = DockerRegistry::of_the_session(&folder, &HUB.tokens.access_settings(&realm));
    Guarded::start(registry, token_server::USER, token_server::PASSWORD)
});

impl Guarded {
    fn start(registry: DockerRegistry, user: &'static str, password: &'static str) -> Self {
        Self { address: registry.address.clone(), user, password, _registry: registry }
    }

    /// What an image in the user's part of the registry is called, and what its container prints.
    pub(crate) fn push(&self, name: &str) -> (String, String) {
        let repository = format!("{}/{name}", self.user);
        let prints = push_small(&repository, "v1");
        (format!("{}/{repository}:v1", self.address), prints)
    }
}
