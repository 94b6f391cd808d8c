//! `sealift completions SHELL`.

use clap::{Args, Command};
use clap_complete::Shell;

use super::report::Failure;
use super::ui;

/// Print the script that completes sealift's commands and options in a shell
#[derive(Args)]
pub(super) struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments, mut command: Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "sealift", &mut script);
    ui::data(String::from_utf8_lossy(&script).trim_end())
}
