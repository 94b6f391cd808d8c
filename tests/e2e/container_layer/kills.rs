//! Imports that are killed at any moment of their lives: the container is as before or as after, and the next run cleans.

use std::fs;
use std::process::Stdio;
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
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// What a kill left.
#[derive(Debug, Default)]
struct Found {
    before: usize,
    after: usize,
    cleaned: usize,
}

fn killed(set: Set, times: usize, test: &str) {
    let (dockers, image) = (Dockers::of(set), Image::busybox(test));
    let folder = session().work_folder(&format!("layer-{test}"));
    let file = folder.join("layer.tar");
    let source = dockers.run(&image, &format!("{test}-source"), IDLE);
    source.exec(
        "i=0; while [ $i -lt 1500 ]; do /bin/busybox mkdir -p /new/$((i % 50)); echo $i >/new/$((i % 50))/$i; i=$((i+1)); done
         /bin/busybox dd if=/dev/urandom of=/large bs=1M count=30 2>/dev/null; /bin/busybox rm /says",
    );
    source.kill();
    output_of(dockers.layer(&["export", &source.name]).arg(&file));
    let target = dockers.run(&image, &format!("{test}-target"), IDLE);
    target.exec("echo before >/word; /bin/busybox rm /other");
    target.kill();
    let (before, after) = (walk(&target.upper()), walk(&source.upper()));
    let import = || {
        let mut import = dockers.layer(&["import", "--progress", "none"]);
        import.arg(&file).arg(&target.name).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        import
    };
    // Once to its end, for its time.
    let started = Instant::now();
    assert!(import().status().unwrap().success());
    let whole = started.elapsed();
    output_of(&mut dockers.layer(&["restore", "--no-backup", &target.name]));
    are_equal(&before, &walk(&target.upper()), "restored");

    let (mut random, mut found) = (Random::new(times as u64), Found::default());
    for kill in 0..times {
        // Moments are spread over all of its life, and half of them over its end, where it is decided.
        let part = if kill % 2 == 0 { random.below(1000) } else { 850 + random.below(200) };
        let mut running = import().spawn().unwrap();
        sleep(whole.mul_f64(Duration::from_millis(part).as_secs_f64()));
        running.kill().unwrap();
        running.wait().unwrap();

        let said = said_by(
            dockers.layer(&["export", "--progress", "none", &target.name]).arg(folder.join("again.tar")),
        );
        found.cleaned += usize::from(said.contains("an import that did not end"));
        let beside: Vec<_> = fs::read_dir(target.upper().parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!(!beside.iter().any(|name| name.contains("import")), "kill {kill}: {beside:?}");
        let backups = beside.iter().filter(|name| name.starts_with("sealift-backup-")).count();
        let now = walk(&target.upper());
        if backups == 0 {
            are_equal(&before, &now, &format!("kill {kill} at {part}/1000: before"));
            found.before += 1;
        } else {
            assert_eq!(backups, 2, "kill {kill}: {beside:?}");
            are_equal(&after, &now, &format!("kill {kill} at {part}/1000: after"));
            found.after += 1;
            output_of(&mut dockers.layer(&["restore", "--no-backup", &target.name]));
            are_equal(&before, &walk(&target.upper()), "restored");
        }
    }
    assert_eq!(found.before + found.after, times);
    assert!(found.before > 0 && found.cleaned > 0, "no kill came in time: {found:?}");
    output_of(dockers.layer(&["import"]).arg(&file).arg(&target.name));
    target.start();
    assert_eq!(target.exec("/bin/cat /new/7/57; test -e /says || echo gone"), "57\ngone\n");
}

#[test]
fn an_import_into_docker_20_killed_at_any_moment_is_before_or_after() {
    killed(Set::Old, 15, "killed-old");
}

#[test]
fn an_import_into_docker_28_killed_at_any_moment_is_before_or_after() {
    killed(Set::Modern, 15, "killed-modern");
}

#[test]
#[ignore = "slow: tests/run --long"]
fn an_import_killed_at_a_hundred_moments_is_before_or_after() {
    killed(Set::Old, 100, "killed-old-long");
    killed(Set::Modern, 100, "killed-modern-long");
}
