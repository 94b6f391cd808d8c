//! The options by which progress is shown, the same for every command that takes its time.

use clap::Args;

use super::Mode;

#[derive(Args)]
pub(in crate::cli) struct ProgressArguments {
    /// How progress is shown on stderr
    #[arg(long, value_name = "MODE", value_enum, default_value_t = Mode::Auto)]
    progress: Mode,
    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

impl ProgressArguments {
    /// What was asked for.
    pub(in crate::cli) fn mode(&self) -> Mode {
        if self.quiet { Mode::Quiet } else { self.progress }
    }
}
