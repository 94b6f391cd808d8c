//! `sealift container-layer check`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use sealift::container_layer::{Check, Docker, Line, Outcome, Report, Skip};
use sealift::event::Warning;
use sealift::layer_file::Metadata;
use serde::Serialize;

use super::{Context, DockerArguments};
use crate::cli::progress::Mode;
use crate::cli::report::{Failure, NotPassed};
use crate::cli::ui;

/// Check a layer file to the last byte, and whether it goes with this Docker
///
/// Nothing is unpacked to the disk, but for packed files of version 1.0: a file without a name in `$TMPDIR` has the
/// contents of those meanwhile. Each line is pass, fail, skipped or not checked. The exit code is 3 if the file is
/// damaged, 4 if it is not for this Docker, 7 if there is no Docker to hold it against.
#[derive(Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Arguments {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Don't look for the image
    #[arg(long)]
    skip_image: bool,
    /// Don't compare storage driver and user namespace
    #[arg(long)]
    skip_storage: bool,
    /// Don't compare operating system and kernel
    #[arg(long)]
    skip_os: bool,
    /// Don't compare the architecture
    #[arg(long)]
    skip_arch: bool,
    /// Print the report as a line of JSON
    #[arg(long)]
    json: bool,
    /// How progress is shown on stderr
    #[arg(long, value_name = "MODE", value_enum, default_value_t = Mode::Auto)]
    progress: Mode,
    /// Print nothing; the exit code tells
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    docker: DockerArguments,
}

pub(super) async fn run(arguments: Arguments, context: Context) -> Result<(), Failure> {
    let mode = if arguments.quiet { Mode::Quiet } else { arguments.progress };
    let skip = Skip {
        image: arguments.skip_image,
        storage: arguments.skip_storage,
        os: arguments.skip_os,
        architecture: arguments.skip_arch,
    };
    let needs_docker = !(skip.image && skip.storage && skip.os && skip.architecture);
    let docker = if needs_docker { Some(arguments.docker(&context).await?) } else { None };
    let (file, reporter) = (&arguments.file, Arc::from(mode.reporter()));
    let docker = match &docker {
        Some(found) => found.as_ref().map_err(Clone::clone),
        None => Err(String::new()),
    };
    let report = Check { file, docker, skip, reporter }.run().await?;
    if !arguments.quiet {
        tell(&arguments, &report)?;
    }
    let is_of_file = true;
    if !report.lines.iter().filter(|line| line.is_of_file).all(|line| line.outcome == Outcome::Pass) {
        Err(NotPassed::Damaged(arguments.file).into())
    } else if report.has(!is_of_file, Outcome::Fail) {
        Err(NotPassed::Unfit(arguments.file).into())
    } else if report.has(!is_of_file, Outcome::NotChecked) {
        Err(NotPassed::Unchecked(arguments.file).into())
    } else {
        Ok(())
    }
}

impl Arguments {
    /// The Docker, or why none answers; a setting that can't be right is an error.
    async fn docker(&self, context: &Context) -> Result<Result<Docker, String>, Failure> {
        match self.docker.docker(&context.environment).await {
            Ok(docker) => Ok(Ok(docker)),
            Err(Failure::Sealift(sealift::Error::Daemon(error))) => Ok(Err(error.to_string())),
            Err(failure) => Err(failure),
        }
    }
}

fn tell(arguments: &Arguments, report: &Report) -> Result<(), Failure> {
    if arguments.json {
        return ui::json(&Told::of(arguments, report));
    }
    let width = report.lines.iter().map(|line| line.what.len()).max().unwrap_or(0);
    for Line { what, outcome, words, .. } in &report.lines {
        let line = format!("{what:<width$}  {:<11}  {words}", word(*outcome));
        ui::data(&ui::printable(line.trim_end()))?;
    }
    for what in &report.lost {
        ui::talk(&format!("warning: {}", Warning::LostInFile { what: what.clone() }));
    }
    Ok(())
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Fail => "fail",
        Outcome::Skipped => "skipped",
        Outcome::NotChecked => "not checked",
    }
}

/// The report, for programs.
#[derive(Serialize)]
struct Told<'a> {
    file: String,
    is_whole: bool,
    lines: Vec<ToldLine<'a>>,
    lost: &'a [String],
    metadata: Option<&'a Metadata>,
}

#[derive(Serialize)]
struct ToldLine<'a> {
    check: &'a str,
    outcome: &'static str,
    text: &'a str,
}

impl<'a> Told<'a> {
    fn of(arguments: &Arguments, report: &'a Report) -> Self {
        let line =
            |line: &'a Line| ToldLine { check: line.what, outcome: word(line.outcome), text: &line.words };
        let mut of_file = report.lines.iter().filter(|line| line.is_of_file);
        Self {
            file: arguments.file.display().to_string(),
            is_whole: of_file.all(|line| line.outcome == Outcome::Pass),
            lines: report.lines.iter().map(line).collect(),
            lost: &report.lost,
            metadata: report.metadata.as_deref(),
        }
    }
}
