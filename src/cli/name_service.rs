//! Keeps the static binary from loading the running system's C library to look up names.
//!
//! glibc looks up host names by modules that `/etc/nsswitch.conf` lists. `files` and `dns` are built into it (2.34 and
//! newer); any other (`myhostname`, `mdns4_minimal`, `resolve`) is loaded from the running system, and with it that
//! system's libc. In a static binary with another glibc that aborts: built with 2.36, run on Debian 11 (2.31), every
//! lookup ended in `_dl_call_libc_early_init: Assertion`. So the static binary looks into `/etc/hosts`, then asks DNS,
//! whatever `nsswitch.conf` says.

/// Fixes the order of lookup. To be called before there are threads and before the first lookup.
#[cfg(all(target_os = "linux", target_env = "gnu", target_feature = "crt-static"))]
#[allow(unsafe_code, reason = "glibc has this setting as a function only; see the module's text")]
pub(super) fn use_built_in_modules() {
    use std::ffi::{c_char, c_int};

    unsafe extern "C" {
        /// `<nss.h>`: the modules of one database, for this process.
        fn __nss_configure_lookup(database: *const c_char, modules: *const c_char) -> c_int;
    }
    // SAFETY: both are NUL-terminated and live forever, and no other thread runs yet. A failure leaves what was.
    unsafe {
        __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr());
    }
}

/// Other C libraries, and those loaded at run time, know their own system.
#[cfg(not(all(target_os = "linux", target_env = "gnu", target_feature = "crt-static")))]
pub(super) fn use_built_in_modules() {}
