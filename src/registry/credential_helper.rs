//! Credential helpers: `docker-credential-<name> get|store|erase`, the registry (or for `store` JSON with everything) on
//! stdin, JSON on stdout (docker-credential-helpers).
//!
//! Threats: a helper's stdout holds a secret and is never shown, not even when it fails; what it says on stderr is, unless
//! it repeats the secret that it was to store.
//! The registry's name goes through stdin, never into arguments. What our own environment holds of user and password is
//! not handed on. Names were checked when the file was read ([`super::docker_config`]). One that hangs is killed.

use std::process::{Output, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use crate::config::Environment;
use crate::foreign::shown;
use crate::image::Registry;
use crate::secret::Secret;

use super::credentials::{Credential, TOKEN_USER};
use super::docker_config::key_of;
use super::error::RegistryError;

const TIME_LIMIT: Duration = Duration::from_secs(30);
const MAX_OUTPUT_BYTES: u64 = 1 << 20;
/// What helpers print where they know nothing of a registry (`errCredentialsNotFound`); the exit status is 1.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// What can go wrong with a helper.
#[derive(Debug, thiserror::Error)]
pub enum HelperProblem {
    /// It is not installed.
    #[error("there is no such program on the PATH")]
    NotInstalled,
    /// It could not be started or spoken to.
    #[error("it could not be run")]
    NotRun(#[source] std::io::Error),
    /// It took too long and was killed.
    #[error("it did not answer within {} s", .limit.as_secs())]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// It ended with an error.
    #[error("it failed{}{said}", if .said.is_empty() { "" } else { ": " })]
    Failed {
        /// The first line of its stderr.
        said: String,
    },
    /// It printed no credentials.
    #[error("it printed no valid credentials")]
    BadAnswer,
}

/// What came of asking a helper.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// The credentials.
    Credential(Credential),
    /// It has none for the registry.
    Nothing,
    /// There is no such program on the PATH.
    NotInstalled,
}

/// Asks a helper for the credentials of `registry`, which it knows as `server`.
pub(super) async fn ask(
    helper: &str,
    server: &str,
    registry: &Registry,
    environment: &Environment,
) -> Result<Answer, RegistryError> {
    let failed = failure(helper, registry);
    match run(helper, "get", server, environment, TIME_LIMIT).await {
        Ok(stdout) => read_answer(&stdout).map_err(failed),
        Err(Refusal::NotFound) => Ok(Answer::Nothing),
        Err(Refusal::Problem(HelperProblem::NotInstalled)) => Ok(Answer::NotInstalled),
        Err(Refusal::Problem(problem)) => Err(failed(problem)),
    }
}

/// Has a helper keep the credentials of `registry`.
pub(super) async fn store(
    helper: &str,
    registry: &Registry,
    username: &str,
    secret: &Secret,
    environment: &Environment,
) -> Result<(), RegistryError> {
    let given = Given { server_url: key_of(registry), username, secret: secret.reveal() };
    let input = serde_json::to_string(&given).unwrap_or_default();
    match run(helper, "store", &input, environment, TIME_LIMIT).await {
        Ok(_) => Ok(()),
        Err(Refusal::NotFound) => Err(failure(helper, registry)(HelperProblem::BadAnswer)),
        // Some show what they could not store.
        Err(Refusal::Problem(HelperProblem::Failed { said })) if repeats(&said, secret) => {
            Err(failure(helper, registry)(HelperProblem::Failed { said: String::new() }))
        }
        Err(Refusal::Problem(problem)) => Err(failure(helper, registry)(problem)),
    }
}

/// True if `said`, which may be cut, has the secret in it or the beginning of the input that holds it.
fn repeats(said: &str, secret: &Secret) -> bool {
    said.contains(secret.reveal()) || said.contains("\"Secret\"")
}

/// Has a helper forget the credentials of `registry`; false if it had none.
pub(super) async fn erase(
    helper: &str,
    registry: &Registry,
    environment: &Environment,
) -> Result<bool, RegistryError> {
    match run(helper, "erase", key_of(registry), environment, TIME_LIMIT).await {
        Ok(_) => Ok(true),
        Err(Refusal::NotFound) => Ok(false),
        Err(Refusal::Problem(problem)) => Err(failure(helper, registry)(problem)),
    }
}

fn failure(helper: &str, registry: &Registry) -> impl Fn(HelperProblem) -> RegistryError {
    let (helper, registry) = (shown(helper), registry.clone());
    move |problem| RegistryError::CredentialHelper {
        helper: helper.clone(),
        registry: registry.clone(),
        problem,
    }
}

/// Why a helper printed nothing to be used.
#[derive(Debug)]
enum Refusal {
    /// It has nothing for the registry.
    NotFound,
    Problem(HelperProblem),
}

impl From<HelperProblem> for Refusal {
    fn from(problem: HelperProblem) -> Self {
        Self::Problem(problem)
    }
}

/// Runs `docker-credential-<helper> <action>` with `input` on stdin, and returns what it printed.
async fn run(
    helper: &str,
    action: &str,
    input: &str,
    environment: &Environment,
    limit: Duration,
) -> Result<Vec<u8>, Refusal> {
    let program = environment.program(&format!("docker-credential-{helper}"));
    let mut command = Command::new(program.ok_or(HelperProblem::NotInstalled)?);
    command.arg(action).env_clear().envs(environment.variables_for_programs());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(HelperProblem::NotRun)?;
    let answer = tokio::time::timeout(limit, talk(&mut child, input)).await;
    let Ok(output) = answer else {
        // Nothing of it is left when the error is told.
        let _ = child.kill().await;
        return Err(HelperProblem::TimedOut { limit }.into());
    };
    let output = output.map_err(HelperProblem::NotRun)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let says_not_found = |text: &[u8]| String::from_utf8_lossy(text).contains(NOT_FOUND);
    if says_not_found(&output.stdout) || says_not_found(&output.stderr) {
        return Err(Refusal::NotFound);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = shown(said.trim().lines().next().unwrap_or_default());
    Err(HelperProblem::Failed { said }.into())
}

/// Writes the input and reads what comes, both ends at once so that none waits for the other.
async fn talk(child: &mut Child, input: &str) -> std::io::Result<Output> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A helper may end without reading; its exit status tells more than a broken pipe.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
    };
    let read = |pipe: Option<_>| async {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            let pipe: std::pin::Pin<Box<dyn tokio::io::AsyncRead + Send>> = pipe;
            pipe.take(MAX_OUTPUT_BYTES).read_to_end(&mut bytes).await?;
        }
        std::io::Result::Ok(bytes)
    };
    let ((), stdout, stderr) = tokio::join!(
        write,
        read(stdout.map(|pipe| Box::pin(pipe) as _)),
        read(stderr.map(|pipe| Box::pin(pipe) as _))
    );
    Ok(Output { stdout: stdout?, stderr: stderr?, status: child.wait().await? })
}

