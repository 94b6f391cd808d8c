//! What can go wrong between sealift and a registry.

/// A registry could not be reached, refused, or answered what it must not.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {}
