//! What containers write: every kind of thing there is.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timespec, Timestamps, UTIME_OMIT, XattrFlags, chmodat, chownat, lsetxattr,
    makedev, mknodat, utimensat,
};
use rustix::process::{Gid, Uid};

/// In a container of busybox: what its programs do.
pub(super) const BY_BUSYBOX: &str = r"
set -eu
umask 022
b=/bin/busybox
$b mkdir -p /new/deep /new/empty
echo content >/new/deep/file
$b ln /new/deep/file /new/another-name
$b ln -s ../nowhere /new/deep/dangling
$b ln -s /etc/hostname /new/absolute
$b ln -s deep /new/to-a-directory
$b mknod /new/pipe p
$b mknod /new/null c 1 3
$b mknod /new/loop b 7 0
$b cp $b /new/setuid && $b chmod 6755 /new/setuid
$b mkdir -m 1777 /new/sticky
$b chown 1234:5678 /new/deep/file
$b chown 3000000:2000000 /new/empty
$b mkdir -p /new/$($b printf '%0255d' 0)
echo letters >/new/grüße
echo line >'/new/two
lines'
echo more >>/says
$b rm /other
$b rm /etc/image
$b rm -r /folder
$b mkdir /folder
echo only >/folder/only
$b truncate -s 3M /new/sparse
i=0; while [ $i -lt 300 ]; do echo $i >/new/deep/$i; i=$((i+1)); done
";

