//! All exports: begun, stopped, carried on with, forgotten, and kept on disk.
//!
//! A file each, written whole whenever a state changes; how many bytes came is in memory only, as the partial files know
//! it better. Credentials and proxies are never written down.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::App;
use super::answer::{Refusal, failed};
use super::clock::Time;
use super::export::{Archive, ArchiveState, Export, Form, LogLine, State};
use super::files::DAY_SECONDS;
use super::folder::Folder;
use super::lock;
use super::log::On;
use super::progress::{Blob, Live};
use super::request::{Renewed, Secrets};
use super::runner;
use crate::archive::LayerMode;
use crate::fsio::{Existing, FileError, ForeignFolder, blocking, write_whole};

/// Exports that are remembered; the oldest that ended are forgotten first.
const MAX_EXPORTS: usize = 1000;
/// The same of their archives, all together.
const MAX_ARCHIVES: usize = 20_000;
/// No export's file is larger.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// What a running export is told to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Cancel,
    Pause,
}

/// An export, and what is only in memory of it.
pub(super) struct Entry {
    pub(super) id: String,
    path: PathBuf,
    export: Mutex<Export>,
    secrets: Mutex<Option<Secrets>>,
    live: Mutex<Live>,
    /// Counts changes of state; watchers wake at any change.
    revision: AtomicU64,
    /// One writes it down at a time.
    writing: Mutex<()>,
    changed: watch::Sender<()>,
    stop: watch::Sender<Option<Stop>>,
    task: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

/// All exports.
pub(super) struct Exports {
    folder: PathBuf,
    all: Mutex<BTreeMap<String, Arc<Entry>>>,
    /// Names of files that exports have, or are to have.
    taken: Mutex<HashSet<String>>,
    /// A place for each that may run at a time.
    pub(super) places: Arc<Semaphore>,
}

/// An export as the API tells it.
#[derive(Serialize)]
pub(super) struct Told {
    id: String,
    pub(super) state: State,
    created: Time,
    started: Option<Time>,
    ended: Option<Time>,
    by: String,
    from: String,
    platforms: Vec<String>,
    layers: LayerMode,
    archive: Form,
    needs_credentials: bool,
    archives: Vec<ToldArchive>,
    done_bytes: u64,
    total_bytes: u64,
    bytes_per_second: u64,
    seconds_left: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<Vec<LogLine>>,
}

#[derive(Serialize)]
struct ToldArchive {
    #[serde(flatten)]
    archive: Archive,
    done_bytes: u64,
    total_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    blobs: Option<Vec<Blob>>,
}

/// How much of an export is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// In a list.
    Short,
    /// With blobs.
    Progress,
    /// With its log, too.
    Whole,
}

