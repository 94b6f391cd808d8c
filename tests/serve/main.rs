//! `sealift serve`, seen from outside: the binary against the embedded registry, spoken to in plain HTTP.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod attacks;
mod contract;
mod downloads;
mod exports;
mod files;
mod page;
mod registry;
mod restart;
mod server;
mod start;
