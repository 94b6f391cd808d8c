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
mod signals;
mod tags;
mod ui;
mod verify;

use std::future::{self, Future};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};
use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use sealift::config::{Config, Environment, Origin};
use tokio::sync::oneshot;

use report::Failure;
use signals::Signals;

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
        Command::Serve(command) => {
            if let Some((name, file)) = command.user_to_add() {
                return serve::add_user(name, file);
            }
            let context = context()?;
            until_cleaned_up(|stop| serve::run(*command, context, stop))
        }
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
    on_a_runtime(async {
        let mut signals = Signals::listen();
        unless(signals.next(), work).await
    })
}

/// The same for work that has to clean up after itself, and is told when to stop. The second Ctrl-C does not wait for that.
fn until_cleaned_up<W: Future<Output = Result<(), Failure>>>(
    work: impl FnOnce(BoxFuture<'static, Failure>) -> W,
) -> Result<(), Failure> {
    on_a_runtime(async {
        let mut signals = Signals::listen();
        let (tell, told) = oneshot::channel();
        // The first is told on once it is heard, so that what comes after it is the second.
        let second = async {
            let _ = tell.send(signals.next().await);
            signals.next().await
        };
        let first = told.or_else(|_| future::pending()).map(|(Ok(first) | Err(first))| first);
        unless(second, work(first.boxed())).await
    })
}

async fn unless(
    interruption: impl Future<Output = Failure>,
    work: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    tokio::select! {
        biased; // what is done is done
        result = work => result,
        interruption = interruption => Err(interruption),
    }
}

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

#[cfg(all(test, unix))]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[test]
    fn signals_are_heard_from_before_the_work_begins() {
        for (signal, is_told) in [
            (Signal::INT, (|failure| matches!(failure, Failure::Interrupted)) as fn(Failure) -> bool),
            (Signal::TERM, |failure| matches!(failure, Failure::Terminated)),
        ] {
            let send = move || kill_process(getpid(), signal).unwrap();
            let dropped = until_interrupted(async {
                send();
                future::pending().await
            });
            assert!(is_told(dropped.unwrap_err()), "{signal:?}");
            let told = until_cleaned_up(|stop| async move {
                send();
                Err(stop.await)
            });
            assert!(is_told(told.unwrap_err()), "{signal:?}");
            let twice = until_cleaned_up(|stop| async move {
                send();
                stop.await;
                send();
                future::pending().await
            });
            assert!(is_told(twice.unwrap_err()), "{signal:?}");
        }
    }
}