/// What `store` is told.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Given<'a> {
    #[serde(rename = "ServerURL")]
    server_url: &'a str,
    username: &'a str,
    secret: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    username: String,
    secret: String,
}

fn read_answer(stdout: &[u8]) -> Result<Answer, HelperProblem> {
    let Printed { username, secret } =
        serde_json::from_slice(stdout).map_err(|_| HelperProblem::BadAnswer)?;
    if secret.is_empty() {
        return Ok(Answer::Nothing);
    }
    let secret = Secret::new(secret);
    Ok(Answer::Credential(match username.as_str() {
        TOKEN_USER => Credential::IdentityToken(secret),
        _ => Credential::Password { username, password: secret },
    }))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[tokio::test]
    async fn a_helper_that_hangs_is_killed() {
        let home = tempfile::tempdir().unwrap();
        let script = "echo $$ > \"$HOME/pid\"; exec sleep 60";
        tokio::fs::write(home.path().join("helper.sh"), script).await.unwrap();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/helpers:/usr/bin:/bin");
        let environment = [("PATH", path), ("HOME", home.path().to_str().unwrap())].into_iter().collect();
        let answer = run("fake", "get", "reg.example", &environment, Duration::from_secs(1)).await;
        let timed_out = matches!(answer, Err(Refusal::Problem(HelperProblem::TimedOut { .. })));
        assert!(timed_out, "{answer:?}");

        let pid = tokio::fs::read_to_string(home.path().join("pid")).await.unwrap();
        let process = PathBuf::from(format!("/proc/{}/cmdline", pid.trim()));
        // A process that was killed and not yet waited for has no command line.
        while tokio::fs::read(&process).await.is_ok_and(|line| !line.is_empty()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn a_helper_in_a_relative_folder_is_not_run() {
        let environment = [("PATH", ".:")].into_iter().collect();
        let answer = run("fake", "get", "reg.example", &environment, TIME_LIMIT).await;
        let not_installed = matches!(answer, Err(Refusal::Problem(HelperProblem::NotInstalled)));
        assert!(not_installed, "{answer:?}");
    }

    #[test]
    fn answers_are_read_and_an_empty_secret_is_none() {
        let read = |text: &str| read_answer(text.as_bytes());
        assert!(matches!(read(r#"{"Username":"u","Secret":""}"#), Ok(Answer::Nothing)));
        assert!(matches!(
            read(r#"{"Username":"<token>","Secret":"t"}"#),
            Ok(Answer::Credential(Credential::IdentityToken(_)))
        ));
        assert!(matches!(read("{}"), Err(HelperProblem::BadAnswer)));
    }
}
