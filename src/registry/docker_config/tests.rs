use crate::image::Reference;

use super::*;

fn registry(name: &str) -> Registry {
    let text = if name == "docker.io" { "busybox".to_owned() } else { format!("{name}/a/b") };
    text.parse::<Reference>().unwrap().registry().clone()
}

fn all_of(registry: &Registry) -> Scope<'_> {
    Scope { registry, path: "" }
}

async fn read(json: &str) -> Result<DockerConfig, RegistryError> {
    read_as(json, Layout::Docker).await
}

async fn read_as(json: &str, layout: Layout) -> Result<DockerConfig, RegistryError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    tokio::fs::write(&path, json).await.unwrap();
    DockerConfig::read(&path, layout).await.map(Option::unwrap)
}

async fn stored(json: &str, name: &str) -> Option<String> {
    let credential = read(json).await.unwrap().stored(all_of(&registry(name))).unwrap()?;
    Some(match credential {
        Credential::Password { username, password } => format!("{username}:{}", password.reveal()),
        Credential::IdentityToken(token) => format!("token {}", token.reveal()),
    })
}

#[tokio::test]
async fn entries_are_found_however_they_name_the_registry() {
    // dTpw is u:p.
    for (key, name, found) in [
        ("reg.example", "reg.example", true),
        ("reg.example:5000", "reg.example:5000", true),
        ("reg.example:5000", "reg.example", false),
        ("https://reg.example", "reg.example", true),
        ("https://reg.example/v2/", "reg.example", true),
        ("http://reg.example:5000/v1/", "reg.example:5000", true),
        ("https://index.docker.io/v1/", "docker.io", true),
        ("index.docker.io", "docker.io", true),
        ("docker.io", "docker.io", true),
        ("https://registry-1.docker.io", "docker.io", true),
        ("reg.example", "docker.io", false),
        ("evil-reg.example", "reg.example", false),
        ("localhost:5000", "localhost:5000", true),
        ("https://Reg.Example/v2/", "REG.example", true),
    ] {
        let json = format!(r#"{{"auths":{{"{key}":{{"auth":"dTpw"}}}}}}"#);
        assert_eq!(stored(&json, name).await.is_some(), found, "{key} {name}");
    }
}

#[tokio::test]
async fn every_form_of_an_entry_is_read() {
    for (entry, expected) in [
        (r#"{"auth":"dXNlcjpwYXNzOndpdGg6Y29sb25z"}"#, Some("user:pass:with:colons")),
        (r#"{"auth":"dTpwYXNz"}"#, Some("u:pass")),
        (r#"{"auth":"dTpwYQ"}"#, Some("u:pa")),
        (r#"{"username":"u","password":"p"}"#, Some("u:p")),
        (r#"{"auth":"dTpw","identitytoken":"t"}"#, Some("token t")),
        (r#"{"auth":"dTpw","email":"x","unknown":{}}"#, Some("u:p")),
        ("{}", None),
        ("null", None),
        (r#"{"auth":""}"#, None),
    ] {
        let json = format!(r#"{{"auths":{{"reg.example":{entry}}}}}"#);
        assert_eq!(stored(&json, "reg.example").await.as_deref(), expected, "{entry}");
    }
}

#[tokio::test]
async fn a_registrys_own_helper_is_asked_before_the_store() {
    let config = read(r#"{"credsStore":"store","credHelpers":{"reg.example":"own","docker.io":"hub"}}"#);
    let config = config.await.unwrap();
    let helpers = |name: &str| {
        let registry = registry(name);
        config.helpers(all_of(&registry)).map(|(helper, _)| helper.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(helpers("reg.example"), ["own", "store"]);
    assert_eq!(helpers("docker.io"), ["hub", "store"]);
    assert_eq!(helpers("other.example"), ["store"]);
    let none = read(r#"{"credsStore":""}"#).await.unwrap();
    assert!(none.helpers(all_of(&registry("a.example"))).next().is_none());
}

#[tokio::test]
async fn helpers_are_told_the_registrys_name_as_its_file_has_it() {
    for (layout, server) in [(Layout::Docker, DOCKER_HUB_KEY), (Layout::Containers, "docker.io")] {
        let config = read_as(r#"{"credHelpers":{"docker.io":"hub"}}"#, layout).await.unwrap();
        let registry = registry("docker.io");
        assert_eq!(config.helpers(all_of(&registry)).collect::<Vec<_>>(), [("hub", server)]);
    }
}

#[tokio::test]
async fn an_auth_json_has_entries_for_parts_of_a_registry() {
    // dTpw is u:p; the password is the key's number.
    let keys = ["quay.io/org/app", "quay.io/org", "quay.io", "https://reg.example/v1/", "docker.io/org"];
    let entries = keys.map(|key| format!(r#""{key}":{{"username":"u","password":"{key}"}}"#)).join(",");
    let config = read_as(&format!(r#"{{"auths":{{{entries}}}}}"#), Layout::Containers).await.unwrap();
    for (name, path, expected) in [
        ("quay.io", "org/app", Some("quay.io/org/app")),
        ("quay.io", "org/app/part", Some("quay.io/org/app")),
        ("quay.io", "org/application", Some("quay.io/org")),
        ("quay.io", "organisation/app", Some("quay.io")),
        ("quay.io", "", Some("quay.io")),
        ("reg.example", "org/app", Some("https://reg.example/v1/")),
        ("docker.io", "org/app", Some("docker.io/org")),
        ("docker.io", "library/app", None),
        ("other.example", "org/app", None),
    ] {
        let registry = registry(name);
        let found = config.stored(Scope { registry: &registry, path }).unwrap();
        let found = found.map(|credential| match credential {
            Credential::Password { password, .. } => password.reveal().to_owned(),
            Credential::IdentityToken(_) => panic!("no token"),
        });
        assert_eq!(found.as_deref(), expected, "{name}/{path}");
    }
}

#[tokio::test]
async fn a_broken_file_is_named_and_its_content_never_shown() {
    for broken in [
        r#"{"auths":{"reg.example":{"auth":"hunter2"#,
        r#"{"auths":"hunter2"}"#,
        r#"{"auths":{"reg.example":{"auth":["hunter2"]}}}"#,
        r#"{"credsStore":"../hunter2"}"#,
        r#"{"credHelpers":{"reg.example":"hunter2 -x"}}"#,
    ] {
        let error = read(broken).await.err().unwrap();
        let source = std::error::Error::source(&error).unwrap();
        let text = format!("{error} {source} {error:?}");
        assert!(text.contains("config.json") && !text.contains("hunter2"), "{text}");
    }
    let config = read(r#"{"auths":{"reg.example":{"auth":"hunter2 is not base64"}}}"#).await.unwrap();
    let text = format!("{:?}", config.stored(all_of(&registry("reg.example"))).unwrap_err());
    assert!(text.contains("reg.example") && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_missing_file_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    assert!(
        DockerConfig::read(&folder.path().join("none/config.json"), Layout::Docker).await.unwrap().is_none()
    );
    let error = DockerConfig::read(folder.path(), Layout::Docker).await.err().unwrap();
    assert!(error.to_string().contains("can't be used"), "{error}");
}