/// In a container of Debian.
pub(super) const BY_DEBIAN: &str = r"
set -eu
useradd --create-home --uid 4321 deckhand
install -d -m 2775 -o deckhand -g 4321 /srv/shared
cp -a /usr/share/perl5 /srv/perl5
ln /srv/perl5/*/*.pm /srv/shared/ 2>/dev/null || ln /etc/passwd /srv/shared/passwd
rm -rf /usr/share/zoneinfo /usr/share/bug /etc/skel
mkdir /etc/skel && echo new >/etc/skel/only
sed -i s/root/root/ /etc/group
chmod 700 /usr/share/perl5
touch -h -d '1999-12-31 23:59:59.123456789' /etc/skel/only
mv /usr/share/pixmaps /usr/share/pictures 2>/dev/null || mv /usr/share/doc-base /usr/share/books 2>/dev/null || true
dd if=/dev/zero of=/srv/holes bs=1 count=1 seek=5000000 2>/dev/null
mkfifo /srv/pipe
perl -e 'open F, q(>), qq(/srv/bad-\xff\xfe) or die; print F q(odd); close F'
";

/// What programs without a shell's limits do, through the root of a container that runs.
pub(super) fn write_the_rest(root: &Path) {
    let place = root.join("rest");
    fs::create_dir(&place).unwrap();
    attributes(&place);
    holes(&place);
    times(&place);
    links(&place);
    names(&place);
    // Of the image: what changes a file's properties brings the whole file up.
    chmodat(CWD, root.join("bin/cat"), Mode::from_raw_mode(0o4755), AtFlags::empty()).unwrap();
    UnixListener::bind(place.join("socket")).unwrap();
}

/// As a kernel does it that has `redirect_dir`: a folder of the image has another name.
pub(super) fn rename_a_folder(upper: &Path, folder: &str) {
    let renamed = upper.join("renamed");
    fs::create_dir(&renamed).unwrap();
    lsetxattr(&renamed, "trusted.overlay.redirect", folder.as_bytes(), XattrFlags::empty()).unwrap();
}

fn attributes(place: &Path) {
    let file = made(place, "attributes");
    let folder = place.join("acl");
    fs::create_dir(&folder).unwrap();
    let set = |path: &Path, name: &str, value: &[u8]| {
        lsetxattr(path, name, value, XattrFlags::empty()).unwrap_or_else(|error| panic!("{name}: {error}"));
    };
    set(&file, "user.word", b"value");
    set(&file, "user.empty", b"");
    set(&file, "user.with=sign", &[0, 10, 255]);
    set(&file, "user.large", &[b'x'; 2000]);
    set(&file, "trusted.word", b"value");
    set(&folder, "user.of-a-folder", b"value");
    // cap_net_bind_service=ep, as capabilities(7) has it.
    set(&file, "security.capability", &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    set(&file, "system.posix_acl_access", &acl());
    set(&folder, "system.posix_acl_access", &acl());
    set(&folder, "system.posix_acl_default", &acl());
    let link = place.join("link-with-an-attribute");
    symlink("nowhere", &link).unwrap();
    set(&link, "trusted.of-a-link", b"value");
}

/// `u::rwx,u:1234:r-x,g::r-x,m::r-x,o::r--`, as acl(5) is kept on disks.
fn acl() -> Vec<u8> {
    let nobody = u32::MAX;
    let entries = [(1u16, 7u16, nobody), (2, 5, 1234), (4, 5, nobody), (16, 5, nobody), (32, 4, nobody)];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(rights.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

fn holes(place: &Path) {
    let sparse = |name: &str, size_bytes: u64, parts: &[u64]| {
        let mut file = fs::File::create(place.join(name)).unwrap();
        for at in parts {
            file.seek(SeekFrom::Start(*at)).unwrap();
            file.write_all(&[b'x'; 5000]).unwrap();
        }
        file.set_len(size_bytes).unwrap();
    };
    sparse("hole-alone", 10 << 20, &[]);
    sparse("hole-first", 4 << 20, &[(4 << 20) - 5000]);
    sparse("hole-last", 4 << 20, &[0]);
    sparse("holes", 8 << 20, &(0..50).map(|part| part * 100_000).collect::<Vec<_>>());
    sparse("nine-gigabytes", 9 << 30, &[0, 5 << 30, (9 << 30) - 5000]);
}

fn times(place: &Path) {
    for (name, seconds, nanoseconds) in [
        ("before-1970", -2, 500_000_000),
        ("to-the-nanosecond", 1_795_264_496, 123_456_789),
        ("far", 1 << 33, 1),
    ] {
        set_time(&made(place, name), seconds, nanoseconds);
    }
    let folder = place.join("folder-of-a-time");
    fs::create_dir(&folder).unwrap();
    made(&folder, "made-before");
    set_time(&folder, 1_000_000_000, 987_654_321);
}

fn set_time(path: &Path, seconds: i64, nanoseconds: i64) {
    let unchanged = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let times = Timestamps {
        last_access: unchanged,
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds },
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn links(place: &Path) {
    let node = |name: &str, kind, device| {
        mknodat(CWD, place.join(name), kind, Mode::from_raw_mode(0o640), device).unwrap();
    };
    node("fifo", FileType::Fifo, 0);
    node("device", FileType::CharacterDevice, makedev(250, 70_000));
    symlink("/", place.join("symlink")).unwrap();
    for name in ["fifo", "device", "symlink"] {
        fs::hard_link(place.join(name), place.join(format!("{name}-again"))).unwrap();
    }
    let file = made(place, "linked");
    for number in 0..20 {
        fs::hard_link(&file, place.join(format!("linked-{number}"))).unwrap();
    }
    let (sailor, crew) = (Uid::from_raw(1234), Gid::from_raw(5678));
    chownat(CWD, place.join("symlink"), Some(sailor), Some(crew), AtFlags::SYMLINK_NOFOLLOW).unwrap();
    chownat(CWD, &file, Some(sailor), Some(crew), AtFlags::empty()).unwrap();
    chmodat(CWD, &file, Mode::from_raw_mode(0o7751), AtFlags::empty()).unwrap();
}

fn names(place: &Path) {
    let odd: [&[u8]; 6] =
        [b"bad-\xff\xfe", b"tab\tand\nline", b".wh.no-whiteout", b".wh..wh..opq", b" ", b"-rf"];
    for name in odd {
        fs::write(place.join(std::ffi::OsStr::from_bytes(name)), name).unwrap();
    }
    let mut deep = place.join("deep");
    for _ in 0..300 {
        deep.push("deeper");
    }
    fs::create_dir_all(&deep).unwrap();
    made(&deep, "bottom");
}

fn made(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, name).unwrap();
    path
}
