//! Imports that are killed at any moment of their lives: the container is as before or as after, and the next run cleans.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::dockers::{Dockers, IDLE, Image};
use super::tree::{are_equal, walk};
use crate::command::{output_of, said_by};
use crate::session::{Set, session};

/// Numbers that are the same in each run of a test.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 33) % limit
    }

    pub(super) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..count.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).collect();
        bytes.truncate(count);
        bytes
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0
    }
}

/// What is killed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Import,
    ImportWithoutBackup,
    Restore,
}

/// What kills left.
#[derive(Debug, Default)]
struct Found {
    before: usize,
    after: usize,
    cleaned: usize,
}

/// When a kill comes.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// After so much of the time that a whole run took, in thousandths.
    Time(u64),
    /// As soon as something is beside the layer that was not.
    Unpacking,
    /// As soon as the journal is there: just before the exchange, or just after it.
    Journal,
    /// As soon as the layer is another.
    Exchanged,
}

impl Moment {
    fn of(kill: usize, random: &mut Random) -> Self {
        match kill % 4 {
            0 => Self::Time(random.below(1200)),
            1 => Self::Unpacking,
            2 => Self::Journal,
            _ => Self::Exchanged,
        }
    }

    /// Waits for it, or for the end of the run.
    fn wait_for(self, run: &mut Child, whole: Duration, upper: &Path) {
        let inode = || fs::metadata(upper).map(|layer| layer.ino()).ok();
        let beside = || fs::read_dir(upper.parent().unwrap()).unwrap().count();
        let (layer, others) = (inode(), beside());
        let has_come = || match self {
            Self::Time(_) => true,
            Self::Unpacking => beside() > others,
            Self::Journal => upper.with_file_name("sealift-import.json").exists(),
            Self::Exchanged => inode() != layer,
        };
        if let Self::Time(part) = self {
            sleep(whole.mul_f64(Duration::from_millis(part).as_secs_f64()));
        }
        while !has_come() && run.try_wait().unwrap().is_none() {
            std::hint::spin_loop();
        }
    }
}

fn killed(set: Set, kind: Kind, times: usize, test: &str) {
    let (dockers, image) = (Dockers::of(set), Image::busybox(test));
    let folder = session().work_folder(&format!("layer-{test}"));
    let (old, new) = (folder.join("old.tar"), folder.join("new.tar"));
    let source = dockers.run(&image, &format!("{test}-source"), IDLE);
    source.exec(
        "i=0; while [ $i -lt 500 ]; do /bin/busybox mkdir -p /new/$((i % 50)); echo $i >/new/$((i % 50))/$i; i=$((i+1)); done
         /bin/busybox dd if=/dev/urandom of=/large bs=1M count=12 2>/dev/null; /bin/busybox rm /says",
    );
    source.kill();
    output_of(dockers.layer(&["export", &source.name]).arg(&new));
    let target = dockers.run(&image, &format!("{test}-target"), IDLE);
    target.exec("echo before >/word; /bin/busybox rm /other");
    target.kill();
    output_of(dockers.layer(&["export", &target.name]).arg(&old));
    let (of_old, of_new) = (walk(&target.upper()), walk(&source.upper()));
    let import = |file: &Path, options: &[&str]| {
        let mut import = dockers.layer(&["import", "--progress", "none"]);
        import.args(options).arg(file).arg(&target.name);
        import
    };
    let run = || match kind {
        Kind::Import => import(&new, &[]),
        Kind::ImportWithoutBackup => import(&new, &["--no-backup"]),
        Kind::Restore => dockers.layer(&["restore", "--progress", "none", &target.name]),
    };
    let (before, after) = if kind == Kind::Restore { (&of_new, &of_old) } else { (&of_old, &of_new) };
    let beside = || {
        let entries = fs::read_dir(target.upper().parent().unwrap()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name.starts_with("sealift-"));
        names
    };
    let reset = || {
        output_of(&mut import(&old, &["--no-backup"]));
        for name in beside() {
            let path = target.upper().with_file_name(name);
            if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        }
        if kind == Kind::Restore {
            output_of(&mut import(&new, &[]));
        }
        are_equal(before, &walk(&target.upper()), "as at first");
    };
    reset();
    // Once to its end, for its time.
    let started = Instant::now();
    output_of(&mut run());
    let whole = started.elapsed();
    reset();

    let (mut random, upper) = (Random::new(times as u64), target.upper());
    let mut found = Found::default();
    for kill in 0..times {
        let moment = Moment::of(kill, &mut random);
        let mut run = run();
        let mut running =
            run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        moment.wait_for(&mut running, whole, &upper);
        running.kill().unwrap();
        running.wait().unwrap();

        let said = said_by(
            dockers.layer(&["export", "--progress", "none", &target.name]).arg(folder.join("again.tar")),
        );
        found.cleaned += usize::from(said.contains("an import that did not end"));
        let (beside, now) = (beside(), walk(&target.upper()));
        let backups = beside.iter().filter(|name| !name.contains('.')).count();
        let is_after = now == *after;
        if is_after {
            found.after += 1;
        } else {
            are_equal(before, &now, &format!("kill {kill}, {moment:?}: neither before nor after"));
            found.before += 1;
        }
        let expected = match kind {
            Kind::Restore => 1..=1,
            Kind::Import => usize::from(is_after)..=usize::from(is_after),
            // It is kept until all else is done.
            Kind::ImportWithoutBackup => 0..=usize::from(is_after),
        };
        let has_notes = beside.len() == 2 * backups || kind == Kind::ImportWithoutBackup;
        assert!(expected.contains(&backups) && has_notes, "kill {kill}: {beside:?}");
        assert!(beside.iter().all(|name| name.starts_with("sealift-backup-")), "kill {kill}: {beside:?}");
        if is_after {
            reset();
        }
    }
    assert_eq!(found.before + found.after, times);
    assert!(found.before > 0 && found.after > 0, "kills came too early, or too late: {found:?}");
    // A restore puts nothing beside the layer.
    assert!(found.cleaned > 0 || kind == Kind::Restore, "no kill came in time: {found:?}");
    output_of(&mut import(&new, &[]));
    target.start();
    assert_eq!(target.exec("/bin/cat /new/7/57; test -e /says || echo gone"), "57\ngone\n");
}

#[test]
fn an_import_into_docker_20_killed_at_any_moment_is_before_or_after() {
    killed(Set::Old, Kind::Import, 15, "killed-old");
}

#[test]
fn an_import_into_docker_28_killed_at_any_moment_is_before_or_after() {
    killed(Set::Modern, Kind::Import, 15, "killed-modern");
}

#[test]
fn an_import_without_a_backup_killed_at_any_moment_is_before_or_after() {
    killed(Set::Old, Kind::ImportWithoutBackup, 9, "killed-without-backup");
}

#[test]
fn a_restore_killed_at_any_moment_is_before_or_after() {
    killed(Set::Modern, Kind::Restore, 9, "killed-restore");
}

#[test]
#[ignore = "slow: tests/run --long"]
fn an_import_killed_at_a_hundred_moments_is_before_or_after() {
    killed(Set::Old, Kind::Import, 100, "killed-old-long");
    killed(Set::Modern, Kind::Import, 100, "killed-modern-long");
}