impl Entry {
    fn new(folder: &Path, export: Export, secrets: Option<Secrets>) -> Self {
        Self {
            id: export.id.clone(),
            path: folder.join(format!("{}.json", export.id)),
            export: Mutex::new(export),
            secrets: Mutex::new(secrets),
            live: Mutex::default(),
            revision: AtomicU64::new(0),
            writing: Mutex::default(),
            changed: watch::Sender::new(()),
            stop: watch::Sender::new(None),
            task: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn read<T>(&self, look: impl FnOnce(&Export) -> T) -> T {
        look(&lock(&self.export))
    }

    pub(super) fn state(&self) -> State {
        self.read(|export| export.state)
    }

    /// Changes the export, tells watchers, and writes it down. Blocks.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Export) -> T) -> Result<T, FileError> {
        let changed = self.alter(change);
        // Read by whoever writes: what is written last is the newest.
        let _one_at_a_time = lock(&self.writing);
        let bytes = serde_json::to_vec(&*lock(&self.export)).unwrap_or_default();
        write_whole(&self.path, &bytes, Existing::Replace)?;
        Ok(changed)
    }

    /// Changes the export and tells watchers; it is written down with the next change of state.
    pub(super) fn alter<T>(&self, change: impl FnOnce(&mut Export) -> T) -> T {
        let changed = change(&mut lock(&self.export));
        self.revision.fetch_add(1, Ordering::AcqRel);
        self.changed.send_replace(());
        changed
    }

    /// Changes one archive's part.
    pub(super) fn archive(&self, index: usize, change: impl FnOnce(&mut Archive)) {
        self.alter(|export| export.archives.get_mut(index).map(change));
    }

    /// Adds a line to its log.
    pub(super) fn say(&self, text: impl Into<String>) {
        lock(&self.export).say(text);
        self.changed.send_replace(());
    }

    pub(super) fn live<T>(&self, change: impl FnOnce(&mut Live) -> T) -> T {
        let changed = change(&mut lock(&self.live));
        self.changed.send_replace(());
        changed
    }

    pub(super) fn secrets(&self) -> Option<Secrets> {
        lock(&self.secrets).clone()
    }

    /// Nobody needs them any more.
    pub(super) fn forget_secrets(&self) {
        *lock(&self.secrets) = None;
    }

    /// For the log.
    pub(super) fn on(&self) -> On {
        self.read(|export| On { name: export.title(), export: Some(export.id.clone()) })
    }

    /// Wakes at each change from now on.
    pub(super) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(super) fn stopping(&self) -> watch::Receiver<Option<Stop>> {
        self.stop.subscribe()
    }

    /// How often its state changed, and how many lines its log had.
    pub(super) fn marks(&self) -> (u64, usize) {
        (self.revision.load(Ordering::Acquire), lock(&self.export).lines)
    }

    /// The lines of its log after so many.
    pub(super) fn lines_after(&self, count: usize) -> Vec<LogLine> {
        let export = lock(&self.export);
        let skipped = export.log.len().saturating_sub(export.lines.saturating_sub(count));
        export.log[skipped..].to_vec()
    }

    pub(super) fn told(&self, detail: Detail) -> Told {
        let export = lock(&self.export);
        let live = lock(&self.live);
        let archives: Vec<_> = export
            .archives
            .iter()
            .cloned()
            .map(|archive| {
                let is_under_way = !matches!(
                    archive.state,
                    ArchiveState::Waiting
                        | ArchiveState::Resolving
                        | ArchiveState::Done
                        | ArchiveState::Failed
                );
                let (done_bytes, total_bytes, blobs) = match archive.size {
                    _ if is_under_way => (live.done_bytes, live.total_bytes, Some(live.blobs())),
                    Some(size) => (size, size, None),
                    None => (0, 0, None),
                };
                ToldArchive {
                    archive,
                    done_bytes,
                    total_bytes,
                    blobs: blobs.filter(|_| detail != Detail::Short),
                }
            })
            .collect();
        let (done_bytes, total_bytes) = archives
            .iter()
            .fold((0, 0), |(done, total), archive| (done + archive.done_bytes, total + archive.total_bytes));
        let is_running = export.state == State::Running;
        let bytes_per_second = if is_running { live.bytes_per_second() } else { 0 };
        let left_bytes = live.total_bytes.saturating_sub(live.done_bytes);
        Told {
            seconds_left: left_bytes.checked_div(bytes_per_second),
            needs_credentials: export.had_secrets
                && export.state != State::Done
                && lock(&self.secrets).is_none(),
            log: (detail == Detail::Whole).then(|| export.log.clone()),
            id: export.id.clone(),
            state: export.state,
            created: export.created,
            started: export.started,
            ended: export.ended,
            by: export.by.clone(),
            from: export.from.clone(),
            platforms: export.platforms.clone(),
            layers: export.layers,
            archive: export.archive,
            archives,
            done_bytes,
            total_bytes,
            bytes_per_second,
        }
    }
}

impl Exports {
    /// What an earlier run left. What it did not stop itself was interrupted. Blocks.
    pub(super) fn open(folder: &Folder, max_running: usize) -> Result<Self, FileError> {
        let path = folder.state().join("exports");
        std::fs::create_dir_all(&path).map_err(FileError::io("create", &path))?;
        let kept = ForeignFolder::open(&path)?;
        let (mut all, mut taken) = (BTreeMap::new(), HashSet::new());
        for found in std::fs::read_dir(&path).map_err(FileError::io("read", &path))? {
            let found = found.map_err(FileError::io("read", &path))?.file_name();
            let Some(id) = found.to_str().and_then(|name| name.strip_suffix(".json")) else { continue };
            let bytes = kept.read(&format!("{id}.json"), MAX_FILE_BYTES).ok().flatten().unwrap_or_default();
            // Files are whole; what somebody else put there is none of ours.
            let Ok(mut export) = serde_json::from_slice::<Export>(&bytes) else { continue };
            if export.id != id || !is_id(id) {
                continue;
            }
            taken.extend(export.archives.iter().filter_map(|archive| archive.file.clone()));
            let was_under_way = export.state.is_under_way();
            if was_under_way {
                export.state = State::Interrupted;
            }
            for archive in &mut export.archives {
                if !matches!(archive.state, ArchiveState::Done | ArchiveState::Failed) {
                    archive.state = ArchiveState::Waiting;
                }
            }
            let entry = Entry::new(&path, export, None);
            if was_under_way {
                entry.change(|export| export.say("the server died; a retry carries on from here"))?;
            }
            all.insert(entry.id.clone(), Arc::new(entry));
        }
        let (all, taken) = (Mutex::new(all), Mutex::new(taken));
        Ok(Self { folder: path, all, taken, places: Arc::new(Semaphore::new(max_running)) })
    }

