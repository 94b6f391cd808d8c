//! Proxies: squid for HTTP and CONNECT, microsocks for SOCKS5. Both want a password, and know host names that nobody else
//! here knows; what went through them is read off their logs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::certificates::Authority;
use crate::command::{failure_of, output_of};
use crate::daemon::{Daemon, await_port, await_that, free_address, free_site_address};
use crate::host_names::command_with_hosts;
use crate::images::push_small;
use crate::nginx::{Nginx, server, tls};
use crate::sealift::at_home;
use crate::session::session;

const USER: &str = "sailor";
pub(crate) const PASSWORD: &str = "rope-and-tar";
/// Names of this machine that only the proxies know.
pub(crate) const HIDDEN: &str = "hidden.site.test";
/// One that only sealift knows, where it is told.
const LOCAL: &str = "local.site.test";

/// A proxy, and a registry that is to be reached through it.
pub(crate) struct Site {
    home: PathBuf,
    /// The proxy's address.
    proxy: String,
    log: PathBuf,
    /// The registry's port; it listens on the address that is none of loopback.
    pub(crate) port: String,
    pub(crate) image: String,
    _daemons: (Nginx, Daemon),
}

impl Site {
    pub(crate) fn behind(test: &str, proxy: fn(&Path, &str) -> (Daemon, PathBuf), settings: &str) -> Self {
        let (home, address) = (session().work_folder(test), free_site_address());
        let port = address.rsplit_once(':').unwrap().1.to_owned();
        let listen = match settings {
            "" => address.clone(),
            _ => format!("{address} ssl"),
        };
        let nginx = Nginx::start(&home, &server(&listen, settings, &session().registry));
        fs::write(home.join("hidden"), format!("{} {HIDDEN}\n", session().site)).unwrap();
        fs::write(home.join("local"), format!("{} {LOCAL}\n", session().site)).unwrap();
        let proxy_address = free_address();
        let (daemon, log) = proxy(&home, &proxy_address);
        await_port(&proxy_address);
        let image = format!("e2e/{test}:v1");
        push_small(&format!("e2e/{test}"), "v1");
        Self { home, proxy: proxy_address, log, port, image, _daemons: (nginx, daemon) }
    }

    /// The proxy as `--proxy` and the environment take it.
    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{USER}:{PASSWORD}@{}", self.proxy)
    }

    /// A pull by this name of the registry, where [`LOCAL`] is known.
    fn pull(&self, host: &str, options: &[&str]) -> Command {
        let registry = format!("{host}:{}", self.port);
        let mut command = command_with_hosts(&self.home.join("local"), &session().sealift);
        command.args([
            "pull",
            &format!("{registry}/{}", self.image),
            "-o",
            "image.tar",
            "--insecure",
            &registry,
        ]);
        at_home(command.args(options), &self.home);
        command
    }

    /// Fails unless the pull makes the archive.
    fn succeeds(&self, pull: &mut Command) {
        output_of(pull);
        fs::remove_file(self.home.join("image.tar")).unwrap();
    }

    /// Waits until the log says that something went through.
    pub(crate) fn await_log(&self, text: &str) {
        await_that(&format!("the proxy says {text}"), || self.has_seen(text));
    }

    fn has_seen(&self, text: &str) -> bool {
        fs::read_to_string(&self.log).is_ok_and(|log| log.contains(text))
    }
}

pub(crate) fn squid(home: &Path, address: &str) -> (Daemon, PathBuf) {
    let folder = home.join("squid");
    fs::create_dir(&folder).unwrap();
    // squid gives up root.
    output_of(Command::new("chown").arg("proxy:").arg(&folder));
    output_of(Command::new("htpasswd").args(["-cbm"]).arg(home.join("users")).args([USER, PASSWORD]));
    let log = folder.join("access.log");
    let config = format!(
        "http_port {address}
hosts_file {home}/hidden
auth_param basic program /usr/lib/squid/basic_ncsa_auth {home}/users
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
cache deny all
access_log stdio:{log}
cache_log {folder}/cache.log
cache_store_log none
pid_filename none
pinger_enable off
shutdown_lifetime 0 seconds
visible_hostname squid.site.test
coredump_dir {folder}
",
        home = home.display(),
        log = log.display(),
        folder = folder.display(),
    );
    fs::write(home.join("squid.conf"), config).unwrap();
    let mut squid = Command::new("/usr/sbin/squid");
    (Daemon::start(home, "squid", squid.args(["-N", "-f", "squid.conf"])), log)
}

