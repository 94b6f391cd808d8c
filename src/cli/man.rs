//! `sealift man [DIR]`.

use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_mangen::Man;
use sealift::fsio::{Existing, FileError, write_whole};

use super::report::Failure;
use super::ui;

/// Print the manual page, or write the pages of all commands into a folder
#[derive(Args)]
pub(super) struct Arguments {
    /// Write sealift.1, sealift-pull.1 and the others into this folder, and print their paths
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, mut command: Command) -> Result<(), Failure> {
    // `sealift help COMMAND` is the same as the command's own page.
    command = command.disable_help_subcommand(true);
    command.build();
    match &arguments.folder {
        None => ui::data(String::from_utf8_lossy(&page(&command)?).trim_end()),
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(FileError::io("create", folder))?;
            write_pages(&command, folder)
        }
    }
}

/// Writes the page of a command and of all below it.
fn write_pages(command: &Command, folder: &Path) -> Result<(), Failure> {
    let path = folder.join(Man::new(command.clone()).get_filename());
    let page = page(command)?;
    ui::data(&write_whole(&path, &page, Existing::Replace)?.display().to_string())?;
    command.get_subcommands().try_for_each(|below| write_pages(below, folder))
}

fn page(command: &Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page).map_err(|error| Failure::Other(error.into()))?;
    Ok(page)
}
