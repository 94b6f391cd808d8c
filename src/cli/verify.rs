//! `sealift verify`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use sealift::archive::size_of_archive;
use sealift::archived::{Measuring, Problem};
use sealift::blob::Limits;
use sealift::event::{Event, Reporter};
use sealift::foreign::shown;
use sealift::fsio::{FileError, blocking};
use sealift::image::{Digest, Platform, Reference};
use sealift::pull::Pull;
use sealift::verify::loader::{Loader, Verdict};
use sealift::verify::{Repair, Report, Verify, against};
use serde::Serialize;

use super::progress::Mode;
use super::report::Failure;
use super::{Context, ui};

/// How many problems of one archive are told.
const MAX_TOLD: usize = 100;
/// And how many entries that nothing names.
const MAX_EXTRA: usize = 5;
/// The same for programs.
const MAX_EXTRA_JSON: usize = 1000;

/// Check archives to the last byte, and tell all that is wrong with them
///
/// Every blob is hashed, every layer inflated and compared with its config, every document with the others; nothing is
/// unpacked to the disk. The exit code is 3 if anything is wrong.
#[derive(Args)]
pub(super) struct Arguments {
    /// Archives, OCI layouts, or `-` for an archive from stdin
    #[arg(required = true, value_name = "ARCHIVE")]
    archives: Vec<PathBuf>,
    /// Expect that this loader takes it; several times for several
    #[arg(long = "for", value_name = "LOADER", value_parser = loaders())]
    loaders: Vec<Loader>,
    /// Expect images for this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    /// Expect this digest of the whole file: `sha256:…`, or a file as sha256sum writes it
    #[arg(long, value_name = "DIGEST|FILE")]
    against: Option<String>,
    /// Write anew what can be mended: names, links, documents, order; bytes that are missing or damaged can't be
    #[arg(long, requires = "output")]
    fix: bool,
    /// Where the mended archive goes
    #[arg(short, long, value_name = "FILE", requires = "fix")]
    output: Option<PathBuf>,
    /// With --fix: the name of the image, for one that has none
    #[arg(long, value_name = "NAME:TAG", requires = "fix")]
    tag: Option<String>,
    /// Print a line of JSON for each archive
    #[arg(long)]
    json: bool,
    /// How progress is shown on stderr
    #[arg(long, value_name = "MODE", value_enum, default_value_t = Mode::Auto)]
    progress: Mode,
    /// Print nothing; the exit code tells
    #[arg(short, long)]
    quiet: bool,
}

pub(super) async fn run(arguments: Arguments, _: Context) -> Result<(), Failure> {
    if arguments.fix && arguments.archives.len() > 1 {
        return Err(Failure::VerifyUsage("--fix mends one archive at a time"));
    }
    if arguments.against.is_some() && arguments.archives.iter().any(|path| path == Path::new("-")) {
        return Err(Failure::VerifyUsage(
            "--against is for files: what comes from stdin is gone when it is read",
        ));
    }
    let name = arguments.tag.as_deref().map(str::parse::<Reference>).transpose()?;
    if name.as_ref().is_some_and(|name| name.digest().is_some()) {
        return Err(Failure::VerifyUsage("--tag takes a name with a tag, without a digest"));
    }
    let wants = Wants {
        platform: arguments.platform.as_deref().map(str::parse).transpose()?,
        name,
        loaders: arguments.loaders.clone(),
    };
    let mode = if arguments.quiet { Mode::Quiet } else { arguments.progress };
    let reporter: Arc<dyn Reporter> = Arc::from(mode.reporter());
    let of = arguments.archives.len();
    let (mut wrong, mut unread) = (0, Vec::new());
    for path in &arguments.archives {
        match is_right(path, &wants, &reporter, &arguments).await {
            Ok(is_right) => wrong += usize::from(!is_right),
            Err(failure) if of == 1 || matches!(failure, Failure::ReaderGone) => return Err(failure),
            Err(failure) => unread.push(failure),
        }
    }
    if wrong == 0 && unread.is_empty() { Ok(()) } else { Err(Failure::Wrong { wrong, of, unread }) }
}

