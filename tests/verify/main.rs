//! `sealift verify`: what is wrong with archives, what loaders will say, and what can be mended.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and writes what it likes"
)]

#[path = "../support/mod.rs"]
mod support;

mod corpus;
mod documents;
mod errors;
mod exact;
mod fixture;
mod flips;
mod hostile;
mod layers;
mod legacy;
mod names;
mod packings;
mod pieces;
mod pipes;
mod tar;
mod whole;
