//! Serve: a page and an API that export lists of images into a folder, and hand the archives out.
//!
//! ```text
//! connection ──listener──▶ guard ──access──▶ api ──▶ exports ──runner──▶ crate::pull ──▶ files in the folder
//!                                             │         └─progress─▶ events       catalogue ─┘
//!                                             └──▶ files, downloads, script, log, registry_side
//! ```
//!
//! Threats: whoever reaches the port, and every page that a browser near it shows. `listener` bounds connections,
//! `guard` knows hosts and origins, `access` knows users, `answer` bounds bodies, `folder` resolves names, and
//! `request` keeps secrets in memory. Without users or a token only loopback is listened on.
//!
//! Neighbours: the pull is [`crate::pull`]'s, as the command line has it; what is in a file says [`crate::archived`].

mod access;
mod answer;
mod api;
mod budget;
mod catalogue;
mod checksums;
mod clock;
mod downloads;
mod events;
mod export;
mod exports;
mod failure;
mod files;
mod folder;
mod guard;
mod listener;
mod lists;
mod log;
mod metrics;
mod opened;
mod page;
mod progress;
mod registries_file;
mod registry_side;
mod request;
mod router;
mod runner;
mod schedule;
mod script;
mod tls;
mod users;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use self::access::Access;
use self::answer::Refusal;
use self::exports::Exports;
use self::files::{Cleaned, Files};
use self::folder::Folder;
use self::listener::Connections;
use self::log::{Asker, OperationLog};
use self::metrics::Metrics;
use self::opened::OpenedArchives;
use crate::fsio::{self, FileError, blocking};
use crate::secret::Secret;

pub use files::Cleanup;
pub use log::Tell;
pub use registries_file::{RegistriesFile, RegistriesFileError};
pub use request::Sources;
pub use tls::{TlsFiles, TlsProblem};
pub use users::{MIN_PASSWORD_BYTES, UserFileError, Users};

/// How long answers under way may take once the server is told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// What a server is told.
pub struct Settings {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The folder of archives.
    pub folder: PathBuf,
    /// What the folder is for.
    pub description: Option<String>,
    /// Who may use it.
    pub users: Users,
    /// What else lets in.
    pub token: Option<Secret>,
    /// Exports that run at a time.
    pub max_running: usize,
    /// How registries are reached.
    pub sources: Sources,
    /// Where its paths begin behind a reverse proxy; empty, or `/…` without a slash at its end.
    pub base_path: String,
    /// The names it goes by.
    pub hosts: Vec<String>,
    /// Its certificate.
    pub tls: Option<TlsFiles>,
    /// What all files may take.
    pub max_disk_bytes: Option<u64>,
    /// What is deleted by itself.
    pub cleanup: Cleanup,
    /// True if the images are offered at `/v2/`, too.
    pub has_registry: bool,
    /// Is told what happens.
    pub tell: Tell,
}

/// A server can't start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address others could reach, and nobody is asked for a password.
    #[error("{0} can be reached from other machines, and nobody would have to log in")]
    Unguarded(SocketAddr),
    /// The port is taken, or the address is not there.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The base path is no path.
    #[error("`{}` is no base path", .0.escape_debug())]
    BasePath(String),
    /// No host goes by such a name.
    #[error("`{}` is no name of a host", .0.escape_debug())]
    HostName(String),
    /// This machine stands in the way.
    #[error(transparent)]
    File(#[from] FileError),
    /// The certificate can't be used.
    #[error(transparent)]
    Tls(#[from] TlsProblem),
}

/// What all requests share.
struct App {
    files: Arc<Files>,
    exports: Exports,
    access: Access,
    log: OperationLog,
    metrics: Arc<Metrics>,
    sources: Sources,
    hosts: Vec<String>,
    description: Option<String>,
    is_tls: bool,
    cleanup: Cleanup,
    has_registry: bool,
    watchers: Arc<Semaphore>,
    /// A turn for each file that may be read to its end at a time.
    readers: Arc<Semaphore>,
    /// Archives whose images are handed out at `/v2/`.
    opened: OpenedArchives,
    stopping: watch::Sender<bool>,
}

/// A server that is ready to run.
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
}

