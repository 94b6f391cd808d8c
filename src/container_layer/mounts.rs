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
    let upper = options.split(|byte| *byte == b',').find_map(|option| option.strip_prefix(b"upperdir="))?;
    Some(Overlay { at, upper: unescaped(upper) })
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
        let expected = Overlay { at: "/run/a b/merged".into(), upper: "/x y,z/diff".into() };
        assert_eq!(overlays(table), [expected]);
    }
}
