//! nginx before something else: with TLS, slow, or breaking off; and what it was asked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::daemon::{Daemon, await_that};

pub(crate) struct Nginx {
    folder: PathBuf,
    daemon: Daemon,
}

/// A request that was answered, as the access log has it.
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) sent_bytes: u64,
}

impl Nginx {
    /// Starts it with what is to stand in the section `http`; it listens then.
    pub(crate) fn start(folder: &Path, http: &str) -> Self {
        write_config(folder, http);
        Self { folder: folder.to_owned(), daemon: run(folder) }
    }

    /// Ends it at once, with all its connections.
    pub(crate) fn stop(&mut self) {
        self.daemon.end(Signal::TERM);
    }

    /// Starts it again where it was.
    pub(crate) fn start_again(&mut self) {
        self.daemon = run(&self.folder);
    }

    /// Ends it and starts it with another section `http`.
    pub(crate) fn start_with(&mut self, http: &str) {
        self.stop();
        write_config(&self.folder, http);
        self.start_again();
    }

    /// Kills the processes that do the work, as a crash would; nginx starts others.
    pub(crate) fn kill_workers(&self) {
        let workers = workers(&self.daemon);
        assert!(!workers.is_empty(), "nginx has no workers");
        let mut kill = Command::new("/usr/bin/kill");
        crate::command::output_of(kill.args(["-s", "KILL"]).args(workers.split_whitespace()));
    }

    /// What was asked since it was last asked for. It is ended for that, once all is said and written down.
    pub(crate) fn requests(&mut self) -> Vec<Request> {
        self.daemon.end(Signal::QUIT);
        let log = self.folder.join("access.log");
        let requests = fs::read_to_string(&log).unwrap().lines().map(request).collect();
        fs::remove_file(log).unwrap();
        self.start_again();
        requests
    }
}

fn request(line: &str) -> Request {
    let (path, bytes) = line.split_once(' ').unwrap();
    Request { path: path.to_owned(), sent_bytes: bytes.parse().unwrap() }
}

fn run(folder: &Path) -> Daemon {
    let mut nginx = Command::new("/usr/sbin/nginx");
    nginx.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf"));
    let daemon = Daemon::start(folder, "nginx", &mut nginx);
    // It listens before it has workers, but a signal that comes between is lost.
    await_that("nginx has workers", || !workers(&daemon).is_empty());
    daemon
}

/// The ids of the processes that do the work.
fn workers(nginx: &Daemon) -> String {
    let master = nginx.id();
    fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap()
}

fn write_config(folder: &Path, http: &str) {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/{kind};\n", folder.display()))
        .concat();
    let config = format!(
        "daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
log_format requests '$uri $body_bytes_sent';
access_log {folder}/access.log requests;
{temporary}{http}}}
",
        folder = folder.display(),
    );
    fs::write(folder.join("nginx.conf"), config).unwrap();
}

/// A server that hands all on to `target`. It reads no further ahead than a few buffers, so what it has not sent yet is
/// lost with what is behind it.
pub(crate) fn server(listen: &str, settings: &str, target: &str) -> String {
    format!(
        "server {{
    listen {listen};
    {settings}
    location / {{
        proxy_pass http://{target};
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_max_temp_file_size 0;
    }}
}}
"
    )
}

/// The settings of a server with a certificate.
pub(crate) fn tls(certificate: &crate::certificates::Certificate) -> String {
    format!(
        "ssl_certificate {}; ssl_certificate_key {};",
        certificate.certificate.display(),
        certificate.key.display()
    )
}
