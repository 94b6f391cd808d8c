//! `netrc`: user and password by host name, as curl, git and ftp read it (GNU inetutils' netrc(5)).
//!
//! Threats: the file holds secrets, so nothing of it reaches an error. A `machine` is a host, whatever the port; an entry
//! with a port is for that port alone and goes first. `default` is for any host at all, so it is not believed: a
//! registry that somebody else names would get the password.

use std::io;
use std::path::Path;

use tokio::io::AsyncReadExt as _;

use crate::image::Registry;
use crate::secret::Secret;

use super::credentials::Credential;
use super::docker_config::CredentialFileProblem;
use super::error::RegistryError;

const MAX_FILE_BYTES: u64 = 1 << 20;

/// The credentials of `registry` in the file at `path`; none where there is no such file.
pub(super) async fn find(path: &Path, registry: &Registry) -> Result<Option<Credential>, RegistryError> {
    let fail = |problem| RegistryError::CredentialFile { path: path.to_owned(), problem };
    let mut bytes = Vec::new();
    let read =
        async { tokio::fs::File::open(path).await?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).await };
    match read.await {
        Ok(_) if bytes.len() as u64 <= MAX_FILE_BYTES => {}
        Ok(_) => return Err(fail(CredentialFileProblem::TooLarge { limit_bytes: MAX_FILE_BYTES })),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(fail(CredentialFileProblem::Unreadable(error))),
    }
    let text = String::from_utf8_lossy(&bytes);
    let machines = machines(&text);
    let names = [registry.as_str(), registry.api_authority()];
    let hosts = names.iter().flat_map(|name| [*name, without_port(name)]);
    let found = hosts.into_iter().find_map(|host| {
        machines.iter().find(|machine| machine.name.eq_ignore_ascii_case(host) && !machine.login.is_empty())
    });
    Ok(found.map(|machine| Credential::Password {
        username: machine.login.clone(),
        password: Secret::new(machine.password.clone()),
    }))
}

#[derive(Default)]
struct Machine {
    name: String,
    login: String,
    password: String,
}

/// The `machine` entries, in order.
fn machines(text: &str) -> Vec<Machine> {
    let mut machines: Vec<Machine> = Vec::new();
    let mut in_machine = false;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut words = words(line).into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "machine" => {
                    let name = words.next().unwrap_or_default();
                    machines.push(Machine { name, ..Machine::default() });
                    in_machine = true;
                }
                "default" => in_machine = false,
                // A macro goes to the next empty line.
                "macdef" => {
                    lines.by_ref().find(|line| line.trim().is_empty());
                    break;
                }
                "login" | "password" | "account" => {
                    let value = words.next().unwrap_or_default();
                    match machines.last_mut().filter(|_| in_machine) {
                        Some(machine) if word == "login" => machine.login = value,
                        Some(machine) if word == "password" => machine.password = value,
                        _ => {}
                    }
                }
                _ => {}
            }
        }
    }
    machines
}

/// The words of a line. One in double quotes may hold spaces, and `\"` or `\\`; one that begins with `#` starts a
/// comment where a keyword may stand.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut characters = line.chars().peekable();
    loop {
        while characters.next_if(|character| character.is_whitespace()).is_some() {}
        let Some(&first) = characters.peek() else { return words };
        let wants_value =
            matches!(words.last().map(String::as_str), Some("machine" | "login" | "password" | "account"));
        if first == '#' && !wants_value {
            return words;
        }
        let quoted = characters.next_if_eq(&'"').is_some();
        let mut word = String::new();
        while let Some(character) = characters.next() {
            match character {
                '"' if quoted => break,
                '\\' if quoted => word.extend(characters.next()),
                _ if !quoted && character.is_whitespace() => break,
                _ => word.push(character),
            }
        }
        words.push(word);
    }
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use crate::image::Reference;

    use super::*;

    const FILE: &str = r#"
# machine comment.example login no password no
machine reg.example login user password hunter2
machine two.example
    login "us er"   account x
    password "pass \"word\" #1"
machine hash.example login u password #hash # a comment
macdef init
machine macro.example login no password no

machine ported.example:5000 login five password p5
machine ported.example login any password p
machine registry-1.docker.io login hub password ph
machine nologin.example password alone
default login anyone password never
"#;

    async fn find_in(content: &str, name: &str) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("netrc");
        tokio::fs::write(&path, content).await.unwrap();
        let registry = format!("{name}a/b").parse::<Reference>().unwrap().registry().clone();
        find(&path, &registry).await.unwrap().map(|credential| match credential {
            Credential::Password { username, password } => format!("{username}:{}", password.reveal()),
            Credential::IdentityToken(_) => panic!("no token"),
        })
    }

    #[tokio::test]
    async fn machines_are_hosts_and_default_is_nobody() {
        for (name, expected) in [
            ("reg.example/", Some("user:hunter2")),
            ("reg.example:5000/", Some("user:hunter2")),
            ("a.reg.example/", None),
            ("two.example/", Some("us er:pass \"word\" #1")),
            ("hash.example/", Some("u:#hash")),
            ("macro.example/", None),
            ("comment.example/", None),
            ("ported.example:5000/", Some("five:p5")),
            ("ported.example:5001/", Some("any:p")),
            ("", Some("hub:ph")),
            ("nologin.example/", None),
            ("other.example/", None),
        ] {
            assert_eq!(find_in(FILE, name).await.as_deref(), expected, "{name}");
        }
    }

    #[tokio::test]
    async fn a_missing_file_has_nothing_and_a_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let registry = "reg.example/a".parse::<Reference>().unwrap().registry().clone();
        assert!(find(&folder.path().join("none"), &registry).await.unwrap().is_none());
        assert!(find(folder.path(), &registry).await.is_err());
    }
}
