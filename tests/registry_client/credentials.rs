//! Docker's config.json, podman's auth.json, netrc and credential helpers, found by the environment that is handed in.

use std::path::Path;

use sealift::config::Environment;
use sealift::registry::{Credentials, Kind};

use crate::access::{BASIC, PASSWORD};
use crate::scripted::{Reply, Scripted};
use crate::*;

/// A folder with docker's config.json and helpers, as HOME and PATH.
struct Home(tempfile::TempDir);

impl Home {
    fn with_config(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(".docker")).unwrap();
        write(&folder.path().join(".docker/config.json"), config);
        Self(folder)
    }

    /// What `docker-credential-fake` does here.
    fn helper(self, script: &str) -> Self {
        write(&self.0.path().join("helper.sh"), script);
        self
    }

    /// Another file in the home.
    fn file(self, name: &str, content: &str) -> Self {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write(&path, content);
        self
    }

    fn client(&self) -> Client {
        self.client_with(&[])
    }

    fn client_with(&self, more: &[(&str, &str)]) -> Client {
        let folder = self.0.path().to_str().unwrap();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/helpers:/usr/bin:/bin");
        let own = [("SEALIFT_USERNAME", "user"), ("SEALIFT_PASSWORD", PASSWORD)];
        let environment: Environment =
            [("HOME", folder), ("PATH", path)].into_iter().chain(own).chain(more.iter().copied()).collect();
        let credentials = Credentials::of_environment(&environment);
        Client::new(ClientOptions { credentials, ..ClientOptions::default() }).unwrap()
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own folder")]
fn write(path: &Path, content: &str) {
    std::fs::write(path, content).unwrap();
}

async fn basic_registry() -> Scripted {
    Scripted::plain(|request| match request.authorization() {
        Some(BASIC) => Reply::ok(MANIFEST),
        _ => Reply::challenge("Basic realm=x"),
    })
    .await
}

#[tokio::test]
async fn a_password_in_dockers_file_is_used() {
    let server = basic_registry().await;
    let config = format!(r#"{{"auths":{{"{}":{{"auth":"dXNlcjpodW50ZXIy"}}}}}}"#, server.address);
    fetch_tag(&Home::with_config(&config).client(), &repository(server.address)).await.unwrap();
}

#[tokio::test]
async fn the_file_is_not_read_before_a_registry_asks() {
    let server = Scripted::plain(|_| Reply::ok(MANIFEST)).await;
    fetch_tag(&Home::with_config("broken").client(), &repository(server.address)).await.unwrap();
    let server = basic_registry().await;
    let error =
        fetch_tag(&Home::with_config("broken").client(), &repository(server.address)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Access);
    assert!(error.to_string().contains("config.json"), "{error}");
}

#[tokio::test]
async fn a_helper_is_asked_once_with_the_registry_on_stdin() {
    let server = basic_registry().await;
    let home = Home::with_config(&format!(r#"{{"credHelpers":{{"{}":"fake"}}}}"#, server.address)).helper(
        r#"echo "$@" >> "$HOME/arguments"; cat >> "$HOME/stdin"
           echo '{"ServerURL":"x","Username":"user","Secret":"hunter2"}'"#,
    );
    let client = home.client();
    for name in ["org/app", "org/other"] {
        fetch_tag(&client, &named(&format!("{}/{name}", server.address))).await.unwrap();
    }
    let read = |name: &str| std::fs::read_to_string(home.0.path().join(name)).unwrap();
    assert_eq!(read("arguments"), "get\n");
    assert_eq!(read("stdin"), server.address.to_string());
}

#[tokio::test]
async fn a_helper_is_not_told_the_password_in_our_environment() {
    let server = basic_registry().await;
    let home = Home::with_config(r#"{"credsStore":"fake"}"#)
        .helper(r#"env > "$HOME/environment"; echo '{"Username":"user","Secret":"hunter2"}'"#);
    fetch_tag(&home.client(), &repository(server.address)).await.unwrap();
    let environment = std::fs::read_to_string(home.0.path().join("environment")).unwrap();
    assert!(environment.contains("HOME=") && !environment.contains("SEALIFT"), "{environment}");
}

#[tokio::test]
async fn a_helper_that_knows_nothing_leaves_the_file_to_be_asked() {
    let server = basic_registry().await;
    let config =
        format!(r#"{{"credsStore":"fake","auths":{{"{}":{{"auth":"dXNlcjpodW50ZXIy"}}}}}}"#, server.address);
    let home = Home::with_config(&config).helper("echo credentials not found in native keychain; exit 1");
    fetch_tag(&home.client(), &repository(server.address)).await.unwrap();
}

#[tokio::test]
async fn a_failing_helper_is_named_and_its_output_never_shown() {
    let failing = |script: &str| Home::with_config(r#"{"credsStore":"fake"}"#).helper(script);
    for (home, said) in [
        (failing("echo hunter2; echo locked keyring >&2; echo second line >&2; exit 3"), "locked keyring"),
        (failing("echo '{\"hunter2\"'"), "no valid credentials"),
    ] {
        let server = basic_registry().await;
        let error = fetch_tag(&home.client(), &repository(server.address)).await.unwrap_err();
        let text = everything(&error);
        assert!(matches!(error, RegistryError::CredentialHelper { .. }), "{text}");
        assert!(text.contains("`docker-credential-") && text.contains(said), "{text}");
        assert!(!text.contains(PASSWORD) && !text.contains("second line"), "{text}");
    }
}

#[tokio::test]
async fn without_its_helper_public_images_can_be_pulled_and_private_ones_name_it() {
    let missing = || Home::with_config(r#"{"credsStore":"not-there"}"#);
    let anonymous = Scripted::plain(|request| match request.target.as_str() {
        "/token?scope=repository%3Aorg%2Fapp%3Apull" => Reply::ok(r#"{"token":"good"}"#),
        _ if request.authorization() == Some("Bearer good") => Reply::ok(MANIFEST),
        _ => Reply::challenge(r#"Bearer realm="/token""#),
    })
    .await;
    fetch_tag(&missing().client(), &repository(anonymous.address)).await.unwrap();

    let refusing_tokens = Scripted::plain(|request| match request.target.as_str() {
        "/v2/org/app/manifests/1" => Reply::challenge(r#"Bearer realm="/token""#),
        _ => Reply::new(401, ""),
    });
    for server in [basic_registry().await, refusing_tokens.await] {
        let error = fetch_tag(&missing().client(), &repository(server.address)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Access);
        assert!(error.to_string().contains("`docker-credential-not-there` was not found"), "{error}");
    }

    let server = basic_registry().await;
    let config = format!(
        r#"{{"credsStore":"not-there","auths":{{"{}":{{"auth":"dXNlcjpodW50ZXIy"}}}}}}"#,
        server.address
    );
    fetch_tag(&Home::with_config(&config).client(), &repository(server.address)).await.unwrap();
}

#[tokio::test]
async fn an_identity_token_of_a_helper_is_traded() {
    let server = Scripted::plain(|request| match request.target.as_str() {
        "/token" if request.body.contains("refresh_token=the-token") => {
            Reply::ok(r#"{"access_token":"good"}"#)
        }
        _ if request.authorization() == Some("Bearer good") => Reply::ok(MANIFEST),
        _ => Reply::challenge(format!(r#"Bearer realm="http://{}/token""#, request.header("host").unwrap())),
    })
    .await;
    let home = Home::with_config(r#"{"credsStore":"fake"}"#)
        .helper(r#"echo '{"Username":"<token>","Secret":"the-token"}'"#);
    fetch_tag(&home.client(), &repository(server.address)).await.unwrap();
}

/// Which user name opens the door to a path: the server's own word, in its manifests.
async fn telling_registry() -> Scripted {
    Scripted::plain(|request| match request.authorization() {
        Some(basic) => Reply::ok(format!(r#"{{"schemaVersion":2,"user":"{basic}"}}"#)),
        None => Reply::challenge("Basic realm=x"),
    })
    .await
}

/// The user that `repository` is asked as.
async fn user_at(client: &Client, repository: &Repository) -> String {
    let document = fetch_tag(client, repository).await.unwrap();
    let text = String::from_utf8(document.bytes().to_vec()).unwrap();
    ["one", "two", "three", "four", "five"]
        .into_iter()
        .find(|name| text.contains(basic(name)))
        .unwrap_or("stranger")
        .to_owned()
}

/// `name:p` in base64.
fn basic(name: &str) -> &'static str {
    match name {
        "one" => "b25lOnA=",
        "two" => "dHdvOnA=",
        "three" => "dGhyZWU6cA==",
        "four" => "Zm91cjpw",
        _ => "Zml2ZTpw",
    }
}

fn auths(entries: &[(&str, &str)]) -> String {
    let entries: Vec<String> =
        entries.iter().map(|(key, name)| format!(r#""{key}":{{"auth":"{}"}}"#, basic(name))).collect();
    format!(r#"{{"auths":{{{}}}}}"#, entries.join(","))
}

#[tokio::test]
async fn podmans_file_goes_before_dockers_and_netrc_comes_last() {
    let server = telling_registry().await;
    let (address, host) = (server.address.to_string(), server.address.ip().to_string());
    let repository = repository(server.address);
    let docker = auths(&[(&address, "three")]);
    let netrc = format!("machine {host} login four password p");
    let home = || Home::with_config(&docker).file(".netrc", &netrc);

    assert_eq!(user_at(&home().client(), &repository).await, "three");
    let user = home().file(".config/containers/auth.json", &auths(&[(&address, "two")]));
    assert_eq!(user_at(&user.client(), &repository).await, "two");
    let session = user.file("run/containers/auth.json", &auths(&[(&address, "one")]));
    let run = session.0.path().join("run");
    let client = session.client_with(&[("XDG_RUNTIME_DIR", run.to_str().unwrap())]);
    assert_eq!(user_at(&client, &repository).await, "one");

    // The file that is named stands for both of podman's.
    let session = session.file("named.json", &auths(&[(&address, "five")]));
    let named = session.0.path().join("named.json");
    let client = session.client_with(&[("REGISTRY_AUTH_FILE", named.to_str().unwrap())]);
    assert_eq!(user_at(&client, &repository).await, "five");
    let client = session.client_with(&[("REGISTRY_AUTH_FILE", "/nowhere/auth.json")]);
    assert_eq!(user_at(&client, &repository).await, "three");

    let only_netrc = Home::with_config("{}").file(".netrc", &netrc);
    assert_eq!(user_at(&only_netrc.client(), &repository).await, "four");
    let elsewhere = only_netrc.file("other", &format!("machine {host} login five password p"));
    let other = elsewhere.0.path().join("other");
    let client = elsewhere.client_with(&[("NETRC", other.to_str().unwrap())]);
    assert_eq!(user_at(&client, &repository).await, "five");
}

#[tokio::test]
async fn parts_of_a_registry_have_credentials_of_their_own() {
    let server = telling_registry().await;
    let address = server.address.to_string();
    let (app, org) = (format!("{address}/org/app"), format!("{address}/org"));
    let entries = auths(&[(&app, "one"), (&org, "two"), (&address, "three")]);
    let home = Home::with_config("{}").file(".config/containers/auth.json", &entries);
    let client = home.client();
    for (path, user) in
        [("org/app", "one"), ("org/app/part", "one"), ("org/other", "two"), ("organisation/app", "three")]
    {
        let repository = named(&format!("{address}/{path}"));
        assert_eq!(user_at(&client, &repository).await, user, "{path}");
    }
}

#[tokio::test]
async fn netrcs_default_entry_is_for_nobody() {
    let server = basic_registry().await;
    let home = Home::with_config("{}").file(".netrc", "default login user password hunter2");
    let error = fetch_tag(&home.client(), &repository(server.address)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Access);
    assert!(server.requests().iter().all(|request| request.authorization().is_none()));
}

#[tokio::test]
async fn a_helper_of_podmans_file_is_asked_by_the_registrys_name() {
    let server = basic_registry().await;
    let auth = format!(r#"{{"credHelpers":{{"{}":"fake"}}}}"#, server.address);
    let home = Home::with_config("{}")
        .file(".config/containers/auth.json", &auth)
        .helper(r#"cat > "$HOME/stdin"; echo '{"Username":"user","Secret":"hunter2"}'"#);
    fetch_tag(&home.client(), &repository(server.address)).await.unwrap();
    assert_eq!(std::fs::read_to_string(home.0.path().join("stdin")).unwrap(), server.address.to_string());
}
