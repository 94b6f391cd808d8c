//! Host names that one command knows and no other.

use std::path::Path;
use std::process::Command;

/// A command in a mount namespace of its own, whose `/etc/hosts` is `hosts`.
pub(crate) fn command_with_hosts(hosts: &Path, program: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--"]);
    command.args(["sh", "-euc", "mount --bind \"$0\" /etc/hosts; exec \"$@\""]);
    command.arg(hosts).arg(program);
    command
}
