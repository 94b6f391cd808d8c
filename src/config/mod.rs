//! What sealift is told from outside the command line: the environment and config.json.
//!
//! The shipped `config.json` is embedded; a user's file overlays it key by key. The current directory is never looked
//! at: a planted file there would steer where credentials go. Flags beat the environment, which beats files.

mod dockerops;
mod environment;
mod file;
mod proxy_text;
mod registries;

pub use dockerops::{Imported, Note};
pub use environment::Environment;
pub use file::{Config, ConfigError, MAX_CONNECTIONS, MAX_RETRY_TIMES, Origin, SHIPPED, user_path};
pub use proxy_text::ProxyText;
pub use registries::{MirrorOrder, OriginUse, Registries, RegistryName, RegistrySettings, TagAuthority};
