//! The time now, as files and names have it.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::containerd_store::Timestamp;

/// Now, as RFC 3339 has it, to the second and in UTC.
pub(super) fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let unix_seconds = i64::try_from(since.as_secs()).unwrap_or_default();
    Timestamp { unix_seconds, nanoseconds: 0 }.to_string()
}
