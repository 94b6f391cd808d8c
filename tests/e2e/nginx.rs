//! nginx before something else: with TLS, slow, or breaking off; and what it was asked.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::daemon::{Daemon, await_port};

pub(crate) struct Nginx {
    _daemon: Daemon,
}

impl Nginx {
    /// Starts it with what is to stand in the section `http`; it listens at `address` then.
    pub(crate) fn start(folder: &Path, address: &str, http: &str) -> Self {
        write_config(folder, http);
        Self { _daemon: run(folder, address) }
    }
}

fn run(folder: &Path, address: &str) -> Daemon {
    let mut nginx = Command::new("/usr/sbin/nginx");
    nginx.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf"));
    let daemon = Daemon::start(folder, "nginx", &mut nginx);
    await_port(address);
    daemon
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
log_format requests '$request_method $uri $status $body_bytes_sent';
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
