//! The wire: a client of the OCI distribution-spec and Docker's Registry HTTP API V2, and a small server of the same.

mod error;
pub mod server;

pub use error::RegistryError;
