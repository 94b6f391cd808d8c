//! Layer files: what a tree of any kind becomes, what is noticed of damage and harm, and the tree that comes out again.
#![cfg(target_os = "linux")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]

mod changes;
mod damage;
mod forged;
mod hostile;
mod round;
mod sockets;
mod tree;
mod version_1;