impl Server {
    /// Opens the folder and the port.
    pub async fn open(settings: Settings) -> Result<Self, ServeError> {
        let access = Access::new(settings.users, settings.token.as_ref());
        if access.is_open() && !settings.listen.ip().is_loopback() {
            return Err(ServeError::Unguarded(settings.listen));
        }
        let base_path = base_path(&settings.base_path)?;
        let own_name = |told: String| guard::own_name(&told).ok_or(ServeError::HostName(told));
        let hosts = settings.hosts.into_iter().map(own_name).collect::<Result<_, _>>()?;
        // Each connection may hold a file.
        fsio::allow_open_files(2 * listener::MAX_CONNECTIONS);
        let tls = settings.tls.as_ref().map(TlsFiles::acceptor).transpose()?;
        let (path, max_disk_bytes, max_running) =
            (settings.folder, settings.max_disk_bytes, settings.max_running);
        let tell = settings.tell;
        let opened = blocking(move || {
            let folder = Folder::open(&path)?;
            let exports = Exports::open(&folder, max_running)?;
            let log = OperationLog::open(&folder.state(), tell)?;
            Ok::<_, FileError>((Arc::new(Files::new(folder, max_disk_bytes, base_path)), exports, log))
        });
        let (files, exports, log) = opened.await?;
        let failed = |source| ServeError::Bind { address: settings.listen, source };
        let listener = TcpListener::bind(settings.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let app = App {
            files,
            exports,
            access,
            log,
            metrics: Arc::default(),
            sources: settings.sources,
            hosts,
            description: settings.description,
            is_tls: tls.is_some(),
            cleanup: settings.cleanup,
            has_registry: settings.has_registry,
            watchers: Arc::new(Semaphore::new(events::MAX_WATCHERS)),
            readers: Arc::new(Semaphore::new(checksums::READERS)),
            opened: OpenedArchives::default(),
            stopping: watch::Sender::new(false),
        };
        Ok(Self { app: Arc::new(app), listener, address, tls })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its page is, for who is on this machine.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{}/", self.address, self.app.files.base_path)
    }

    /// Serves until `stop`; then exports pause, and what is being answered comes to its end.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), ServeError> {
        let app = self.app;
        app.log.add(&Asker::server(), "start", &*self.address.to_string(), "ok");
        exports::resume_paused(&app).await;
        let schedule = tokio::spawn(schedule::run(Arc::clone(&app)));
        let failed = |source| ServeError::Bind { address: self.address, source };
        let connections = Connections::new(self.listener, self.tls).map_err(failed)?;
        let router = router::router(&app).into_make_service_with_connect_info::<listener::Peer>();
        let mut stopping = app.stopping.subscribe();
        let serve = axum::serve(connections, router).with_graceful_shutdown(async move {
            let _ = stopping.wait_for(|stopping| *stopping).await;
        });
        let mut serve = tokio::spawn(async move {
            // Never an error: accepting goes on after every one.
            let _ = serve.await;
        });
        stop.await;
        app.stopping.send_replace(true);
        schedule.abort();
        exports::pause_all(&app).await;
        if tokio::time::timeout(GRACE, &mut serve).await.is_err() {
            serve.abort();
        }
        app.log.add(&Asker::server(), "stop", &*self.address.to_string(), "ok");
        let files = Arc::clone(&app.files);
        // What can't be read now is read at the next start.
        let _ = blocking(move || files.list().map(drop)).await;
        Ok(())
    }
}

impl App {
    fn cookie_path(&self) -> String {
        format!("{}/", self.files.base_path)
    }

    /// Refuses what would begin now that the server is about to end.
    fn check_open(&self) -> Result<(), Refusal> {
        if *self.stopping.borrow() { Err(Refusal::Stopping) } else { Ok(()) }
    }

    /// A login that was refused, counted and, unless it only has to wait, in the log: who guesses on must not fill it.
    fn wrong_login(&self, refusal: &Refusal, name: &str, from: IpAddr) {
        self.metrics.wrong_logins.fetch_add(1, Ordering::Relaxed);
        if matches!(refusal, Refusal::TooMany(..)) {
            return;
        }
        // A name that is none may be a password, typed into the wrong field.
        let name = if self.access.is_user(name) { name } else { "" };
        self.log.add(&Asker::new(None, from), "login", name, "refused");
    }

    fn tell_cleaned(&self, asker: &Asker, what: &str, cleaned: &Cleaned) {
        self.metrics.files_deleted.fetch_add(cleaned.deleted.len() as u64, Ordering::Relaxed);
        self.opened.forget(cleaned.deleted.iter().map(|file| &*file.name));
        cleaned.deleted.iter().for_each(|file| self.log.add(asker, what, &*file.name, "ok"));
        cleaned.failed.iter().for_each(|file| self.log.add(asker, what, &*file.name, &file.error));
    }

    /// Deletes what is to go by itself.
    async fn clean_up(self: &Arc<Self>) {
        if self.cleanup.max_age_days.is_none() && self.cleanup.max_files.is_none() {
            return;
        }
        let app = Arc::clone(self);
        let cleaned = blocking(move || {
            if let Some(days) = app.cleanup.max_age_days {
                app.exports.remove_left_over(&app.files.folder, days);
            }
            app.files.clean_up(app.cleanup)
        });
        match cleaned.await {
            Ok(cleaned) => self.tell_cleaned(&Asker::server(), "cleanup", &cleaned),
            Err(error) => self.log.add(&Asker::server(), "cleanup", "", &error.to_string()),
        }
    }
}

/// Nothing between taking and giving back a lock can panic halfway through a change, so poison is none.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `/images` of `images/`; nothing of `/`.
fn base_path(text: &str) -> Result<String, ServeError> {
    let inner = text.trim_matches('/');
    if inner.is_empty() {
        return Ok(String::new());
    }
    let is_plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    if inner.split('/').all(is_plain) {
        Ok(format!("/{inner}"))
    } else {
        Err(ServeError::BasePath(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_paths_are_brought_into_one_form() {
        for (text, path) in [("", ""), ("/", ""), ("images", "/images"), ("/a/b/", "/a/b")] {
            assert_eq!(base_path(text).unwrap(), path);
        }
        for bad in ["/a//b", "/../x", "/a b", "/{x}", "/a?b"] {
            assert!(base_path(bad).is_err(), "{bad}");
        }
    }
}
