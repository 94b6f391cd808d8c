//! The command line: a file per command, and what they share to speak with people.
//!
//! Only the binary has this module, so the library can't print or draw. [`ui`] is stdout (data) and stderr (talk),
//! [`progress`] draws the library's events, [`report`] turns an error into text, hint and exit code.

#![allow(clippy::doc_markdown, reason = "doc comments of arguments are help text")]

mod completions;
mod config;
mod connection;
#[cfg(target_os = "linux")]
mod container_layer;
mod containerd_store;
mod daemon_arguments;
mod demo;
mod doctor;
mod grab;
mod inspect;
mod load;
mod login;
mod logout;
mod man;
mod name_service;
mod progress;
mod prompt;
mod pull;
mod push;
mod registry_argument;
mod report;
mod retry_arguments;
mod serve;
mod tags;
mod ui;
mod verify;

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};
use futures::FutureExt;
use futures::future::BoxFuture;
use sealift::config::{Config, Environment, Origin};

use report::Failure;

/// Pull container images from any registry into one file that every loader takes.
#[derive(Parser)]
#[command(version, max_term_width = 100, arg_required_else_help = true)]
struct Arguments {
    /// Read settings from FILE instead of the user's config.json [env: SEALIFT_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Pull(Box<pull::Arguments>),
    Inspect(Box<inspect::Arguments>),
    Verify(verify::Arguments),
    Load(Box<load::Arguments>),
    Grab(Box<grab::Arguments>),
    Push(Box<push::Arguments>),
    Tags(tags::Arguments),
    ContainerdStore(containerd_store::Arguments),
    #[cfg(target_os = "linux")]
    ContainerLayer(container_layer::Arguments),
    Serve(Box<serve::Arguments>),
    Login(login::Arguments),
    Logout(logout::Arguments),
    Doctor(doctor::Arguments),
    Demo(demo::Arguments),
    Config(config::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

/// What every command is given.
struct Context {
    environment: Environment,
    config: Config,
}

/// Parses the command line, runs the command and says how it ended.
pub(crate) fn main() -> ExitCode {
    name_service::use_built_in_modules();
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.show(),
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let environment = Environment::of_process();
    let origin = Origin::choose(arguments.config.as_deref(), &environment);
    let context = || {
        Ok::<_, Failure>(Context {
            config: Config::load(&origin, &environment)?,
            environment: environment.clone(),
        })
    };
    match arguments.command {
        Command::Pull(command) => until_interrupted(pull::run(*command, context()?)),
        Command::Inspect(command) => until_interrupted(inspect::run(*command, context()?)),
        Command::Verify(command) => until_interrupted(verify::run(command, context()?)),
        Command::Load(command) => until_interrupted(load::run(*command, context()?)),
        Command::Grab(command) => {
            let context = context()?;
            until_cleaned_up(|interrupted| grab::run(*command, context, interrupted))
        }
        Command::Push(command) => until_interrupted(push::run(*command, context()?)),
        Command::Tags(command) => until_interrupted(tags::run(command, context()?)),
        Command::ContainerdStore(command) => until_interrupted(containerd_store::run(command, context()?)),
        #[cfg(target_os = "linux")]
        Command::ContainerLayer(command) => until_interrupted(container_layer::run(command, context()?)),
        Command::Serve(command) => on_a_runtime(serve::run(*command, context()?)),
        Command::Login(command) => {
            let context = context()?;
            let ready = command.complete(&context)?;
            until_interrupted(login::run(ready, context))
        }
        Command::Logout(command) => until_interrupted(logout::run(command, context()?)),
        Command::Doctor(command) => until_interrupted(doctor::run(command, context()?)),
        Command::Demo(command) => until_interrupted(demo::run(command, context()?)),
        Command::Config(command) => config::run(&command, &origin, &environment),
        Command::Completions(command) => completions::run(&command, Arguments::command()),
        Command::Man(command) => man::run(&command, Arguments::command()),
    }
}

/// Runs `work` on a runtime of its own; Ctrl-C, SIGTERM and SIGHUP drop it where it stands, which cleans up.
fn until_interrupted(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    run_until(work, interruption())
}

/// The same for work that has to clean up elsewhere, and is told when to stop. The second Ctrl-C does not wait for that.
fn until_cleaned_up<W: Future<Output = Result<(), Failure>>>(
    work: impl FnOnce(BoxFuture<'static, Failure>) -> W,
) -> Result<(), Failure> {
    let second = async {
        interruption().await;
        interruption().await
    };
    run_until(work(interruption().boxed()), second)
}

fn run_until(
    work: impl Future<Output = Result<(), Failure>>,
    interruption: impl Future<Output = Failure>,
) -> Result<(), Failure> {
    on_a_runtime(async {
        tokio::select! {
            biased; // what is done is done
            result = work => result,
            interruption = interruption => Err(interruption),
        }
    })
}

/// The same for what ends by itself when it is told to.
fn on_a_runtime(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| Failure::Other(anyhow::Error::new(source).context("cannot start the runtime")))?;
    let result = runtime.block_on(work);
    // What still waits for the disk gets time to clean up after itself.
    runtime.shutdown_timeout(Duration::from_secs(10));
    result
}

/// Waits for Ctrl-C or SIGTERM.
async fn stop_asked_for() {
    interruption().await;
}

/// True under `nohup`, as far as the system tells: then a terminal that goes away ends nothing.
#[cfg(unix)]
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // SIGHUP is the first signal.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_none_or(|mask| mask & 1 == 1)
}

async fn interruption() -> Failure {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminal = if ignores_hang_up() { None } else { signal(SignalKind::hangup()).ok() };
        let hung_up = async {
            match &mut terminal {
                Some(terminal) => terminal.recv().await,
                None => std::future::pending().await,
            }
        };
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            return tokio::select! {
                _ = tokio::signal::ctrl_c() => Failure::Interrupted,
                _ = terminate.recv() => Failure::Terminated,
                _ = hung_up => Failure::HungUp,
            };
        }
    }
    let _ = tokio::signal::ctrl_c().await;
    Failure::Interrupted
}
