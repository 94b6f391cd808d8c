//! `sealift config show|init|path`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use sealift::config::{Config, Environment, Origin, SHIPPED, user_path};
use sealift::fsio::{Existing, FileError, PartialFile};

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
}

pub(super) fn run(arguments: &Arguments, origin: &Origin, environment: &Environment) -> Result<(), Failure> {
    match arguments.action {
        Action::Show => {
            let config = Config::load(origin, environment)?;
            ui::data(&serde_json::to_string_pretty(&config).map_err(|error| Failure::Other(error.into()))?)
        }
        Action::Init => {
            let path = init(&path_of(origin, environment)?)?;
            ui::data(&path.display().to_string())
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

fn init(path: &Path) -> Result<PathBuf, Failure> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(FileError::io("create", folder))?;
    }
    let file = PartialFile::create(path, SHIPPED.len() as u64, Existing::Refuse)?;
    file.handle().write_at(SHIPPED.as_bytes(), 0)?;
    file.sync()?;
    Ok(file.commit()?)
}
