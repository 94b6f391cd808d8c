//! `login`, `logout`, `doctor`, and the options of access: what they say, store and hide.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]

mod support;

#[path = "support/scripted.rs"]
#[allow(dead_code, clippy::format_push_string, reason = "each test binary uses its own part")]
mod scripted;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use insta::assert_snapshot;
use scripted::{Reply, Request, Scripted};
use support::sandbox::Sandbox;

/// `me:hunter2`
const BASIC: &str = "bWU6aHVudGVyMg==";

/// A scripted registry, and a home to talk to it from.
struct Bench {
    server: Scripted,
    sandbox: Sandbox,
    _runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = runtime.block_on(Scripted::plain(script));
        let helpers = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/helpers:/usr/bin:/bin");
        let sandbox = Sandbox::new()
            .redact(server.address.port().to_string(), "PORT")
            // A machine may have no roots.
            .redact("built in", "the system's")
            .variable("SEALIFT_PASSWORD", "hunter2")
            .variable("PATH", helpers);
        Self { server, sandbox, _runtime: runtime }
    }

    /// One that asks for user and password.
    fn basic() -> Self {
        Self::new(|request| match request.authorization() {
            Some(given) if given == format!("Basic {BASIC}") => Reply::ok("{}"),
            _ => Reply::challenge("Basic realm=x"),
        })
    }

    fn address(&self) -> String {
        self.server.address.to_string()
    }

    fn run(&self, arguments: &[&str]) -> String {
        let shown = self.sandbox.run(arguments);
        assert!(!shown.contains("hunter2") && !shown.contains(BASIC), "{shown}");
        shown
    }

    fn login(&self) -> String {
        self.run(&["login", &self.address(), "-u", "me"])
    }

    fn config(&self) -> PathBuf {
        self.sandbox.home().join(".docker/config.json")
    }

    fn write_config(&self, text: &str) {
        fs::create_dir_all(self.config().parent().unwrap()).unwrap();
        fs::write(self.config(), text).unwrap();
    }

    fn helper(&self, script: &str) {
        fs::write(self.sandbox.home().join("helper.sh"), script).unwrap();
    }

    fn stored(&self) -> String {
        fs::read_to_string(self.config()).unwrap().replace(&self.server.address.port().to_string(), "PORT")
    }
}

