//! The demo's registry: the embedded server on a free loopback port, with a small image for two platforms in it.
//!
//! What pulls from it is the same code that pulls from any registry.

mod image;

use std::net::{Ipv4Addr, SocketAddr};

use crate::registry::server::{self, Server, Store};

/// The registry's name for the image.
const REPOSITORY: &str = "sealift/demo";
const TAG: &str = "latest";

/// A running demo registry. Dropped, it stops.
pub struct DemoRegistry {
    server: Server,
}

/// The demo registry could not be started.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The embedded image was not accepted: a fault in sealift.
    #[error("the demo image was refused")]
    Image(#[from] server::ServerError),
    /// No port on loopback could be had.
    #[error("the demo registry can't be started")]
    Start(#[from] server::StartError),
}

impl DemoRegistry {
    /// Builds the image from `fixtures/demo` and serves it.
    pub async fn start() -> Result<Self, DemoError> {
        let store = Store::memory();
        image::publish(&store, REPOSITORY, TAG).await?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Ok(Self { server: Server::start(server::router(store), address).await? })
    }

    /// The demo image, as it would be typed.
    pub fn reference(&self) -> String {
        format!("{}/{REPOSITORY}:{TAG}", self.server.address())
    }
}
