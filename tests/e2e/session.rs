//! Where the parts that `tests/run` started are, and how commands of either set are run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::{env, fs};

/// What `tests/run` wrote down about the session.
pub(crate) struct Session {
    /// A folder on disk, at the same path for both sets.
    pub(crate) state: PathBuf,
    /// A folder for sockets, at the same path for both sets.
    pub(crate) run: PathBuf,
    /// `host:port` of the docker-registry without any access control.
    pub(crate) registry: String,
    /// An address of this machine that is none of loopback.
    pub(crate) site: String,
    /// The control group of everything that is run, also the name of containerd's namespace.
    pub(crate) control_group: String,
    /// The cached root of the modern set, for reading.
    pub(crate) modern_root: PathBuf,
    /// axe-core's script.
    pub(crate) axe: PathBuf,
    /// The command of schemathesis.
    pub(crate) schemathesis: PathBuf,
    /// The release binary.
    pub(crate) sealift: PathBuf,
    modern_namespace: PathBuf,
}

/// The session all tests share.
pub(crate) fn session() -> &'static Session {
    static SESSION: LazyLock<Session> = LazyLock::new(|| {
        let parts =
            env::var("SEALIFT_E2E").expect("SEALIFT_E2E is not set: these tests are started by tests/run");
        Session::read(Path::new(&parts))
    });
    &SESSION
}

impl Session {
    fn read(parts: &Path) -> Self {
        let text = fs::read_to_string(parts)
            .unwrap_or_else(|error| panic!("{}: {error}: start by tests/run", parts.display()));
        let part = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
                .unwrap_or_else(|| panic!("{} does not say {name}", parts.display()))
        };
        Self {
            state: part("STATE").into(),
            run: part("RUN").into(),
            registry: part("REGISTRY").into(),
            site: part("SITE").into(),
            control_group: part("CGROUP").into(),
            modern_root: part("MODERN_ROOT").into(),
            axe: part("AXE").into(),
            schemathesis: part("SCHEMATHESIS").into(),
            sealift: part("SEALIFT").into(),
            modern_namespace: part("MODERN_NAMESPACE").into(),
        }
    }

    /// An empty folder for one test or image; the run's end removes it.
    pub(crate) fn work_folder(&self, name: &str) -> PathBuf {
        let folder = self.state.join("work").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::create_dir_all(&folder).unwrap();
        folder
    }
}

/// Which generation of the parts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    /// Debian bookworm's: Docker 20.10, containerd 1.6, podman 4.3, skopeo 1.9.
    Old,
    /// Debian forky's: Docker 28, containerd 2, podman 5, skopeo 1.22.
    Modern,
}

impl Set {
    /// The set's name in sockets and folders.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Set::Old => "old",
            Set::Modern => "modern",
        }
    }

    /// A command of this set. `program` is a full path: what lies elsewhere on PATH is not the set's.
    pub(crate) fn command(self, program: &str) -> Command {
        match self {
            Set::Old => Command::new(program),
            Set::Modern => {
                let mut command = Command::new("nsenter");
                let namespace = session().modern_namespace.display();
                command.args([&format!("--mount={namespace}"), "--", program]);
                command
            }
        }
    }
}
