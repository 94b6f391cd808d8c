//! Daemons that tests start by themselves: each is ended when its value is dropped, and with the session at the latest.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::session::session;

/// A running daemon.
pub(crate) struct Daemon(Child);

impl Daemon {
    /// Starts it in its folder, with its output in a log there.
    pub(crate) fn start(folder: &Path, name: &str, command: &mut Command) -> Self {
        let log = fs::File::options().create(true).append(true).open(folder.join(name).with_extension("log"));
        let log = log.unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self(command.current_dir(folder).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Asks it to end in one way or another, unless it has, and waits for that.
    pub(crate) fn end(&mut self, how: Signal) {
        if self.0.try_wait().unwrap().is_none() {
            signal(&self.0, how);
            await_that("a daemon ends", || self.0.try_wait().unwrap().is_some());
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end(Signal::TERM);
    }
}

/// Sends a signal to a process that was not waited for yet.
pub(crate) fn signal(process: &Child, signal: Signal) {
    kill_process(Pid::from_child(process), signal).unwrap();
}

/// An address on loopback that nobody else in the session listens on.
pub(crate) fn free_address() -> String {
    format!("127.0.0.1:{}", free_port())
}

/// The same, on the session's address that is none of loopback.
pub(crate) fn free_site_address() -> String {
    format!("{}:{}", session().site, free_port())
}

/// A port below those that the system gives away, and none of those that browsers refuse (6000, 6665, …).
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(7000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Waits until something listens there.
pub(crate) fn await_port(address: &str) {
    await_that(&format!("somebody listens on {address}"), || TcpStream::connect(address).is_ok());
}

/// Waits until it is so.
pub(crate) fn await_that(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        let logs = session().state.display();
        assert!(
            begin.elapsed() < Duration::from_mins(1),
            "{what}: not within a minute; the logs are in {logs}"
        );
        sleep(Duration::from_millis(10));
    }
}
