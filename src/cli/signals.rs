//! Signals that tell a command to stop: Ctrl-C, SIGTERM, and a terminal that goes away.
//!
//! They are heard from before the work begins. One that came between the first request and the first wait for a signal would
//! end the process where it stands, or, within the system's own first call, be heard by nobody.

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
#[cfg(windows)]
use tokio::signal::windows::CtrlC as Signal;

use super::report::Failure;

/// The signals since it was made. Each one that listens hears them all.
pub(super) struct Signals {
    interrupt: Heard,
    terminate: Heard,
    hang_up: Heard,
}

impl Signals {
    /// Listens from now on, on the runtime that it is called on.
    #[cfg(unix)]
    pub(super) fn listen() -> Self {
        let heard = |kind| Heard(signal(kind).ok());
        Self {
            interrupt: heard(SignalKind::interrupt()),
            terminate: heard(SignalKind::terminate()),
            hang_up: if ignores_hang_up() { Heard(None) } else { heard(SignalKind::hangup()) },
        }
    }

    #[cfg(windows)]
    pub(super) fn listen() -> Self {
        let interrupt = Heard(tokio::signal::windows::ctrl_c().ok());
        Self { interrupt, terminate: Heard(None), hang_up: Heard(None) }
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> Failure {
        tokio::select! {
            () = self.interrupt.next() => Failure::Interrupted,
            () = self.terminate.next() => Failure::Terminated,
            () = self.hang_up.next() => Failure::HungUp,
        }
    }
}

/// One kind of signal; none where the system has it not, or lets nobody hear it.
struct Heard(Option<Signal>);

impl Heard {
    async fn next(&mut self) {
        let Some(signal) = &mut self.0 else { return std::future::pending().await };
        signal.recv().await;
    }
}

/// True under `nohup`, as far as the system tells: then a terminal that goes away ends nothing.
#[cfg(unix)]
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // SIGHUP is the first signal.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_none_or(|mask| mask & 1 == 1)
}
