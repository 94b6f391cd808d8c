//! Mount tables (`/proc/PID/mountinfo`), as far as overlays are in them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// An overlay that is mounted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overlay {
    /// Where.
    pub(super) at: PathBuf,
    /// The directory that takes what is written.
    pub(super) upper: PathBuf,
    /// Those below it, the highest first.
    pub(super) below: Vec<PathBuf>,
}

/// The overlays of a mount table that can be written to.
pub(super) fn overlays(table: &[u8]) -> Vec<Overlay> {
    table.split(|byte| *byte == b'\n').filter_map(overlay).collect()
}

/// `36 35 98:0 / /mnt rw,noatime shared:1 - overlay overlay rw,lowerdir=…,upperdir=…` (proc(5)).
fn overlay(line: &[u8]) -> Option<Overlay> {
    let mut fields = line.split(|byte| *byte == b' ');
    let at = unescaped(fields.nth(4)?);
    let mut of_system = fields.skip_while(|field| *field != b"-").skip(1);
    if of_system.next()? != b"overlay" {
        return None;
    }
    let options = of_system.nth(1)?;
    let options = || options.split(|byte| *byte == b',');
    let upper = options().find_map(|option| option.strip_prefix(b"upperdir="))?;
    // Newer kernels tell the directories one by one, if they were given so.
    let lower = options().filter_map(|option| {
        option.strip_prefix(b"lowerdir=").or_else(|| option.strip_prefix(b"lowerdir+="))
    });
    let below = lower.flat_map(|paths| paths.split(|byte| *byte == b':'));
    Some(Overlay { at, upper: unescaped(upper), below: below.map(unescaped).collect() })
}

/// Blanks, commas and the like stand there as a backslash and three octal digits.
fn unescaped(text: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        let digits = behind.get(..3).filter(|_| byte == b'\\');
        let code = digits.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(code.unwrap_or(byte));
        rest = if code.is_some() { &behind[3..] } else { behind };
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlays_of_a_mount_table_are_found_with_odd_names() {
        let table = br"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
90 22 0:50 / /run/a\040b/merged rw,relatime shared:3 master:1 - overlay overlay rw,lowerdir=/l/A:/l/B,upperdir=/x\040y\054z/diff,workdir=/x/work
91 22 0:51 / /ro ro - overlay overlay ro,lowerdir=/l/A:/l/B
";
        let at = PathBuf::from("/run/a b/merged");
        let (upper, below) = ("/x y,z/diff".into(), vec!["/l/A".into(), "/l/B".into()]);
        assert_eq!(overlays(table), [Overlay { at, upper, below }]);
        let one_by_one =
            b"90 22 0:50 / /mnt rw - overlay overlay rw,lowerdir+=/l/A,lowerdir+=/l/B,upperdir=/u\n";
        assert_eq!(overlays(one_by_one)[0].below, [PathBuf::from("/l/A"), "/l/B".into()]);
    }
}
