//! What hermetic tests stand on: a sandbox to run the binary in, a registry with faults, images to put into it.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod archive;
pub(crate) mod bench;
pub(crate) mod containerd_store;
#[cfg(unix)]
pub(crate) mod engine;
pub(crate) mod forged;
pub(crate) mod image;
pub(crate) mod layer;
pub(crate) mod makers;
pub(crate) mod proxy;
pub(crate) mod pushing;
pub(crate) mod registry;
pub(crate) mod sandbox;