fn microsocks(home: &Path, address: &str) -> (Daemon, PathBuf) {
    let (host, port) = address.split_once(':').unwrap();
    let mut microsocks = command_with_hosts(&home.join("hidden"), Path::new("/usr/bin/microsocks"));
    microsocks.args(["-i", host, "-p", port, "-u", USER, "-P", PASSWORD]);
    (Daemon::start(home, "microsocks", &mut microsocks), home.join("microsocks.log"))
}

#[test]
fn a_plain_registry_is_reached_through_squid_alone() {
    let site = Site::behind("proxy-http", squid, "");
    failure_of(&mut site.pull(HIDDEN, &[]), 6);
    site.succeeds(&mut site.pull(HIDDEN, &["--proxy", &site.url("http")]));
    site.await_log(&format!("GET http://{HIDDEN}:{}/v2/e2e/proxy-http/blobs/", site.port));
    site.succeeds(site.pull(HIDDEN, &[]).env("http_proxy", site.url("http")));
}

#[test]
fn a_registry_with_tls_is_reached_through_squid_alone() {
    let folder = session().work_folder("proxy-certificates");
    let authority = Authority::new(&folder);
    let certificate = authority.issue("server", &format!("DNS:{HIDDEN}"));
    let site = Site::behind("proxy-https", squid, &tls(&certificate));
    let mut pull = site.pull(HIDDEN, &["--proxy", &site.url("http")]);
    site.succeeds(pull.arg("--ca").arg(authority.certificate()));
    site.await_log(&format!("CONNECT {HIDDEN}:{} ", site.port));
    assert!(!site.has_seen("/v2/"), "squid sees hosts and nothing else");
}

#[test]
fn squid_lets_nobody_through_without_its_password() {
    let site = Site::behind("proxy-password", squid, "");
    let anonymous = format!("http://{}", site.proxy);
    let wrong = format!("http://{USER}:barnacles@{}", site.proxy);
    for proxy in [&anonymous, &wrong] {
        let said = failure_of(&mut site.pull(HIDDEN, &["--proxy", proxy]), 6);
        assert!(said.contains("407") && said.contains("proxy") && !said.contains("barnacles"), "{said}");
    }
    site.await_log("TCP_DENIED/407");
}

#[test]
fn hosts_of_no_proxy_are_reached_without_squid() {
    let site = Site::behind("proxy-not", squid, "");
    let address = &session().site;
    let pull = |host: &str, no_proxy: &str| {
        let mut pull = site.pull(host, &[]);
        site.succeeds(pull.env("HTTP_PROXY", site.url("http")).env("NO_PROXY", no_proxy));
    };
    pull(address, "10.20.0.0/16");
    pull(LOCAL, ".site.test");
    pull(LOCAL, &format!("other.test, {LOCAL}:{}", site.port));
    // squid writes its log in order: if it had seen one of these, it would stand before what comes now.
    pull(address, "10.21.0.0/16,.site.test");
    site.await_log(&format!("GET http://{address}:{}/v2/", site.port));
    assert!(!site.has_seen(LOCAL));
    let log = fs::read_to_string(&site.log).unwrap();
    let manifests = log.lines().filter(|line| line.contains("/manifests/v1")).count();
    assert_eq!(manifests, 1, "{log}");
}

#[test]
fn socks5h_leaves_names_to_the_proxy() {
    let site = Site::behind("proxy-socks5h", microsocks, "");
    site.succeeds(&mut site.pull(HIDDEN, &["--proxy", &site.url("socks5h")]));
    site.await_log(&format!("connected to {HIDDEN}:{}", site.port));
    failure_of(&mut site.pull(LOCAL, &["--proxy", &site.url("socks5h")]), 6);
}

#[test]
fn socks5_looks_names_up_here() {
    let site = Site::behind("proxy-socks5", microsocks, "");
    site.succeeds(&mut site.pull(LOCAL, &["--proxy", &site.url("socks5")]));
    site.await_log(&format!("connected to {}:{}", session().site, site.port));
    failure_of(&mut site.pull(HIDDEN, &["--proxy", &site.url("socks5")]), 6);
}

#[test]
fn microsocks_lets_nobody_through_without_its_password() {
    let site = Site::behind("proxy-socks5-password", microsocks, "");
    for user in ["", "sailor:barnacles@"] {
        let proxy = format!("socks5h://{user}{}", site.proxy);
        let said = failure_of(&mut site.pull(HIDDEN, &["--proxy", &proxy]), 6);
        assert!(said.contains("proxy") && !said.contains("barnacles"), "{said}");
        println!("{said}");
    }
}
