//! A Docker Hub on loopback: docker-registry that demands tokens, the token server, and nginx with a test CA before
//! both. Commands in its world find it under the names that the real one has.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::thread::sleep;
use std::time::Duration;

use crate::command::output_of;
use crate::session::session;
use crate::token_server::{ISSUER, SERVICE, TokenServer};

const REGISTRY: &str = "127.0.0.1:5001";
const TLS: &str = "127.0.0.2:443";

/// The hub of this session; what it started ends with the session.
pub(crate) struct Hub {
    pub(crate) ca: PathBuf,
    pub(crate) tokens: TokenServer,
    hosts: PathBuf,
    _running: [Child; 2],
}

pub(crate) static HUB: LazyLock<Hub> = LazyLock::new(Hub::start);

const CERTIFICATES: &str = r#"
key() { openssl req -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 7 "$@"; }
key -x509 -keyout ca.key -out ca.pem -subj "/CN=sealift test CA"
key -keyout hub.key -out hub.csr -subj "/CN=docker.io"
echo "subjectAltName=DNS:registry-1.docker.io,DNS:auth.docker.io" >names
openssl x509 -req -in hub.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 7 -extfile names -out hub.pem
openssl req -x509 -nodes -newkey rsa:2048 -days 7 -keyout token.key -out token.pem -subj "/CN=sealift test tokens"
"#;

impl Hub {
    fn start() -> Self {
        let folder = session().work_folder("hub");
        output_of(Command::new("sh").args(["-euc", CERTIFICATES]).current_dir(&folder));
        let tokens = TokenServer::start(&folder.join("token.pem"), folder.join("token.key"));

        fs::write(folder.join("registry.yml"), registry_config(&folder)).unwrap();
        let registry =
            start(&folder, "registry", Command::new("docker-registry").args(["serve", "registry.yml"]));
        await_port(REGISTRY);

        fs::write(folder.join("nginx.conf"), nginx_config(&folder, &tokens)).unwrap();
        let mut nginx = Command::new("/usr/sbin/nginx");
        nginx.arg("-p").arg(&folder).arg("-c").arg(folder.join("nginx.conf"));
        let nginx = start(&folder, "nginx", &mut nginx);
        await_port(TLS);

        let hosts = folder.join("hosts");
        fs::write(&hosts, "127.0.0.1 localhost\n127.0.0.2 registry-1.docker.io auth.docker.io\n").unwrap();
        Self { ca: folder.join("ca.pem"), tokens, hosts, _running: [registry, nginx] }
    }

    /// A command in a mount namespace of its own, where the hub's names are on loopback.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "--"]);
        command.args(["sh", "-euc", "mount --bind \"$0\" /etc/hosts; exec \"$@\""]);
        command.arg(&self.hosts).arg(program);
        command
    }
}

/// The open registry's storage, behind an access control.
fn registry_config(folder: &Path) -> String {
    format!(
        "version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {storage}}}}}
http: {{addr: '{REGISTRY}'}}
auth:
  token:
    realm: https://auth.docker.io/token
    service: {SERVICE}
    issuer: {ISSUER}
    rootcertbundle: {certificate}
",
        storage = session().state.join("registry").display(),
        certificate = folder.join("token.pem").display(),
    )
}

fn nginx_config(folder: &Path, tokens: &TokenServer) -> String {
    let server = |name: &str, target: &str| {
        format!(
            "server {{
    listen {TLS} ssl;
    server_name {name};
    ssl_certificate {folder}/hub.pem;
    ssl_certificate_key {folder}/hub.key;
    location / {{
        proxy_pass http://{target};
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-Proto https;
    }}
}}
",
            folder = folder.display()
        )
    };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/{kind};\n", folder.display()))
        .concat();
    format!(
        "daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
access_log off;
{temporary}{registry}{auth}}}
",
        folder = folder.display(),
        registry = server("registry-1.docker.io", REGISTRY),
        auth = server("auth.docker.io", &tokens.address.to_string()),
    )
}

/// Starts a server whose output goes to a log in its folder.
pub(crate) fn start(folder: &Path, name: &str, command: &mut Command) -> Child {
    let log = fs::File::options().create(true).append(true).open(folder.join(name).with_extension("log"));
    let log = log.unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command.current_dir(folder).spawn().unwrap()
}

/// Waits until something listens there.
pub(crate) fn await_port(address: &str) {
    for _ in 0..100 {
        if TcpStream::connect(address).is_ok() {
            return;
        }
        sleep(Duration::from_millis(100));
    }
    panic!("nothing listens on {address}: see the logs in {}", session().state.display());
}