#[test]
fn login_stores_what_the_registry_took_for_its_owners_eyes_only() {
    let bench = Bench::basic();
    assert_snapshot!("login", bench.login());
    assert_snapshot!("login_file", bench.stored());
    assert_eq!(fs::metadata(bench.config()).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(bench.run(&["doctor", &bench.address()]).starts_with("exit code: 0"));
}

#[test]
fn login_keeps_what_else_is_in_the_file() {
    let bench = Bench::basic();
    bench.write_config(
        "{\n  \"zebra\": {\"b\": 1,   \"a\": 2.50},\n  \"auths\": {\"other.example\": {\"auth\": \"eDp5\"}},\n  \"currentContext\": \"x\"\n}",
    );
    fs::set_permissions(bench.config(), fs::Permissions::from_mode(0o644)).unwrap();
    bench.login();
    assert_snapshot!("login_file_of_somebody", bench.stored());
    assert_eq!(fs::metadata(bench.config()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_snapshot!("logout", bench.run(&["logout", &bench.address()]));
    assert!(bench.stored().contains("other.example") && !bench.stored().contains("127.0.0.1"));
    assert_snapshot!("logout_of_nothing", bench.run(&["logout", &bench.address()]));
}

#[test]
fn login_reads_the_password_from_stdin() {
    let bench = Bench::basic();
    let sandbox = Sandbox::new();
    let mut login = sandbox.command(&["login", &bench.address(), "-u", "me", "--password-stdin"]);
    let mut child = login.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"hunter2\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::read_to_string(sandbox.home().join(".docker/config.json")).unwrap().contains(BASIC));
}

#[test]
fn credentials_that_are_refused_are_not_stored() {
    let refusing = Bench::new(|_| Reply::challenge("Basic realm=x"));
    assert_snapshot!("login_refused", refusing.login());
    let with_tokens = Bench::new(|request| {
        let given = request.authorization().unwrap_or_default();
        if request.target.starts_with("/token") && given.ends_with(BASIC) {
            return Reply::new(401, r#"{"details":"incorrect username or password"}"#);
        }
        Reply::challenge(r#"Bearer realm="/token",service="s",scope="repository:user/image:pull""#)
    });
    assert_snapshot!("login_refused_by_the_token_server", with_tokens.login());
    let token =
        with_tokens.server.requests().into_iter().find(|request| request.target.starts_with("/token"));
    assert_eq!(token.unwrap().target, "/token?service=s&account=me&client_id=sealift&offline_token=true");
    for bench in [refusing, with_tokens] {
        assert!(!bench.config().exists());
    }
}

/// As docker does it: the identity token is kept in the password's place, in the file or by a helper, and traded for tokens
/// of one run from then on.
#[test]
fn login_keeps_the_identity_token_of_a_token_server() {
    let with_tokens = || {
        Bench::new(|request| match (request.method.as_str(), request.authorization()) {
            ("GET", Some(given)) if request.target.starts_with("/token") && given.ends_with(BASIC) => {
                Reply::ok(r#"{"token":"short","refresh_token":"long-lived"}"#)
            }
            ("POST", _) if request.body.contains("refresh_token=long-lived") => {
                Reply::ok(r#"{"access_token":"short"}"#)
            }
            (_, Some("Bearer short")) => Reply::ok("{}"),
            _ => Reply::challenge(r#"Bearer realm="/token",service="s",scope="repository:user/image:pull""#),
        })
    };
    let bench = with_tokens();
    assert_snapshot!("login_with_identity_token", bench.login());
    assert_snapshot!("login_with_identity_token_file", bench.stored());
    let doctor = bench.run(&["doctor", &bench.address()]);
    assert!(doctor.contains("ok  login       the credentials are accepted"), "{doctor}");
    let requests = bench.server.requests();
    let tokens: Vec<_> = requests.iter().filter(|request| request.target.starts_with("/token")).collect();
    assert_eq!(tokens[0].target, "/token?service=s&account=me&client_id=sealift&offline_token=true");
    let form = "grant_type=refresh_token&client_id=sealift&scope=&refresh_token=long-lived&service=s";
    assert_eq!(
        (tokens.len(), &*tokens[1].method, &*tokens[1].target, &*tokens[1].body),
        (2, "POST", "/token", form)
    );
    assert!(bench.run(&["logout", &bench.address()]).starts_with("exit code: 0"));
    assert!(!bench.stored().contains("long-lived"));

    let bench = with_tokens();
    bench.write_config(r#"{"credsStore":"fake"}"#);
    bench.helper(r#"cat >> "$HOME/told""#);
    assert!(bench.login().starts_with("exit code: 0"));
    let told = fs::read_to_string(bench.sandbox.home().join("told")).unwrap();
    let expected = r#""Username":"<token>","Secret":"long-lived"}"#;
    assert!(told.ends_with(expected) && !bench.stored().contains("long-lived"), "{told}");
}

#[test]
fn login_at_a_registry_that_asks_nobody_says_so() {
    assert_snapshot!("login_unchecked", Bench::new(|_| Reply::ok("{}")).login());
    let down = Bench::new(|_| Reply::new(503, "upstream"));
    assert_snapshot!("login_at_a_broken_registry", down.login());
    assert!(!down.config().exists());
    let page = || Reply::ok("<!DOCTYPE html><html>hello</html>").with("Content-Type", "text/html");
    let page = Bench::new(move |_| page());
    assert_snapshot!("login_at_a_web_page", page.login());
    assert!(!page.config().exists());
}

#[test]
fn login_goes_through_the_helper_that_docker_is_set_to() {
    let bench = Bench::basic();
    let old = format!(r#"{{"auths":{{"{}":{{"auth":"b2xk"}}}},"credsStore":"fake"}}"#, bench.address());
    bench.write_config(&old);
    bench.helper(r#"echo "$1" >> "$HOME/actions"; cat >> "$HOME/told"; echo >> "$HOME/told""#);
    assert_snapshot!("login_by_helper", bench.login());
    assert_snapshot!("login_by_helper_file", bench.stored());
    assert_snapshot!("logout_by_helper", bench.run(&["logout", &bench.address()]));
    let read = |name: &str| fs::read_to_string(bench.sandbox.home().join(name)).unwrap();
    assert_eq!(read("actions"), "store\nerase\n");
    let told = format!(r#"{{"ServerURL":"{0}","Username":"me","Secret":"hunter2"}}"#, bench.address());
    assert_eq!(read("told"), format!("{told}\n{}\n", bench.address()));

    bench.helper("echo hunter2; echo the keyring is locked >&2; exit 1");
    assert_snapshot!("login_with_a_failing_helper", bench.login());
    bench.helper("echo \"cannot store $(cat)\" >&2; exit 1");
    assert_snapshot!("login_with_a_helper_that_repeats_the_password", bench.login());
    bench.write_config(r#"{"credsStore":"not-there"}"#);
    assert_snapshot!("login_without_its_helper", bench.login());
}

#[test]
fn a_file_that_can_not_be_read_is_not_overwritten() {
    let bench = Bench::basic();
    bench.write_config(r#"{"auths": hunter2"#);
    assert_snapshot!("login_with_a_broken_file", bench.login());
    assert_snapshot!("logout_with_a_broken_file", bench.run(&["logout", &bench.address()]));
    assert_eq!(fs::read_to_string(bench.config()).unwrap(), r#"{"auths": hunter2"#);
}

#[test]
fn docker_hub_has_its_own_key() {
    let bench = Bench::basic();
    bench.write_config(r#"{"auths":{"https://index.docker.io/v1/":{"auth":"eDp5"},"docker.io":{}}}"#);
    assert_snapshot!("logout_of_docker_hub", bench.run(&["logout"]));
    assert_eq!(bench.stored(), "{\n\t\"auths\": {}\n}\n");
}

#[test]
fn what_is_typed_wrong() {
    let sandbox = Sandbox::new();
    for (name, arguments) in [
        ("login_without_user", vec!["login", "reg.example"]),
        ("login_without_password", vec!["login", "reg.example", "-u", "me"]),
        ("login_user_with_colon", vec!["login", "reg.example", "-u", "a:b"]),
        ("login_to_no_host", vec!["login", "registry", "-u", "me"]),
        ("key_without_cert", vec!["pull", "x", "--key", "client.key"]),
        ("no_cert_file", vec!["doctor", "reg.example", "--cert", "none.pem"]),
        ("cert_of_two_registries", vec!["pull", "a.example/x", "b.example/x", "--cert", "none.pem"]),
        ("bad_proxy", vec!["pull", "x", "--proxy", "ftp://user:hunter2@proxy"]),
        ("image_with_a_password", vec!["pull", "https://me:hunter2@reg.example/x:1"]),
        ("login_with_a_password_in_the_host", vec!["login", "me:hunter2@reg.example", "-u", "me"]),
        ("insecure_host_with_a_password", vec!["pull", "x", "--insecure", "me:hunter2@reg.example"]),
    ] {
        let shown = sandbox.run(&arguments);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_snapshot!(name, shown);
    }
    let list = "nginx:1\nme:hunter2@reg.example/x:1\n";
    fs::write(sandbox.out().join("list.txt"), list).unwrap();
    let shown = sandbox.run(&["pull", "--file", "list.txt"]);
    assert!(shown.contains("…@reg.example/x:1") && !shown.contains("hunter2"), "{shown}");
    let config = sandbox.home().join("own.json");
    fs::write(&config, r#"{"registries":{"me:hunter2@reg.example":[]}}"#).unwrap();
    let shown = sandbox.run(&["--config", config.to_str().unwrap(), "pull", "x"]);
    assert!(shown.contains("…@reg.example") && !shown.contains("hunter2"), "{shown}");
    let nowhere = sandbox.command(&["logout"]).env_remove("HOME").output().unwrap();
    assert_eq!(nowhere.status.code(), Some(7));
    assert_snapshot!("logout_without_home", String::from_utf8(nowhere.stderr).unwrap());
}

#[test]
fn doctor_tells_what_is_used_and_what_fails() {
    let bench = Bench::basic();
    assert_snapshot!("doctor_stranger", bench.run(&["doctor", &bench.address()]));
    bench.login();
    assert_snapshot!("doctor", bench.run(&["doctor", &bench.address()]));
    assert_snapshot!("doctor_json", bench.run(&["doctor", &bench.address(), "--json"]));
    let wrong = format!(r#"{{"auths":{{"{}":{{"auth":"bWU6d3Jvbmc="}}}}}}"#, bench.address());
    bench.write_config(&wrong);
    assert_snapshot!("doctor_wrong_password", bench.run(&["doctor", &bench.address()]));
    assert_snapshot!("doctor_wrong_password_json", bench.run(&["doctor", &bench.address(), "--json"]));
    bench.write_config(r#"{"credsStore":"not-there"}"#);
    assert_snapshot!("doctor_without_helper", bench.run(&["doctor", &bench.address()]));
    let given = bench.run(&["doctor", "-u", "me", &bench.address()]);
    assert!(given.starts_with("exit code: 0") && given.contains("  options or environment\n"), "{given}");
    bench.write_config("{hunter2");
    assert_snapshot!("doctor_broken_file", bench.run(&["doctor", &bench.address()]));
}

#[test]
fn doctor_names_the_step_that_fails() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sandbox = Sandbox::new().redact(free.port().to_string(), "DOWN").redact("built in", "the system's");
    assert_snapshot!("doctor_down", sandbox.run(&["doctor", &free.to_string()]));
    let proxy = format!("http://user:hunter2@{free}");
    assert_snapshot!("doctor_proxy_down", sandbox.run(&["doctor", "reg.example", "--proxy", &proxy]));
    let asking = Bench::new(|_| Reply::new(407, ""));
    let proxy = format!("http://user:hunter2@{}", asking.address());
    assert_snapshot!("doctor_proxy_refuses", asking.run(&["doctor", "reg.example", "--proxy", &proxy]));
    let page = Bench::new(|_| Reply::new(404, "<!DOCTYPE html><html>").with("Content-Type", "text/html"));
    assert_snapshot!("doctor_web_page", page.run(&["doctor", &page.address()]));
}

/// In the order in which they are asked, each with its own credentials.
#[test]
fn doctor_tells_of_mirrors() {
    let (registry, good) = (Bench::basic(), Bench::basic());
    let down = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let bench = registry;
    let sandbox = Sandbox::new()
        .redact(bench.server.address.port().to_string(), "PORT")
        .redact(good.server.address.port().to_string(), "GOOD")
        .redact(down.port().to_string(), "DOWN")
        .redact("built in", "the system's");
    let folder = sandbox.home().join(".docker");
    fs::create_dir(&folder).unwrap();
    let auths = format!(r#"{{"auths":{{"{}":{{"auth":"{BASIC}"}}}}}}"#, good.address());
    fs::write(folder.join("config.json"), auths).unwrap();
    let settings = sandbox.home().join("own.json");
    let doctor = |change: &str, more: &[&str]| {
        let mirrors = format!(r#""mirrors":["{down}","http://{}/hub"]{change}"#, good.address());
        let text = format!(r#"{{"registries":{{"{}":{{{mirrors}}}}}}}"#, bench.address());
        fs::write(&settings, text).unwrap();
        let arguments = ["--config", settings.to_str().unwrap(), "doctor", &bench.address()];
        let shown = sandbox.run(&[&arguments[..], more].concat());
        assert!(!shown.contains("hunter2") && !shown.contains(BASIC), "{shown}");
        shown
    };
    assert_snapshot!("doctor_mirrors", doctor("", &[]));
    assert_snapshot!("doctor_mirrors_json", doctor("", &["--json"]));
    let requests = good.server.requests();
    assert!(requests.iter().all(|request| request.target == "/hub/v2/"), "its own API: {requests:?}");
    let before = bench.server.requests().len();
    assert_snapshot!("doctor_of_mirrors_only", doctor(r#","origin":"never""#, &[]));
    assert_eq!(bench.server.requests().len(), before, "it is never asked");
    let all_down = format!(r#"{{"registries":{{"reg.example":{{"mirrors":["{down}"],"origin":"never"}}}}}}"#);
    fs::write(&settings, all_down).unwrap();
    let shown = sandbox.run(&["--config", settings.to_str().unwrap(), "doctor", "reg.example"]);
    assert_snapshot!("doctor_of_a_mirror_that_is_down", shown);
    for (verify_tag, code) in [("mirror", 0), ("origin", 6)] {
        let one = format!(r#"{{"mirrors":["{}"],"verify_tag":"{verify_tag}"}}"#, good.address());
        fs::write(&settings, format!(r#"{{"registries":{{"{down}":{one}}}}}"#)).unwrap();
        let shown = sandbox.run(&["--config", settings.to_str().unwrap(), "doctor", &down.to_string()]);
        assert!(shown.starts_with(&format!("exit code: {code}\n")), "{verify_tag}: {shown}");
    }
}

#[test]
fn proxies_in_the_settings_are_used_and_not_shown() {
    let proxy = Bench::new(|_| Reply::new(407, ""));
    let sandbox = Sandbox::new().redact(proxy.server.address.port().to_string(), "PORT");
    let file = sandbox.home().join("own.json");
    let own = |text: &str| {
        fs::write(&file, text).unwrap();
        let shown = |arguments: &[&str]| {
            let shown = sandbox.run(&[&["--config", file.to_str().unwrap()], arguments].concat());
            assert!(!shown.contains("hunter2"), "{shown}");
            shown
        };
        (shown(&["config", "show"]), shown(&["doctor", "reg.example"]))
    };
    let url = format!("http://me:hunter2@{}", proxy.address());
    let (shown, doctor) = own(&format!(r#"{{"proxies":{{".example":"{url}"}}}}"#));
    assert_snapshot!("config_show_of_proxies", shown);
    assert!(doctor.contains("proxy               http://127.0.0.1:PORT/\n"), "{doctor}");
    assert_eq!(proxy.server.requests().len(), 1);
    let (_, doctor) = own(&format!(r#"{{"proxy":"{url}"}}"#));
    assert!(doctor.contains("proxy               http://127.0.0.1:PORT/\n"), "{doctor}");
    let (_, doctor) = own(r#"{"proxies":{"reg.example":"ftp://me:hunter2@p"}}"#);
    assert_snapshot!("bad_proxy_in_settings", doctor);
    let (_, doctor) = own(r#"{"proxy":{"url":"hunter2"}}"#);
    assert_snapshot!("proxy_of_another_type", doctor);
}

#[test]
fn client_certificates_that_can_not_be_used() {
    let sandbox = Sandbox::new();
    let made = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
        fs::write(sandbox.out().join(format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(sandbox.out().join(format!("{name}.key")), key.serialize_pem()).unwrap();
    };
    made("one");
    made("two");
    for (name, options) in [
        ("cert_without_certificate", ["--cert", "one.key", "--key", "one.key"].as_slice()),
        ("cert_without_key", &["--cert", "one.pem"]),
        ("cert_of_another_key", &["--cert", "one.pem", "--key", "two.key"]),
    ] {
        let shown = sandbox.run(&[&["pull", "reg.example/x"], options].concat());
        assert!(!shown.contains("PRIVATE"), "{shown}");
        assert_snapshot!(name, shown);
    }
    let folder = sandbox.home().join(".docker/certs.d/reg.example");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(sandbox.out().join("one.pem"), folder.join("client.cert")).unwrap();
    assert_snapshot!("certs_d_without_key", sandbox.run(&["doctor", "reg.example"]));
    let page = "<html>\r\n<head><title>400 No required SSL certificate was sent</title></head>";
    let bench = Bench::new(move |_| Reply::new(400, page).with("Content-Type", "text/html"));
    assert_snapshot!("client_certificate_wanted", bench.run(&["pull", &format!("{}/x", bench.address())]));
}

#[test]
fn helpers_that_do_not_help_a_pull() {
    let bench = Bench::basic();
    let image = format!("{}/x", bench.address());
    bench.write_config(r#"{"credsStore":"not-there"}"#);
    assert_snapshot!("pull_without_its_helper", bench.run(&["pull", &image]));
    bench.write_config(r#"{"credsStore":"fake"}"#);
    bench.helper("echo hunter2; echo the keyring is locked >&2; exit 1");
    assert_snapshot!("pull_with_a_failing_helper", bench.run(&["pull", &image]));
    bench.helper("echo hunter2");
    assert_snapshot!("pull_with_a_helper_that_talks", bench.run(&["pull", &image]));
}

#[test]
#[ignore = "slow: tests/run --long"]
fn a_helper_that_hangs_is_told() {
    let bench = Bench::basic();
    bench.write_config(r#"{"credsStore":"fake"}"#);
    bench.helper("exec sleep 120");
    assert_snapshot!(
        "pull_with_a_helper_that_hangs",
        bench.run(&["pull", &format!("{}/x", bench.address())])
    );
}

#[test]
fn files_of_credentials_that_can_not_be_read() {
    let bench = Bench::basic();
    let auth = bench.sandbox.home().join(".config/containers/auth.json");
    fs::create_dir_all(auth.parent().unwrap()).unwrap();
    fs::write(&auth, r#"{"auths":{"a.example":"hunter2"}}"#).unwrap();
    assert_snapshot!("broken_auth_json", bench.run(&["pull", &format!("{}/x", bench.address())]));
    fs::remove_file(auth).unwrap();
    fs::create_dir(bench.sandbox.home().join(".netrc")).unwrap();
    assert_snapshot!("unreadable_netrc", bench.run(&["pull", &format!("{}/x", bench.address())]));
}
