//! What sealift is told from outside the command line: the environment and config.json.

mod environment;

pub use environment::Environment;
