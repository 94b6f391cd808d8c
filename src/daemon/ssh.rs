//! The way to a daemon on another machine: `ssh HOST docker system dial-stdio`, as docker's own client goes it, for each
//! connection. To the HTTP client it looks like a socket, in a folder that is for us alone.
//!
//! Threats: host and user become arguments of `ssh`, so they stand behind `-l` and `--`. The remote command is a fixed
//! one but for the socket's path, which the remote shell gets quoted. ssh asks for passwords by itself, on the
//! terminal; nothing of them comes by here.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader, copy};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::Command;
use tokio::task::JoinHandle;

use super::address::SshAddress;
use crate::config::Environment;
use crate::foreign::shown;

/// What ssh said last is kept: why it failed.
const KEPT_LINES: usize = 3;

/// A socket that leads through ssh, as long as it lives.
pub(super) struct Bridge {
    folder: TempDir,
    said: Said,
    listening: JoinHandle<()>,
}

type Said = Arc<Mutex<Vec<String>>>;

impl Bridge {
    /// Listens; nothing is started before the first connection.
    pub(super) fn open(to: &SshAddress, client: &'static str, environment: &Environment) -> io::Result<Self> {
        let no_ssh = || io::Error::new(io::ErrorKind::NotFound, "there is no `ssh` on the PATH");
        let program = environment.program("ssh").ok_or_else(no_ssh)?;
        let only_us = std::fs::Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix("sealift-ssh-").permissions(only_us).tempdir()?;
        let listener = UnixListener::bind(folder.path().join(SOCKET))?;
        let said = Said::default();
        let (arguments, environment, kept) = (arguments(to, client), environment.clone(), Arc::clone(&said));
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut command = Command::new(&program);
                command
                    .args(&arguments)
                    .env_clear()
                    .envs(environment.variables_for_programs())
                    .kill_on_drop(true);
                tokio::spawn(join(stream, command, Arc::clone(&kept)));
            }
        });
        Ok(Self { folder, said, listening })
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }

    /// What ssh had to say, fit to show.
    pub(super) fn said(&self) -> Option<String> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        Some(said.join("; ")).filter(|said| !said.is_empty())
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

const SOCKET: &str = "daemon.sock";

fn arguments(to: &SshAddress, client: &str) -> Vec<String> {
    let mut arguments: Vec<String> = ["-T", "-o", "ConnectTimeout=30"].map(str::to_owned).into();
    if let Some(user) = &to.user {
        arguments.extend(["-l".to_owned(), user.clone()]);
    }
    if let Some(port) = to.port {
        arguments.extend(["-p".to_owned(), port.to_string()]);
    }
    arguments.extend(["--".to_owned(), to.host.clone(), client.to_owned()]);
    if let Some(socket) = &to.socket {
        let option = if client == "podman" { "--url" } else { "--host" };
        let quoted = format!("'unix://{}'", socket.replace('\'', r"'\''"));
        arguments.extend([option.to_owned(), quoted]);
    }
    arguments.extend(["system", "dial-stdio"].map(str::to_owned));
    arguments
}

/// One connection: what comes from `stream` goes to ssh, and the other way round.
async fn join(stream: UnixStream, mut command: Command, said: Said) {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return keep(&said, &format!("cannot start ssh: {error}")),
    };
    let (Some(mut stdin), Some(mut stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return;
    };
    let (mut from_us, mut to_us) = stream.into_split();
    let listening = tokio::spawn(listen(stderr, said));
    let sending = async move {
        let _ = copy(&mut from_us, &mut stdin).await;
    };
    let receiving = async {
        let _ = copy(&mut stdout, &mut to_us).await;
        // What it said is told with the connection's end, so it is read before.
        let _ = listening.await;
        drop(to_us);
    };
    tokio::select! {
        () = receiving => {}
        // The client has left.
        () = sending => {}
    }
}

async fn listen(stderr: impl AsyncRead + Unpin, said: Said) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        keep(&said, &line);
    }
}

fn keep(said: &Said, line: &str) {
    let line = shown(line.trim());
    if !line.is_empty() {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.push(line);
        let superfluous = said.len().saturating_sub(KEPT_LINES);
        said.drain(..superfluous);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::address::Address;

    /// Whoever opens the socket has the daemon.
    #[tokio::test]
    async fn the_way_through_ssh_is_for_us_alone() {
        let bin = tempfile::tempdir().unwrap();
        tokio::fs::write(bin.path().join("ssh"), "").await.unwrap();
        let environment = [("PATH", bin.path())].into_iter().collect();
        let Address::Ssh(to) = Address::parse("ssh://h").unwrap() else { panic!("not ssh") };
        let bridge = Bridge::open(&to, "docker", &environment).unwrap();
        let folder = bridge.folder.path().to_owned();
        assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        drop(bridge);
        assert!(!folder.exists());
    }

    #[test]
    fn ssh_is_started_as_docker_starts_it() {
        let line = |text: &str, client| match Address::parse(text).unwrap() {
            Address::Ssh(to) => arguments(&to, client).join(" "),
            other => panic!("{other}"),
        };
        assert_eq!(line("ssh://h", "docker"), "-T -o ConnectTimeout=30 -- h docker system dial-stdio");
        assert_eq!(
            line("ssh://me@h:22/a'b.sock", "podman"),
            r"-T -o ConnectTimeout=30 -l me -p 22 -- h podman --url 'unix:///a'\''b.sock' system dial-stdio"
        );
    }
}
