//! A server under test, and a client that sends what it is told to the byte.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::sandbox::Sandbox;

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_mins(1);

/// `sealift serve`, running. Dropped, it is killed.
pub(crate) struct Served {
    child: Child,
    pub(crate) address: String,
    log: PathBuf,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Served {
    /// Starts it in the sandbox's folder, on a free port, with `downloads` as its folder.
    pub(crate) fn start(sandbox: &Sandbox, arguments: &[&str]) -> Self {
        let log = sandbox.path().join("serve.log");
        let stderr = File::options().create(true).append(true).open(&log).unwrap();
        let own: &[&str] = if arguments.contains(&"--listen") { &[] } else { &["--listen", "127.0.0.1:0"] };
        let all = [&["serve", "--dir", "downloads"], own, arguments].concat();
        let mut child = sandbox.command(&all).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().split('/').nth(2).unwrap_or_default().to_owned();
        let said = || std::fs::read_to_string(&log).unwrap();
        assert!(!address.is_empty(), "it did not start: {}", said());
        Self { child, address, log }
    }

    /// The number of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// What it said on stderr.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends a request with these headers (`name: value`); `Host` is the server's, unless there is one.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut head = vec![format!("{method} {path} HTTP/1.1"), "Connection: close".to_owned()];
        if !headers.iter().any(|header| header.to_ascii_lowercase().starts_with("host:")) {
            head.push(format!("Host: {}", self.address));
        }
        if !body.is_empty() {
            head.push(format!("Content-Length: {}", body.len()));
        }
        head.extend(headers.iter().map(|header| (*header).to_owned()));
        let mut stream = self.connect();
        stream.write_all(format!("{}\r\n\r\n", head.join("\r\n")).as_bytes()).unwrap();
        // A refusal may come, and the line be closed, before all is sent.
        let _ = stream.write_all(body);
        Answer::read(stream)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], b"")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &["Content-Type: application/json"], body.to_string().as_bytes())
    }

    /// Waits until the export is in one of these states.
    pub(crate) fn wait(&self, id: &str, states: &[&str]) -> Value {
        let started = Instant::now();
        loop {
            let export = self.get(&format!("/api/exports/{id}")).json();
            if states.contains(&export["state"].as_str().unwrap()) {
                return export;
            }
            assert!(started.elapsed() < PATIENCE, "{export:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Begins an export and gives its id.
    pub(crate) fn export(&self, body: &Value) -> String {
        let answer = self.post("/api/exports", body);
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn stop(mut self) -> std::process::ExitStatus {
        self.terminate();
        let mut status = None;
        until(|| {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Answer {
    pub(crate) fn read(stream: TcpStream) -> Self {
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).unwrap(), 0, "the answer was cut: {head:?}");
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Self { status, head, body: Vec::new() };
        if answer.header("transfer-encoding").as_deref() == Some("chunked") {
            loop {
                let mut size = String::new();
                reader.read_line(&mut size).unwrap();
                let size = usize::from_str_radix(size.trim(), 16).unwrap();
                let mut chunk = vec![0; size + 2];
                reader.read_exact(&mut chunk).unwrap();
                answer.body.extend(&chunk[..size]);
                if size == 0 {
                    break;
                }
            }
        } else {
            reader.read_to_end(&mut answer.body).unwrap();
        }
        answer
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then(|| value.to_owned()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}: {}", self.status, self.text()))
    }
}

/// The names in the folder of archives, but for the server's own.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != ".sealift");
    names.sort();
    names
}

/// The archives in the folder.
pub(crate) fn archives(folder: &Path) -> Vec<String> {
    let mut names = names(folder);
    names.retain(|name| Path::new(name).extension().is_some_and(|extension| extension == "tar"));
    names
}

/// Looks until it is so.
pub(crate) fn until(mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "it did not come to be");
        std::thread::sleep(Duration::from_millis(20));
    }
}
