//! An export under way: its archives one after the other, each a pull of its own. One that fails doesn't stop the others.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::App;
use super::budget::Reserved;
use super::clock::Time;
use super::export::{ArchiveState, Form, State};
use super::exports::{Entry, Stop};
use super::failure::ExportError;
use super::folder::FileName;
use super::log::Asker;
use super::progress::{Watcher, with_causes};
use crate::error::Error;
use crate::event::{Reporter, SharedReporter};
use crate::fsio::{Existing, FileError, blocking, write_program};
use crate::image::{Platform, Reference};
use crate::pull::{Output, PlannedArchive, Pull};
use crate::sidecar::{Checksum, Sidecar, script_named};

/// How long a file's lock may outlive the task that held it.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(200);

/// Runs an export to its end, or until it is stopped.
pub(super) async fn run(app: Arc<App>, entry: Arc<Entry>) {
    let state = tokio::select! {
        biased;
        state = stopped(&entry) => state,
        place = Arc::clone(&app.exports.places).acquire_owned() => match place {
            Ok(_place) => running(&app, &entry).await,
            // Nobody closes it.
            Err(_) => State::Paused,
        },
    };
    let words = match state {
        State::Paused => "paused: the server is stopping".to_owned(),
        state => state.word().to_owned(),
    };
    let ended = Arc::clone(&entry);
    let saved = blocking(move || {
        ended.change(|export| {
            export.state = state;
            export.ended = (state != State::Paused).then(Time::now);
            for archive in &mut export.archives {
                if !matches!(archive.state, ArchiveState::Done | ArchiveState::Failed) {
                    archive.state = ArchiveState::Waiting;
                }
            }
            export.say(words);
        })
    })
    .await;
    if state == State::Done {
        entry.forget_secrets();
    }
    let outcome = match saved {
        Err(error) => with_causes(&error),
        Ok(()) if state == State::Done => "ok".to_owned(),
        Ok(()) => state.word().to_owned(),
    };
    let asker = entry.read(|export| Asker { who: export.by.clone(), from: export.from.clone() });
    app.log.add(&asker, "exported", entry.on(), &outcome);
    app.after_export().await;
}

/// What it is to become, once somebody stops it.
async fn stopped(entry: &Entry) -> State {
    let mut stopping = entry.stopping();
    let stop = stopping.wait_for(Option::is_some).await;
    if stop.is_ok_and(|stop| *stop == Some(Stop::Pause)) { State::Paused } else { State::Cancelled }
}

/// On a thread of its own: a pull's future stays on one.
async fn running(app: &Arc<App>, entry: &Arc<Entry>) -> State {
    let (app, entry) = (Arc::clone(app), Arc::clone(entry));
    let runtime = tokio::runtime::Handle::current();
    blocking(move || {
        runtime.block_on(async {
            tokio::select! {
                biased;
                state = stopped(&entry) => state,
                state = all(&app, &entry) => state,
            }
        })
    })
    .await
}

async fn all(app: &Arc<App>, entry: &Arc<Entry>) -> State {
    let begun = Arc::clone(entry);
    let begun = blocking(move || {
        begun.change(|export| {
            export.state = State::Running;
            export.started = export.started.or_else(|| Some(Time::now()));
        })
    });
    if let Err(error) = begun.await {
        entry.say(with_causes(&error));
        return State::Failed;
    }
    let count = entry.read(|export| export.archives.len());
    let mut state = State::Done;
    for index in 0..count {
        if entry.read(|export| export.archives[index].state == ArchiveState::Done) {
            continue;
        }
        entry.live(|live| *live = super::progress::Live::default());
        entry.archive(index, |archive| archive.state = ArchiveState::Resolving);
        match unlocked(app, entry, index).await {
            Ok(()) => {
                app.metrics.archives_written.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                app.metrics.archives_failed.fetch_add(1, Ordering::Relaxed);
                state = State::Failed;
                let (code, error) = (error.code(), with_causes(&error));
                let failed = Arc::clone(entry);
                let saved = blocking(move || {
                    failed.change(|export| {
                        let archive = &mut export.archives[index];
                        archive.state = ArchiveState::Failed;
                        archive.error = Some(error.clone());
                        archive.error_code = Some(code.to_owned());
                        let images = archive.images.join(", ");
                        export.say(format!("{images}: {error}"));
                    })
                });
                if let Err(error) = saved.await {
                    entry.say(with_causes(&error));
                }
            }
        }
    }
    state
}

/// The same, where what was stopped just now may not have let go of its file yet.
async fn unlocked(app: &Arc<App>, entry: &Arc<Entry>, index: usize) -> Result<(), ExportError> {
    for _ in 0..LOCK_TRIES {
        match one(app, entry, index).await {
            Err(ExportError::Pull(Error::File(FileError::Locked { process, .. })))
                if process == Some(std::process::id()) =>
            {
                tokio::time::sleep(LOCK_PAUSE).await;
            }
            ended => return ended,
        }
    }
    one(app, entry, index).await
}

