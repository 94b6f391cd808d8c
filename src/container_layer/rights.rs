//! May this process do all that a layer takes? Others than root see neither all files nor the attributes of overlayfs, and so
//! does root within a user namespace; what they made would lack things without a word.

use std::fs;

use super::error::ContainerLayerError;

/// Owners, files of others, their modes, devices, `trusted.*` attributes, file capabilities (capabilities(7)).
const NEEDED: [u32; 6] = [0, 1, 3, 21, 27, 31];

/// An error unless it may. Blocks.
pub(super) fn require_root() -> Result<(), ContainerLayerError> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    if may_all(&read("/proc/self/status"), &read("/proc/self/uid_map")) {
        Ok(())
    } else {
        Err(ContainerLayerError::NotRoot)
    }
}

fn may_all(status: &str, users: &str) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0);
    let is_everyones_namespace = users.split_whitespace().eq(["0", "0", "4294967295"]);
    is_everyones_namespace && NEEDED.iter().all(|capability| effective & 1 << capability != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_of_a_namespace_and_root_of_a_container_are_not_enough() {
        let whole = "         0          0 4294967295\n";
        assert!(may_all("Name:\tx\nCapEff:\t000001ffffffffff\n", whole));
        assert!(!may_all("CapEff:\t000001ffffffffff\n", "         0     100000      65536\n"));
        assert!(!may_all("CapEff:\t00000000a80425fb\n", whole), "a container's root");
        assert!(!may_all("CapEff:\t0000000000000000\n", whole));
        assert!(!may_all("", ""));
    }
}
