//! Passwords that a credential helper keeps: `docker-credential-pass` over a real keyring, and one that never answers.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::command::{failure_of, output_of, output_of_with_input};
use crate::docker::Docker;
use crate::guarded::BASIC;
use crate::loader::Loader;
use crate::sealift::{at_home, sealift};
use crate::session::{Set, session};

const MAKE_KEYRING: &str = r#"
mkdir -m 700 "$GNUPGHOME"
gpg --batch --quiet --pinentry-mode loopback --passphrase "" --quick-generate-key sailor@site.test default default never
pass init sailor@site.test
"#;

/// Somebody whose docker keeps passwords with a helper.
struct User {
    home: PathBuf,
    variables: Vec<(&'static str, OsString)>,
}

impl User {
    fn new(test: &str, helper: &str, variables: Vec<(&'static str, OsString)>) -> Self {
        let home = session().work_folder(test);
        fs::create_dir(home.join(".docker")).unwrap();
        fs::write(home.join(".docker/config.json"), format!(r#"{{"credsStore": "{helper}"}}"#)).unwrap();
        Self { home, variables }
    }

    fn at_home<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        at_home(command, &self.home).envs(self.variables.iter().cloned())
    }

    fn login(&self) -> Command {
        let mut login = sealift(&["login", &BASIC.address, "-u", BASIC.user, "--password-stdin"]);
        self.at_home(&mut login);
        login
    }
}

#[test]
fn pass_keeps_what_login_gives_it_for_sealift_and_docker() {
    // The agent's socket lies there, and its path has to be short.
    let keyring = session().run.join("keyring");
    let user = User::new("helper-pass", "pass", vec![("GNUPGHOME", keyring.into())]);
    output_of(user.at_home(Command::new("sh").args(["-euc", MAKE_KEYRING])));
    let kept = || {
        let list = output_of(user.at_home(Command::new("docker-credential-pass").arg("list")));
        serde_json::from_str::<serde_json::Value>(&list).unwrap()
    };
    let (name, prints) = BASIC.push("helper-pass");
    let pull = || sealift(&["pull", &name, "-o", "image.tar"]);

    output_of_with_input(&mut user.login(), BASIC.password.as_bytes());
    assert_eq!(kept(), serde_json::json!({&BASIC.address: BASIC.user}));
    let file = fs::read_to_string(user.home.join(".docker/config.json")).unwrap();
    assert!(file.contains("credsStore") && !file.contains("\"auth\""), "{file}");
    output_of(user.at_home(&mut pull()));
    let docker = Docker(Set::Old);
    output_of(user.at_home(&mut docker.docker(&["pull", &name])));
    assert_eq!(docker.run(&name, &[]), prints);
    docker.remove(&name);

    output_of(user.at_home(&mut sealift(&["logout", &BASIC.address])));
    assert_eq!(kept(), serde_json::json!({}));
    fs::remove_file(user.home.join("image.tar")).unwrap();
    failure_of(user.at_home(&mut pull()), 5);
}

#[test]
fn a_helper_that_never_answers_is_ended() {
    let programs = session().work_folder("helper-hangs-programs");
    let helper = programs.join("docker-credential-hangs");
    fs::write(&helper, "#!/bin/sh\necho $$ >\"$HOME/helper\"\nexec sleep infinity\n").unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", programs.display());
    let user = User::new("helper-hangs", "hangs", vec![("PATH", path.into())]);
    let (name, _) = BASIC.push("helper-hangs");

    let begin = Instant::now();
    let said = failure_of(user.at_home(&mut sealift(&["pull", &name])), 5);
    assert!(begin.elapsed() < Duration::from_mins(1));
    assert!(said.contains("`docker-credential-hangs`") && said.contains("did not answer"), "{said}");
    let helper = fs::read_to_string(user.home.join("helper")).unwrap();
    assert!(!Path::new("/proc").join(helper.trim()).exists(), "it is still there");
}
