//! `sealift logout`.

use clap::Args;
use sealift::registry::CredentialSource;
use sealift::registry::login;

use super::report::Failure;
use super::{Context, registry_argument, ui};

/// Remove a registry's user name and password from where docker keeps them
#[derive(Args)]
pub(super) struct Arguments {
    /// The registry
    #[arg(value_name = "REGISTRY", default_value = "docker.io")]
    registry: String,
}

pub(super) async fn run(arguments: Arguments, context: Context) -> Result<(), Failure> {
    let registry = registry_argument::parse(&arguments.registry)?;
    match login::erase(&registry, &context.environment).await? {
        Some(CredentialSource::Helper { helper, .. }) => {
            ui::talk(&format!("removed the credentials of {registry} from `docker-credential-{helper}`"));
        }
        Some(source) => ui::talk(&format!("removed the credentials of {registry} from {source}")),
        None => ui::talk(&format!("there were no credentials of {registry}")),
    }
    Ok(())
}
