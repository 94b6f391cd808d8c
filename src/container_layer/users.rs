//! Who the users of containers are on a machine: owners in layers are its numbers, which mean others elsewhere.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::docker::Docker;
use crate::daemon::Info;

/// None where the users of containers are the system's, else a word for how they are shifted: layers go from one Docker to
/// another only where it is the same.
pub(super) fn user_namespace(docker: &Docker) -> Option<String> {
    namespace_of(&docker.info, docker.engine.is_local())
}

fn namespace_of(info: &Info, is_local: bool) -> Option<String> {
    if info.has_security_option("rootless") {
        let range = || {
            let root = info.root_dir.metadata().ok()?;
            let read = |path: &str| fs::read_to_string(Path::new("/etc").join(path)).unwrap_or_default();
            rootless_range((root.uid(), root.gid()), &read("passwd"), &read("subuid"), &read("subgid"))
        };
        let range = if is_local { range() } else { None };
        // What can't be told is the same in the same Docker alone.
        return Some(range.unwrap_or_else(|| format!("rootless of Docker {}", info.id)));
    }
    // With `userns-remap` the last folder of the root has the first user and group of the range as its name.
    let range = || info.root_dir.file_name().map(|name| name.to_string_lossy().into_owned());
    info.has_security_option("userns").then(|| range().unwrap_or_default())
}

/// Root in a rootless Docker is the owner of its folder; all others are of the ranges that subuid(5) and subgid(5) give that
/// user, by name or number.
fn rootless_range(owner: (u32, u32), passwd: &str, of_users: &str, of_groups: &str) -> Option<String> {
    let (user, group) = owner;
    let number = user.to_string();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == Some(&*number)).then_some(name)
    });
    let ranges = |table: &str| {
        let of_user = |line: &str| {
            let (of, range) = line.trim().split_once(':')?;
            (of == number || Some(of) == name).then(|| range.to_owned())
        };
        let ranges: Vec<_> = table.lines().filter_map(of_user).collect();
        (!ranges.is_empty()).then(|| ranges.join(","))
    };
    Some(format!("rootless, users {user},{}, groups {group},{}", ranges(of_users)?, ranges(of_groups)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(options: &str, root: &str, id: &str) -> Info {
        let text = format!(r#"{{"ID":"{id}","SecurityOptions":[{options}],"DockerRootDir":"{root}"}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn users_that_are_shifted_are_told() {
        let of = |options: &str, root: &str| namespace_of(&info(options, root, "ID"), true);
        assert_eq!(of(r#""name=seccomp,profile=default""#, "/var/lib/docker"), None);
        assert_eq!(of(r#""name=userns""#, "/var/lib/docker/1000.1000").as_deref(), Some("1000.1000"));
    }

    /// Each user has a range of their own.
    #[test]
    fn two_rootless_dockers_are_not_the_same() {
        let passwd = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbob:x:1001:1001::/home/bob:/bin/sh\n";
        let ranges = "ann:100000:65536\n1001:231072:65536\n";
        let of = |uid| rootless_range((uid, uid), passwd, ranges, ranges);
        let ann = "rootless, users 1000,100000:65536, groups 1000,100000:65536";
        assert_eq!(of(1000).as_deref(), Some(ann));
        let bob = "rootless, users 1001,231072:65536, groups 1001,231072:65536";
        assert_eq!(of(1001).as_deref(), Some(bob));
        assert_eq!(of(1002), None);
        assert_eq!(rootless_range((1000, 1000), passwd, ranges, ""), None);
        // Where nothing tells the range.
        let rootless = r#""name=seccomp","name=rootless""#;
        for is_local in [true, false] {
            let of = |id| namespace_of(&info(rootless, "/nowhere/docker", id), is_local).unwrap();
            assert_ne!(of("A"), of("B"));
            assert_eq!(of("A"), of("A"));
        }
        // A folder of that name may be here by chance.
        let remote = namespace_of(&info(rootless, "/", "A"), false);
        assert_eq!(remote.as_deref(), Some("rootless of Docker A"));
    }
}
