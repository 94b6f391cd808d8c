//! `sealift login`.

use std::io::IsTerminal;

use clap::Args;
use sealift::image::Registry;
use sealift::registry::login::{self, Checked};
use sealift::registry::{Client, Credential, CredentialSource};
use sealift::secret::Secret;

use super::connection::{NetworkArguments, password_from_stdin};
use super::report::Failure;
use super::{Context, prompt, registry_argument, ui};

/// Check user name and password against a registry, and store them where docker keeps them
///
/// They go to the credential helper that docker's config.json ($DOCKER_CONFIG) names, or else into that file. Where the
/// registry's token server trades the password for an identity token, only that is stored. What has not been given is
/// asked for on a terminal.
#[derive(Args)]
pub(super) struct Arguments {
    /// The registry
    #[arg(value_name = "REGISTRY", default_value = "docker.io")]
    registry: String,
    /// User name [env: SEALIFT_USERNAME]
    #[arg(short, long, value_name = "USER")]
    username: Option<String>,
    /// Read the password from stdin
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    network: NetworkArguments,
}

/// What `login` needs, complete.
pub(super) struct Ready {
    registry: Registry,
    username: String,
    password: Secret,
    network: NetworkArguments,
}

impl Arguments {
    /// Asks for what is missing. It waits for a person, so it comes before all that runs beside each other.
    pub(super) fn complete(self, context: &Context) -> Result<Ready, Failure> {
        let registry = registry_argument::parse(&self.registry)?;
        let is_terminal = std::io::stdin().is_terminal() && !self.password_stdin;
        let username = match self.username.as_deref().or(context.environment.text("SEALIFT_USERNAME")) {
            Some(username) => username.to_owned(),
            None if is_terminal => prompt::text(&format!("User name for {registry}: "))?,
            None => return Err(Failure::LoginUsage("without a terminal, login needs -u USER")),
        };
        if username.is_empty() || username.contains(':') {
            return Err(Failure::LoginUsage("a user name is not empty and has no colon"));
        }
        let password = match context.environment.text("SEALIFT_PASSWORD") {
            _ if self.password_stdin => password_from_stdin()?,
            Some(password) => Secret::new(password),
            None if is_terminal => prompt::password("Password or token: ")?,
            None => {
                return Err(Failure::LoginUsage(
                    "without a terminal, login needs --password-stdin or $SEALIFT_PASSWORD",
                ));
            }
        };
        if password.reveal().is_empty() {
            return Err(Failure::LoginUsage("the password is empty"));
        }
        Ok(Ready { registry, username, password, network: self.network })
    }
}

pub(super) async fn run(ready: Ready, context: Context) -> Result<(), Failure> {
    let Ready { registry, username, password, network } = ready;
    let client = Client::new(network.options(std::slice::from_ref(&registry), &context)?)?;
    let credential = Credential::Password { username, password };
    let (checked, credential) = client.log_in(&registry, credential).await?;
    let source = login::store(&registry, &credential, &context.environment).await?;
    if let CredentialSource::File(path) = &source {
        let kept = match credential {
            Credential::Password { .. } => "password",
            Credential::IdentityToken(_) => "token that the registry gave for the password",
        };
        ui::talk(&format!(
            "warning: the {kept} is stored unencrypted in {}; a credential helper (`credsStore` there) keeps it safe",
            path.display()
        ));
    }
    match checked {
        Checked::Accepted => ui::talk(&format!("logged in to {registry}")),
        Checked::NotAsked => ui::talk(&format!(
            "stored for {registry}, which let strangers in and did not ask for user and password: they are unchecked"
        )),
    }
    Ok(())
}