/// Is it, in the end, as it should be? What is found is told, and mended where that was asked for.
async fn is_right(
    path: &Path,
    wants: &Wants,
    reporter: &Arc<dyn Reporter>,
    arguments: &Arguments,
) -> Result<bool, Failure> {
    let against = arguments.against.as_deref();
    let expected = against.map(|text| against::expected(text, path)).transpose()?;
    let report = check(path, expected, wants, reporter).await?;
    let is_right = report.problems.is_empty();
    if !arguments.quiet {
        tell(path, &report, arguments)?;
    }
    let Some(output) = &arguments.output else { return Ok(is_right) };
    let is_what_was_wanted = !report.problems.iter().any(is_not_to_be_mended);
    fix(report, output, wants, &**reporter, arguments).await?;
    Ok(is_what_was_wanted && loads(output, wants, reporter).await?)
}

/// True for what no other packing of the same images changes.
fn is_not_to_be_mended(problem: &Problem) -> bool {
    matches!(problem, Problem::WrongPlatform { .. } | Problem::WrongFile { .. })
}

/// Do the loaders that were asked about take the mended archive?
async fn loads(path: &Path, wants: &Wants, reporter: &Arc<dyn Reporter>) -> Result<bool, Failure> {
    if wants.loaders.is_empty() {
        return Ok(true);
    }
    let report = check(path, None, wants, reporter).await?;
    for problem in &report.problems {
        ui::talk(&format!("still: {problem}"));
    }
    Ok(report.problems.is_empty())
}

/// What is expected of all archives.
struct Wants {
    platform: Option<Platform>,
    name: Option<Reference>,
    loaders: Vec<Loader>,
}

async fn check(
    path: &Path,
    against: Option<Digest>,
    wants: &Wants,
    reporter: &Arc<dyn Reporter>,
) -> Result<Report, Failure> {
    let (path, reporter) = (path.to_owned(), Arc::clone(reporter));
    let (platform, loaders) = (wants.platform.clone(), wants.loaders.clone());
    let work = move || {
        let times = if against.is_some() { 2 } else { 1 };
        let size_bytes =
            path.metadata().ok().filter(std::fs::Metadata::is_file).map(|file| file.len() * times);
        reporter.report(Event::CheckStarted { path: &path, size_bytes });
        let progress = |bytes| reporter.report(Event::CheckProgressed { bytes });
        let measuring = Measuring { limits: Limits::default(), progress: &progress };
        let verify = Verify { measuring, platform: platform.as_ref(), loaders: &loaders };
        let mut report = verify.archive(&path)?;
        if let Some(expected) = against {
            let got = against::digest_of(&path, expected.algorithm(), &progress)?;
            if got != expected {
                report.problems.insert(0, Problem::WrongFile { expected, got });
            }
        }
        reporter.report(Event::Checked { path: &path });
        Ok::<_, sealift::Error>(report)
    };
    Ok(blocking(work).await?)
}

fn tell(path: &Path, report: &Report, arguments: &Arguments) -> Result<(), Failure> {
    let loaders = if arguments.loaders.is_empty() { &Loader::ALL[..] } else { &arguments.loaders };
    let verdicts = loaders.iter().map(|loader| (*loader, report.verdict(*loader)));
    if arguments.json {
        return ui::json(&Told::of(path, report, verdicts));
    }
    let mut lines = Vec::new();
    let (images, bytes) = (report.archive.images().len(), report.read_bytes());
    let what = if images == 1 { "1 image".to_owned() } else { format!("{images} images") };
    let state = match report.problems.len() {
        0 if report.is_exact => "whole, and to the byte what sealift writes".to_owned(),
        0 => "whole".to_owned(),
        1 => "1 problem".to_owned(),
        some => format!("{some} problems"),
    };
    lines.push(format!("{}: {what}, {} read: {state}", path.display(), ui::size(bytes)));
    let problems = report.problems.iter().take(MAX_TOLD);
    lines.extend(problems.map(|problem| format!("  problem: {problem}")));
    if report.problems.len() > MAX_TOLD {
        lines.push(format!("  and {} more", report.problems.len() - MAX_TOLD));
    }
    // Where something is wrong, they are most likely what is left of that.
    if report.problems.is_empty() && !report.extra.is_empty() {
        let shown = report.extra.iter().take(MAX_EXTRA).map(|path| format!("`{}`", shown(path)));
        let shown = shown.collect::<Vec<_>>().join(", ");
        let (count, more) = (report.extra.len(), if report.extra.len() > MAX_EXTRA { " …" } else { "" });
        let what = if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") };
        lines.push(format!("  besides: {what} that nothing names: {shown}{more}"));
    }
    let is_told =
        |why: &String| report.problems.iter().take(MAX_TOLD).any(|problem| problem.to_string() == *why);
    for (loader, verdict) in verdicts {
        match verdict {
            Verdict::Loads(images) => {
                let words = images.iter().map(|(name, id)| match id {
                    Some(id) => format!("{name} ({})", id.short()),
                    None => name.clone(),
                });
                let words = words.collect::<Vec<_>>().join(", ");
                lines.push(format!("  {:<13} loads {words}", loader.name()));
            }
            Verdict::Refuses(why) if arguments.loaders.is_empty() && is_told(&why) => {
                lines.push(format!("  {:<13} refuses it, or loads less", loader.name()));
            }
            Verdict::Refuses(why) => lines.push(format!("  {:<13} refuses it: {why}", loader.name())),
        }
    }
    ui::data(&ui::printable(&lines.join("\n")))
}

