//! A small `/v2/` registry on loopback.