    pub(super) fn of(&self, id: &str) -> Result<Arc<Entry>, Refusal> {
        lock(&self.all).get(id).cloned().ok_or(Refusal::NO_EXPORT)
    }

    /// All, the newest first.
    pub(super) fn all(&self) -> Vec<Arc<Entry>> {
        lock(&self.all).values().rev().cloned().collect()
    }

    /// How many there are in each state.
    pub(super) fn counts(&self) -> Vec<(&'static str, usize)> {
        let all = self.all();
        let states: Vec<State> = all.iter().map(|entry| entry.state()).collect();
        let count = |state: State| states.iter().filter(|one| **one == state).count();
        State::ALL.iter().map(|state| (state.word(), count(*state))).collect()
    }

    /// Gives an archive the name of its file, which it keeps unless something else than a file took it. Blocks.
    pub(super) fn name_file(
        &self,
        entry: &Entry,
        index: usize,
        folder: &Folder,
    ) -> Result<String, FileError> {
        let found = |name: &str| folder.path().join(name).symlink_metadata().ok();
        if let Some(name) = entry.read(|export| export.archives[index].file.clone())
            && found(&name).is_none_or(|found| found.is_file())
        {
            return Ok(name);
        }
        let exists = |name: &str| found(name).is_some();
        let name = entry.read(|export| export.file_name(index, &mut lock(&self.taken), exists));
        entry.change(|export| export.archives[index].file = Some(name.clone()))?;
        Ok(name)
    }

    /// An id that sorts by its time.
    pub(super) fn new_id(&self) -> Result<String, Refusal> {
        let random: [u8; 4] = super::users::random().map_err(failed)?;
        let all = lock(&self.all);
        let stamp = Time::now().stamp();
        let count = all.range(stamp.clone()..).count();
        Ok(format!("{stamp}_{count:04}_{:08x}", u32::from_be_bytes(random)))
    }

    /// Takes on an export, and lets it run when there is a place. Blocks.
    fn add(&self, folder: &Folder, export: Export, secrets: Option<Secrets>) -> Result<Arc<Entry>, Refusal> {
        self.make_room(folder, export.archives.len())?;
        let entry = Arc::new(Entry::new(&self.folder, export, secrets));
        entry.change(|_| ()).map_err(failed)?;
        lock(&self.all).insert(entry.id.clone(), Arc::clone(&entry));
        Ok(entry)
    }

    fn make_room(&self, folder: &Folder, archives: usize) -> Result<(), Refusal> {
        let ended =
            |entry: &Arc<Entry>| entry.read(|export| matches!(export.state, State::Done | State::Cancelled));
        loop {
            let oldest = {
                let all = lock(&self.all);
                let count = |entry: &Arc<Entry>| entry.read(|export| export.archives.len());
                let there: usize = all.values().map(count).sum();
                if all.len() < MAX_EXPORTS && there + archives <= MAX_ARCHIVES {
                    return Ok(());
                }
                all.values().find(|entry| ended(entry)).cloned()
            };
            let what = "too many exports wait; forget some";
            let wait = Duration::from_mins(1);
            let oldest = oldest.ok_or(Refusal::TooMany("too_many_exports", what, wait))?;
            self.remove(folder, &oldest);
        }
    }

    /// Forgets an export, and what it left unfinished. Blocks.
    fn remove(&self, folder: &Folder, entry: &Entry) {
        remove_unfinished(folder, entry);
        lock(&self.all).remove(&entry.id);
        let files: Vec<String> =
            entry.read(|export| export.archives.iter().filter_map(|archive| archive.file.clone()).collect());
        lock(&self.taken).retain(|name| !files.contains(name));
        // One that stays is offered again at the next start.
        let _ = std::fs::remove_file(&entry.path);
    }

