use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;

/// A container's folder whose layer says `old`.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("diff/deep/er")).unwrap();
    fs::write(folder.path().join("diff/deep/er/word"), "old").unwrap();
    folder
}

fn occasion(date: &str) -> Occasion {
    let text = |text: &str| text.to_owned();
    Occasion {
        date: text(date),
        before: text("import of x.tar"),
        container_id: text("ab"),
        container: text("db"),
        image: text("postgres:16"),
        image_id: text("sha256:1"),
    }
}

fn lock(folder: &TempDir) -> Place {
    Place::lock(&folder.path().join("diff")).unwrap()
}

/// An exchange with a new layer that says `new`.
fn import(place: &Place, is_kept: bool) -> Exchange {
    let staged = place.staged_name().unwrap();
    let path = place.path_of(&staged);
    fs::create_dir_all(path.join("deep/er")).unwrap();
    fs::write(path.join("deep/er/word"), "new").unwrap();
    Exchange::of(place, &staged, is_kept, occasion("2026-11-21T22:19:08Z")).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

fn word(folder: &Path) -> String {
    fs::read_to_string(folder.join("deep/er/word")).unwrap()
}

const BACKED_UP: [&str; 3] =
    ["diff", "sealift-backup-20261121T221908Z", "sealift-backup-20261121T221908Z.json"];

#[test]
fn a_new_layer_takes_the_old_ones_place_which_is_kept_or_goes() {
    let folder = folder();
    let place = lock(&folder);
    let backup = import(&place, true).run(&place).unwrap();
    assert_eq!(backup.as_deref(), Some(BACKED_UP[1]));
    assert_eq!(names(folder.path()), BACKED_UP);
    assert_eq!(
        (word(&folder.path().join("diff")), word(&folder.path().join(BACKED_UP[1]))),
        ("new".into(), "old".into())
    );
    assert_eq!(import(&place, false).run(&place).unwrap(), None);
    assert_eq!(names(folder.path()), BACKED_UP, "nothing else is left");
    let another = import(&place, true).run(&place).unwrap();
    assert_eq!(another.unwrap(), format!("{}-2", BACKED_UP[1]), "a name is not taken twice");
}

/// However far a run got, the next one finds all as before or as after.
#[test]
fn an_import_that_died_between_two_steps_is_ended_or_undone() {
    for is_kept in [true, false] {
        for done in 0..=STEPS.len() {
            let folder = folder();
            let place = lock(&folder);
            let exchange = import(&place, is_kept);
            STEPS[..done].iter().for_each(|step| step(&exchange, &place).unwrap());
            drop(place);

            let place = lock(&folder);
            let recovered = recover(&place).unwrap();
            let expected = match done {
                0 | 1 => Some(Recovered::Undone),
                _ if done == STEPS.len() => None,
                _ => Some(Recovered::Ended),
            };
            assert_eq!(recovered, expected, "after {done} steps");
            let is_new = done >= AFTER_EXCHANGE;
            assert_eq!(word(&folder.path().join("diff")), if is_new { "new" } else { "old" });
            let left = if is_new && is_kept { &BACKED_UP[..] } else { &BACKED_UP[..1] };
            assert_eq!(names(folder.path()), left, "after {done} steps, kept: {is_kept}");
            if is_new && is_kept {
                assert_eq!(word(&folder.path().join(BACKED_UP[1])), "old");
                assert!(read_note(&place, BACKED_UP[2]).unwrap().is_some());
            }
            assert_eq!(recover(&place).unwrap(), None, "it is done once");
        }
    }
}

#[test]
fn a_restore_that_died_between_two_steps_keeps_both_layers() {
    for is_kept in [true, false] {
        for done in 0..=STEPS.len() {
            let folder = folder();
            let place = lock(&folder);
            let backup = import(&place, true).run(&place).unwrap().unwrap();
            let restore = Exchange::of(&place, &backup, is_kept, occasion("2026-11-22T00:00:00Z")).unwrap();
            STEPS[..done].iter().for_each(|step| step(&restore, &place).unwrap());
            drop(place);

            let place = lock(&folder);
            recover(&place).unwrap();
            let is_restored = done >= AFTER_EXCHANGE;
            assert_eq!(word(&folder.path().join("diff")), if is_restored { "old" } else { "new" });
            let replaced =
                ["diff", "sealift-backup-20261122T000000Z", "sealift-backup-20261122T000000Z.json"];
            let left = match (is_restored, is_kept) {
                (false, _) => &BACKED_UP[..],
                (true, true) => &replaced[..],
                (true, false) => &replaced[..1],
            };
            assert_eq!(names(folder.path()), left, "after {done} steps, kept: {is_kept}");
        }
    }
}

#[test]
fn a_journal_that_fits_nothing_is_left_to_people() {
    let folder = folder();
    let place = lock(&folder);
    let exchange = Exchange { new_inode: 1, old_inode: 2, ..import(&place, true) };
    exchange.begin(&place).unwrap();
    assert!(matches!(recover(&place), Err(ContainerLayerError::Unclear { .. })));
    assert_eq!(names(folder.path()).len(), 3, "nothing was touched");
    place.write(JOURNAL, b"{").unwrap();
    assert!(matches!(recover(&place), Err(ContainerLayerError::Note { .. })));
}

#[test]
fn two_runs_never_meet() {
    let folder = folder();
    let place = lock(&folder);
    let again = Place::lock(&folder.path().join("diff"));
    assert!(matches!(again, Err(ContainerLayerError::Locked { .. })));
    drop(place);
    lock(&folder);
}

/// Where the file system has no such exchange, or refuses it, nothing is left of the import.
#[test]
fn an_exchange_that_fails_is_undone() {
    let folder = folder();
    let place = lock(&folder);
    let exchange = import(&place, true);
    fs::rename(folder.path().join("diff"), folder.path().join("away")).unwrap();
    assert!(exchange.run(&place).is_err());
    fs::rename(folder.path().join("away"), folder.path().join("diff")).unwrap();
    assert_eq!(recover(&place).unwrap(), Some(Recovered::Undone));
    assert_eq!(
        (names(folder.path()), word(&folder.path().join("diff"))),
        (vec!["diff".into()], "old".into())
    );
}