/// Writes what can be mended.
async fn fix(
    report: Report,
    output: &Path,
    wants: &Wants,
    reporter: &dyn Reporter,
    arguments: &Arguments,
) -> Result<(), Failure> {
    let is_same = |path: &Path| path.canonicalize().ok();
    if is_same(report.archive.path()).is_some() && is_same(report.archive.path()) == is_same(output) {
        return Err(FileError::Exists(output.to_owned()).into());
    }
    let original = report.archive.path().to_owned();
    let (name, path) = (wants.name.clone(), output.to_owned());
    let repaired = blocking(move || Repair { name: name.as_ref() }.plan(report, &path));
    let repaired = repaired.await.map_err(sealift::Error::from)?;
    let pull = Pull::of_files(&repaired.source, reporter);
    pull.check(std::slice::from_ref(&repaired.planned))?;
    pull.write(&repaired.planned).await?;
    debug_assert!(size_of_archive(output, &repaired.planned.plan).is_some());
    if !arguments.quiet {
        for image in &repaired.planned.images {
            let digest = &image.target.digest;
            let new = if repaired.has_new_digests { ", a new digest: no manifest came along" } else { "" };
            ui::talk(&format!("{}  {digest}{new}", image.reference));
        }
        for left_out in &repaired.left_out {
            ui::talk(&format!("left out: {left_out}"));
        }
        ui::talk(&format!("mended; to load it: docker load -i {}", ui::shell_word(output)));
        if !arguments.json {
            ui::data(&output.display().to_string())?;
        }
    }
    if repaired.left_out.is_empty() {
        return Ok(());
    }
    Err(Failure::NotAllMended { path: original, mended: output.to_owned() })
}

/// The names of [`Loader`].
fn loaders() -> impl TypedValueParser<Value = Loader> {
    PossibleValuesParser::new(Loader::ALL.map(Loader::name)).try_map(|name| name.parse())
}

/// A report, for programs.
#[derive(Serialize)]
struct Told<'a> {
    path: String,
    images: usize,
    /// What was read of contents.
    read_bytes: u64,
    is_whole: bool,
    /// True if every byte is what sealift writes for these images.
    is_exact: bool,
    problems: Vec<ToldProblem>,
    /// How many entries are there that nothing names, which is no problem.
    extra_entries: usize,
    /// The first of them.
    extra: &'a [String],
    loaders: Vec<ToldVerdict<'a>>,
}

#[derive(Serialize)]
struct ToldProblem {
    kind: &'static str,
    text: String,
}

#[derive(Serialize)]
struct ToldVerdict<'a> {
    loader: &'a str,
    /// Names with image IDs, where these are known before.
    loads: Vec<(String, Option<Digest>)>,
    refuses: Option<String>,
}

impl<'a> Told<'a> {
    fn of(path: &Path, report: &'a Report, verdicts: impl Iterator<Item = (Loader, Verdict)>) -> Self {
        let problem = |problem: &Problem| ToldProblem { kind: problem.kind(), text: problem.to_string() };
        let verdict = |(loader, verdict): (Loader, Verdict)| {
            let (loads, refuses) = match verdict {
                Verdict::Loads(images) => (images, None),
                Verdict::Refuses(why) => (Vec::new(), Some(why)),
            };
            ToldVerdict { loader: loader.name(), loads, refuses }
        };
        Self {
            path: path.display().to_string(),
            images: report.archive.images().len(),
            read_bytes: report.read_bytes(),
            is_whole: report.problems.is_empty(),
            is_exact: report.is_exact,
            problems: report.problems.iter().map(problem).collect(),
            extra_entries: report.extra.len(),
            extra: &report.extra[..report.extra.len().min(MAX_EXTRA_JSON)],
            loaders: verdicts.map(verdict).collect(),
        }
    }
}
