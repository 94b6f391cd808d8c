//! How often what fails is tried again, the same for pulls and pushes.

use std::time::Duration;

use clap::Args;
use sealift::attempts::Retries;
use sealift::config::{Config, MAX_RETRY_TIMES};

use super::connection::seconds;

#[derive(Args)]
pub(super) struct RetryArguments {
    /// How often what fails in a way that may pass is tried again, in a row without progress
    /// [env: SEALIFT_RETRY_TIMES]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(..=i64::from(MAX_RETRY_TIMES)))]
    retry_times: Option<u8>,
    /// Wait so many seconds before each try, instead of longer and longer
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    retry_delay: Option<Duration>,
}

impl RetryArguments {
    /// What was asked for, or else what the settings say.
    pub(super) fn retries(&self, config: &Config) -> Retries {
        Retries { times: self.retry_times.unwrap_or(config.retry_times).into(), delay: self.retry_delay }
    }
}