    /// Removes what exports left unfinished that ended so many days ago. Blocks.
    pub(super) fn remove_left_over(&self, folder: &Folder, days: f64) {
        let now = Time::now();
        for entry in self.all() {
            let is_old = entry.read(|export| {
                let ended = export.ended.unwrap_or(export.created);
                !export.state.is_under_way() && now.since(ended).as_secs_f64() > days * DAY_SECONDS
            });
            if is_old {
                remove_unfinished(folder, &entry);
            }
        }
    }
}

/// Removes what was left of archives that are not done, unless somebody writes it.
fn remove_unfinished(folder: &Folder, entry: &Entry) {
    let unfinished: Vec<PathBuf> = entry.read(|export| {
        let archives = export.archives.iter().filter(|archive| archive.state != ArchiveState::Done);
        archives.filter_map(|archive| Some(folder.path().join(archive.file.as_ref()?))).collect()
    });
    for path in &unfinished {
        crate::fsio::remove_unfinished(path);
    }
}

/// Takes on an export, and lets it run.
pub(super) async fn begin(
    app: &Arc<App>,
    export: Export,
    secrets: Option<Secrets>,
) -> Result<Arc<Entry>, Refusal> {
    app.check_open()?;
    let entry = {
        let app = Arc::clone(app);
        blocking(move || app.exports.add(&app.files.folder, export, secrets)).await?
    };
    start(app, &entry).await;
    Ok(entry)
}

async fn start(app: &Arc<App>, entry: &Arc<Entry>) {
    let mut task = entry.task.lock().await;
    entry.stop.send_replace(None);
    *task = Some(tokio::spawn(runner::run(Arc::clone(app), Arc::clone(entry))));
}

/// Carries on with an export that is not under way and not done.
pub(super) async fn retry(app: &Arc<App>, entry: &Arc<Entry>, secrets: Renewed) -> Result<(), Refusal> {
    app.check_open()?;
    let changing = Arc::clone(entry);
    blocking(move || {
        changing.change(|export| {
            if export.state.is_under_way() || export.state == State::Done {
                return Err(wrong_state(export.state));
            }
            let mut kept = lock(&changing.secrets);
            match secrets {
                Renewed::Kept if export.had_secrets && kept.is_none() => {
                    let what = "its credentials or proxy were in memory only and are gone: give them again, or \
                        say `\"source_auth\": null` to carry on without";
                    return Err(Refusal::Conflict("needs_credentials", what.to_owned()));
                }
                Renewed::Kept => {}
                Renewed::Given(secrets) => *kept = secrets,
            }
            export.state = State::Queued;
            export.ended = None;
            export.had_secrets = kept.is_some();
            for archive in export.archives.iter_mut().filter(|archive| archive.state != ArchiveState::Done) {
                archive.state = ArchiveState::Waiting;
                (archive.error, archive.error_code) = (None, None);
            }
            export.say("carrying on");
            Ok(())
        })
    })
    .await
    .map_err(failed)??;
    start(app, entry).await;
    Ok(())
}

/// Stops an export that is under way, and waits until it has.
pub(super) async fn stop(entry: &Arc<Entry>, stop: Stop) -> Result<(), Refusal> {
    let mut task = entry.task.lock().await;
    let state = entry.state();
    if let Some(running) = task.take().filter(|_| state.is_under_way()) {
        entry.stop.send_replace(Some(stop));
        let _ = running.await;
        return Ok(());
    }
    if stop == Stop::Pause || !matches!(state, State::Paused | State::Interrupted) {
        return Err(wrong_state(state));
    }
    let changing = Arc::clone(entry);
    blocking(move || changing.change(|export| export.state = State::Cancelled)).await.map_err(failed)
}

fn wrong_state(state: State) -> Refusal {
    Refusal::Conflict("wrong_state", format!("it is {}", state.word()))
}

/// Forgets an export that is not under way, and what it left unfinished.
pub(super) async fn forget(app: &Arc<App>, entry: &Arc<Entry>) -> Result<(), Refusal> {
    let task = entry.task.lock().await;
    let state = entry.state();
    if state.is_under_way() {
        return Err(wrong_state(state));
    }
    let (app, forgotten) = (Arc::clone(app), Arc::clone(entry));
    blocking(move || app.exports.remove(&app.files.folder, &forgotten)).await;
    drop(task);
    Ok(())
}

/// Carries on with what the last stop paused.
pub(super) async fn resume_paused(app: &Arc<App>) {
    for entry in app.exports.all() {
        let is_paused = entry.read(|export| export.state == State::Paused && !export.had_secrets);
        if is_paused {
            // What can't be written down stays paused.
            let _ = retry(app, &entry, Renewed::Kept).await;
        }
    }
}

/// Stops all that are under way, for the next start to carry on.
pub(super) async fn pause_all(app: &App) {
    for entry in app.exports.all() {
        // What is not under way stays what it is.
        let _ = stop(&entry, Stop::Pause).await;
    }
}

/// Ids become names of files: what is on the disk is believed only so far.
fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
