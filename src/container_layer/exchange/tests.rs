use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::container_layer::upper::Directories;

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
    Place::lock(directories(folder)).unwrap()
}

fn directories(folder: &TempDir) -> Directories {
    Directories { upper: folder.path().join("diff"), below: Vec::new() }
}

/// An exchange with a new layer that says `new`.
fn import(place: &Place) -> Exchange {
    let staged = place.random_name(STAGED).unwrap();
    let path = place.path_of(&staged);
    fs::create_dir_all(path.join("deep/er")).unwrap();
    fs::write(path.join("deep/er/word"), "new").unwrap();
    Exchange::of(place, &staged, occasion("2026-11-21T22:19:08Z")).unwrap()
}

/// Docker's word that nobody uses the container.
const UNUSED: Ask<'static> = &|| Ok(());

fn mounted() -> ContainerLayerError {
    ContainerLayerError::Mounted { name: "db".to_owned(), at: "/mnt".into() }
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

/// Cleans up after a dead run, all of which goes away.
fn recovered(place: &Place) -> Option<Recovered> {
    let Recovery { done, stays } = recover(place).unwrap();
    assert!(stays.is_empty(), "{stays:?}");
    done
}

const BACKED_UP: [&str; 3] =
    ["diff", "sealift-backup-20261121T221908Z", "sealift-backup-20261121T221908Z.json"];

#[test]
fn a_new_layer_takes_the_old_ones_place_which_is_kept_or_goes() {
    let folder = folder();
    let place = lock(&folder);
    let backup = import(&place).run(&place, UNUSED, true).unwrap();
    assert_eq!(backup.as_deref(), Some(BACKED_UP[1]));
    assert_eq!(names(folder.path()), BACKED_UP);
    assert_eq!(
        (word(&folder.path().join("diff")), word(&folder.path().join(BACKED_UP[1]))),
        ("new".into(), "old".into())
    );
    assert_eq!(import(&place).run(&place, UNUSED, false).unwrap(), None);
    assert_eq!(names(folder.path()), BACKED_UP, "nothing else is left");
    let another = import(&place).run(&place, UNUSED, true).unwrap();
    assert_eq!(another.unwrap(), format!("{}-2", BACKED_UP[1]), "a name is not taken twice");
}

/// However far a run got, the next one finds all as before or as after.
#[test]
fn an_import_that_died_between_two_steps_is_ended_or_undone() {
    for done in 0..=STEPS.len() {
        let folder = folder();
        let place = lock(&folder);
        let exchange = import(&place);
        STEPS[..done].iter().for_each(|step| step(&exchange, &place).unwrap());
        drop(place);

        let place = lock(&folder);
        let found = recovered(&place);
        let expected = match done {
            0 | 1 => Some(Recovered::Undone),
            _ if done == STEPS.len() => None,
            _ => Some(Recovered::Ended),
        };
        assert_eq!(found, expected, "after {done} steps");
        let is_new = done >= AFTER_EXCHANGE;
        assert_eq!(word(&folder.path().join("diff")), if is_new { "new" } else { "old" });
        assert_eq!(
            names(folder.path()),
            if is_new { &BACKED_UP[..] } else { &BACKED_UP[..1] },
            "{done} steps"
        );
        if is_new {
            assert_eq!(word(&folder.path().join(BACKED_UP[1])), "old");
            assert!(read_note(&place, BACKED_UP[2]).unwrap().is_some());
        }
        assert_eq!(recovered(&place), None, "it is done once");
    }
}

/// The backup that isn't to stay is whole, or none.
#[test]
fn a_removal_that_died_is_ended() {
    let folder = folder();
    let place = lock(&folder);
    let backup = import(&place).run(&place, UNUSED, true).unwrap().unwrap();
    let doomed = rename_doomed(&place, &backup).unwrap();
    fs::remove_file(place.path_of(doomed).join("deep/er/word")).unwrap();
    drop(place);

    let place = lock(&folder);
    assert!(crate::container_layer::backups::backups_at(&place).unwrap().is_empty());
    assert_eq!(recovered(&place), Some(Recovered::Ended));
    assert_eq!(
        (names(folder.path()), word(&folder.path().join("diff"))),
        (vec!["diff".into()], "new".into())
    );
}

#[test]
fn a_container_that_is_used_before_the_exchange_is_left_alone() {
    for is_kept in [true, false] {
        let folder = folder();
        let place = lock(&folder);
        let error = import(&place).run(&place, &|| Err(mounted()), is_kept).unwrap_err();
        assert!(matches!(error, ContainerLayerError::Mounted { .. }), "{error}");
        assert_eq!(
            (names(folder.path()), word(&folder.path().join("diff"))),
            (vec!["diff".into()], "old".into())
        );
    }
}

/// Whoever took it up meanwhile may write into either, so both stay.
#[test]
fn a_container_that_is_used_right_after_the_exchange_keeps_both_layers() {
    for is_kept in [true, false] {
        let folder = folder();
        let place = lock(&folder);
        let asked = std::cell::Cell::new(0);
        let ask = || {
            asked.set(asked.get() + 1);
            if asked.get() == 1 { Ok(()) } else { Err(mounted()) }
        };
        let error = import(&place).run(&place, &ask, is_kept).unwrap_err();
        let ContainerLayerError::TakenUp { backup, .. } = error else { panic!("{error}") };
        assert_eq!(names(folder.path()), BACKED_UP, "kept: {is_kept}");
        assert_eq!(backup, folder.path().join(BACKED_UP[1]));
        assert_eq!((word(&folder.path().join("diff")), word(&backup)), ("new".into(), "old".into()));
    }
}

/// It is told that the new layer is in its place, and the next run does the rest.
#[test]
fn what_fails_after_the_exchange_is_not_told_as_if_nothing_had_happened() {
    for is_kept in [true, false] {
        let folder = folder();
        let place = lock(&folder);
        let exchange = import(&place);
        let in_the_way = folder.path().join(&exchange.backup);
        let ask = || {
            // Between the exchange and the last steps.
            if word(&folder.path().join("diff")) == "new" {
                fs::create_dir_all(in_the_way.join("full")).unwrap();
            }
            Ok(())
        };
        let error = exchange.run(&place, &ask, is_kept).unwrap_err();
        assert!(matches!(error, ContainerLayerError::Unfinished { .. }), "{error}");
        assert_eq!(word(&folder.path().join("diff")), "new");
        fs::remove_dir_all(&in_the_way).unwrap();
        assert_eq!(recovered(&place), Some(Recovered::Ended));
        assert_eq!(names(folder.path()), BACKED_UP);
        assert_eq!(word(&in_the_way), "old");
    }
}

#[test]
fn a_restore_that_died_between_two_steps_keeps_both_layers() {
    for done in 0..=STEPS.len() {
        let folder = folder();
        let place = lock(&folder);
        let backup = import(&place).run(&place, UNUSED, true).unwrap().unwrap();
        let restore = Exchange::of(&place, &backup, occasion("2026-11-22T00:00:00Z")).unwrap();
        STEPS[..done].iter().for_each(|step| step(&restore, &place).unwrap());
        drop(place);

        let place = lock(&folder);
        recovered(&place);
        let is_restored = done >= AFTER_EXCHANGE;
        assert_eq!(word(&folder.path().join("diff")), if is_restored { "old" } else { "new" });
        let replaced = ["diff", "sealift-backup-20261122T000000Z", "sealift-backup-20261122T000000Z.json"];
        assert_eq!(names(folder.path()), if is_restored { &replaced } else { &BACKED_UP }, "{done} steps");
    }
}

#[test]
fn a_journal_that_fits_nothing_is_left_to_people() {
    let folder = folder();
    let place = lock(&folder);
    let exchange = Exchange { new_inode: 1, old_inode: 2, ..import(&place) };
    exchange.begin(&place).unwrap();
    exchange.exchange(&place).unwrap();
    assert!(matches!(recover(&place), Err(ContainerLayerError::Unclear { .. })));
    assert_eq!(names(folder.path()).len(), 3, "nothing was touched");
    place.write(JOURNAL, b"{").unwrap();
    assert!(matches!(recover(&place), Err(ContainerLayerError::Journal { .. })));

    // As the hint has it: the old layer is still there, and a backup.
    place.rename(&exchange.staged, "sealift-backup-saved").unwrap();
    place.unlink(JOURNAL).unwrap();
    assert_eq!(recovered(&place), None);
    let backups = crate::container_layer::backups::backups_at(&place).unwrap();
    assert_eq!(backups[0].name, "sealift-backup-saved");
    assert_eq!(word(&backups[0].path), "old");
}

#[test]
fn two_runs_never_meet() {
    let folder = folder();
    let place = lock(&folder);
    let again = Place::lock(directories(&folder));
    assert!(matches!(again, Err(ContainerLayerError::Locked { .. })));
    drop(place);
    lock(&folder);
}

/// Where the file system has no such exchange, or refuses it, nothing is left of the import.
#[test]
fn an_exchange_that_fails_is_undone() {
    let folder = folder();
    let place = lock(&folder);
    let exchange = import(&place);
    fs::rename(folder.path().join("diff"), folder.path().join("away")).unwrap();
    assert!(exchange.run(&place, UNUSED, true).is_err());
    fs::rename(folder.path().join("away"), folder.path().join("diff")).unwrap();
    assert_eq!(recovered(&place), Some(Recovered::Undone));
    assert_eq!(
        (names(folder.path()), word(&folder.path().join("diff"))),
        (vec!["diff".into()], "old".into())
    );
}
