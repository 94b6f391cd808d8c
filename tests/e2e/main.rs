//! The tests against the real parts: daemons, loaders and registries of two generations.
//!
//! `tests/run` starts those parts and says in the file named by `SEALIFT_E2E` where they are. A part that is missing is a
//! failure, never a skip.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "tests read their own environment and write their own files")]

mod altered;
mod archive;
mod as_typed;
mod basic_access;
mod binary;
mod browser;
mod certificates;
mod command;
mod container_layer;
mod containerd;
mod containerd_mirror;
mod containerd_store;
mod credential_helpers;
mod daemon;
mod demo;
mod disk_full;
mod docker;
mod docker_registry;
mod front;
mod grab;
mod guarded;
mod host_names;
mod hub;
mod images;
mod interrupted;
mod layer;
mod load;
mod load_script;
mod loader;
mod loads;
mod login;
mod many_images;
mod mirrors;
mod nginx;
mod page;
mod pipes;
mod plain_layers;
mod podman;
mod proxies;
mod pull;
mod push;
mod registry;
mod reuse;
mod running;
mod saved;
mod savers;
mod sealift;
mod serve;
mod served;
mod server;
mod session;
mod skopeo;
mod slow_lines;
mod snapshots;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod token_server;
mod verdicts;
