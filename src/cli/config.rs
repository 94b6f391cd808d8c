//! `sealift config show|init|path|import`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use sealift::config::{Config, Environment, Imported, Origin, SHIPPED, user_path};
use sealift::fsio::{Existing, FileError, write_whole};
use serde::Serialize;

use super::report::Failure;
use super::ui;

/// Show the settings in force, or make a config.json to change them
#[derive(Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Print the settings in force, as JSON
    Show,
    /// Write the shipped settings to the user's config.json, to be changed there
    Init,
    /// Print the path of the config.json that is read
    Path,
    /// Convert the config.json of DockerOps to settings of sealift, and print them
    ///
    /// Its registries become mirrors of docker.io, in the order of their priorities. Keys that mean nothing here are
    /// named on stderr.
    Import {
        /// DockerOps' config.json
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Write the settings to this new file instead
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

pub(super) fn run(arguments: &Arguments, origin: &Origin, environment: &Environment) -> Result<(), Failure> {
    match &arguments.action {
        Action::Show => ui::data(&pretty(&Config::load(origin, environment)?)?),
        Action::Init => {
            let path = write_new(&path_of(origin, environment)?, SHIPPED)?;
            ui::data(&path.display().to_string())
        }
        Action::Import { file, output } => {
            let Imported { settings, notes } = Imported::of_file(file)?;
            for note in notes {
                ui::talk(&format!("{}: {}", note.key, note.text));
            }
            match output {
                None => ui::data(&pretty(&settings)?),
                Some(path) => {
                    let path = write_new(path, &format!("{}\n", pretty(&settings)?))?;
                    ui::data(&path.display().to_string())
                }
            }
        }
        Action::Path => ui::data(&path_of(origin, environment)?.display().to_string()),
    }
}

fn path_of(origin: &Origin, environment: &Environment) -> Result<PathBuf, Failure> {
    match origin {
        Origin::Named(path) | Origin::User(path) => Ok(path.clone()),
        Origin::Shipped => user_path(environment).ok_or(Failure::NoConfigFolder),
    }
}

fn pretty(settings: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(settings).map_err(|error| Failure::Other(error.into()))
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, text: &str) -> Result<PathBuf, Failure> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(FileError::io("create", folder))?;
    }
    Ok(write_whole(path, text.as_bytes(), Existing::Refuse)?)
}