async fn one(app: &Arc<App>, entry: &Arc<Entry>, index: usize) -> Result<(), ExportError> {
    let (naming, owner) = (Arc::clone(app), Arc::clone(entry));
    let name = blocking(move || naming.exports.name_file(&owner, index, &naming.files.folder)).await?;
    let file: FileName = name.parse().map_err(|()| ExportError::Name(name.clone()))?;
    let (images, platforms) = wanted(entry, index)?;
    let watcher = Arc::new(Watcher { entry: Arc::clone(entry), metrics: Arc::clone(&app.metrics), index });
    let shared = SharedReporter::new(Arc::clone(&watcher) as Arc<dyn Reporter>);
    let registries: Vec<_> = images.iter().map(|image| image.registry().clone()).collect();
    let source = app.sources.source(&registries, entry.secrets().as_ref(), &shared).map_err(Error::from)?;
    let pull = Pull {
        source: &source,
        reporter: &*watcher,
        connections: app.sources.connections,
        retries: app.sources.retries,
        existing: Existing::Replace,
        layers: entry.read(|export| export.layers),
        limits: crate::blob::Limits::default(),
        reuse: None,
        sidecars: &[Sidecar::Checksum],
        may_grow: None,
    };
    let path = app.files.folder.path_of(&file);
    let planned = pull.plan(&images, &platforms, &Output::File(path)).await?;
    let planned = planned.archives.into_iter().next().ok_or_else(|| ExportError::Name(name.clone()))?;
    let beside_bytes = beside_bytes(&planned);
    let room = reserved(app, &file, planned.plan.size_bytes().saturating_add(beside_bytes)).await?;
    pull.check(std::slice::from_ref(&planned))?;
    let may_grow = |bytes: u64| room.may_take(bytes.saturating_add(beside_bytes));
    let written = Pull { may_grow: Some(&may_grow), ..pull }.write(&planned).await;
    written.map_err(|error| match error {
        Error::MayNotGrow { .. } => room.refused().unwrap_or(error.into()),
        error => error.into(),
    })?;
    let checksum = pull.write_sidecars(&planned).await?;
    let (app, entry) = (Arc::clone(app), Arc::clone(entry));
    let finished = blocking(move || finish(&app, &entry, index, &file, &planned, checksum.as_ref())).await;
    drop(room);
    Ok(finished?)
}

fn wanted(entry: &Entry, index: usize) -> Result<(Vec<Reference>, Vec<Platform>), ExportError> {
    let (images, platforms) = entry.read(|export| {
        let archive = &export.archives[index];
        let platforms = match export.archive {
            Form::One => export.platforms.clone(),
            Form::Each => archive.platform.iter().cloned().collect(),
        };
        (archive.images.clone(), platforms)
    });
    let bad = |text: &String| ExportError::Name(text.clone());
    let images =
        images.iter().map(|image| image.parse().map_err(|_| bad(image))).collect::<Result<_, _>>()?;
    let platforms =
        platforms.iter().map(|one| one.parse().map_err(|_| bad(one))).collect::<Result<_, _>>()?;
    Ok((images, platforms))
}

/// What an archive takes besides itself: while it is written, and what stands beside it then.
fn beside_bytes(planned: &PlannedArchive) -> u64 {
    let sidecars = [Sidecar::Checksum, Sidecar::LoadScript].into_iter();
    sidecars
        .map(|sidecar| sidecar.most_bytes(&planned.path, &planned.images))
        .fold(planned.room_bytes() - planned.plan.size_bytes(), u64::saturating_add)
}

/// Room for it in what all files may take.
async fn reserved(app: &App, file: &FileName, needed_bytes: u64) -> Result<Reserved, ExportError> {
    let (files, file) = (Arc::clone(&app.files), file.clone());
    blocking(move || files.reserve(&file, needed_bytes)).await
}

/// Puts the script beside the archive, and takes down what came of it. Blocks.
fn finish(
    app: &App,
    entry: &Entry,
    index: usize,
    file: &FileName,
    planned: &PlannedArchive,
    checksum: Option<&Checksum>,
) -> Result<(), FileError> {
    if let Some(checksum) = checksum {
        let script = script_named(file.as_str(), checksum, &planned.images);
        write_program(&app.files.folder.path_of(&file.script()), &script, Existing::Replace)?;
    }
    let path = app.files.folder.path_of(file);
    let identity = app.files.folder.identity(file).map_err(FileError::io("read", &path))?;
    let names = entry.read(|export| export.archives[index].images.clone());
    let sha256 = checksum.map(|checksum| checksum.digest.hex().to_owned());
    if let Some(identity) = identity {
        app.files.catalogue.exported(file, identity, names, sha256.clone());
    }
    let size = identity.map(|identity| identity.size_bytes);
    entry.change(|export| {
        let archive = &mut export.archives[index];
        archive.state = ArchiveState::Done;
        (archive.size, archive.sha256) = (size, sha256);
        export.say(format!("{}: written, whole", file.as_str()));
    })
}
