//! The socket: serves a router on a loopback address until it is told to stop.
//!
//! Threats: the registry has no access control and no TLS of its own, so it must not be reachable from outside this
//! machine. Binding anything but a loopback address is an error, unless the router asks for a password itself.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long requests in flight may take once the server is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address other machines could reach.
    #[error("{0} is not a loopback address, and this registry asks nobody for a password")]
    NotLoopback(SocketAddr),
    /// The port is taken, or the address is not there.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A running server. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// Dropped to stop.
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves `router` (as [`router`](super::router) makes it, middleware around it or not) on a loopback address;
    /// port 0 takes a free one.
    pub async fn start(router: Router, address: SocketAddr) -> Result<Self, StartError> {
        if !address.ip().is_loopback() {
            return Err(StartError::NotLoopback(address));
        }
        Self::start_guarded(router, address).await
    }

    /// The same on any address: `router` has middleware around it that lets in only who shows a password.
    pub async fn start_guarded(router: Router, address: SocketAddr) -> Result<Self, StartError> {
        let failed = |source| StartError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let listener = listener.tap_io(|connection| {
            // Without it the last small segment of a response waits for an acknowledgement; failing costs only time.
            let _ = connection.set_nodelay(true);
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = axum::serve(listener, router).with_graceful_shutdown(async {
            let _ = stopped.await;
        });
        let task = tokio::spawn(async {
            // Never an error: accepting goes on after every one.
            let _ = serve.await;
        });
        Ok(Self { address, stop, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening and waits for requests in flight, up to five seconds.
    pub async fn shutdown(self) {
        drop(self.stop);
        let _ = tokio::time::timeout(GRACE, self.task).await;
    }
}
