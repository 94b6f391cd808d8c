//! The options by which a registry is reached, the same for every command that reaches one.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use sealift::event::SharedReporter;
use sealift::image::{Reference, Registry};
use sealift::registry::{
    Client, ClientOptions, Credential, Credentials, Mirrored, ProxyRules, RegistryError, Timeouts,
};
use sealift::secret::Secret;

use super::Context;
use super::report::Failure;

/// No password is longer; what comes after it on stdin is not read.
const MAX_PASSWORD_BYTES: u64 = 64 << 10;

#[derive(Args)]
#[command(next_help_heading = "Registry options")]
pub(super) struct ConnectionArguments {
    /// User name for the registry [env: SEALIFT_USERNAME]; the password comes from stdin or
    /// $SEALIFT_PASSWORD
    #[arg(short, long, value_name = "USER")]
    username: Option<String>,
    /// Read the password from stdin
    #[arg(long)]
    password_stdin: bool,
    /// Trust the certificates in this PEM file, too
    #[arg(long, value_name = "FILE")]
    ca: Vec<PathBuf>,
    /// Allow plain HTTP and unverified certificates for this host
    #[arg(long, value_name = "HOST[:PORT]")]
    insecure: Vec<String>,
}

impl ConnectionArguments {
    /// True if the password comes from stdin.
    pub(super) fn reads_stdin(&self) -> bool {
        self.password_stdin
    }

    /// A source of the images of `references`: their registries, or mirrors of those.
    pub(super) fn source(
        self,
        references: &[Reference],
        context: &Context,
        reporter: &SharedReporter,
    ) -> Result<Mirrored, Failure> {
        let credential = self.credential(context)?;
        let credential = credential
            .map(|credential| Ok::<_, Failure>((sole_registry(references)?, credential)))
            .transpose()?;
        let mut credentials = Credentials::of_docker(&context.environment);
        if let Some((registry, credential)) = credential {
            credentials = credentials.with(registry, credential);
        }
        let insecure = context.config.insecure.iter().chain(&self.insecure);
        let client = Client::new(ClientOptions {
            credentials,
            proxies: ProxyRules::from_environment(&context.environment)?,
            ca_files: [context.config.ca.clone(), self.ca].concat(),
            insecure_hosts: insecure.map(|host| host.parse()).collect::<Result<_, RegistryError>>()?,
            timeouts: Timeouts::default(),
            reporter: reporter.clone(),
        })?;
        Ok(Mirrored::new(client, &context.config.registries, reporter)?)
    }

    fn credential(&self, context: &Context) -> Result<Option<Credential>, Failure> {
        let username = self.username.as_deref().or_else(|| context.environment.text("SEALIFT_USERNAME"));
        let Some(username) = username.map(str::to_owned) else {
            return if self.password_stdin {
                Err(Failure::Usage("--password-stdin goes with -u USER"))
            } else {
                Ok(None)
            };
        };
        let password = if self.password_stdin {
            password_from_stdin()?
        } else {
            let password = context.environment.text("SEALIFT_PASSWORD").map(Secret::new);
            password.ok_or(Failure::Usage("-u USER goes with --password-stdin or $SEALIFT_PASSWORD"))?
        };
        Ok(Some(Credential::Password { username, password }))
    }
}

fn password_from_stdin() -> Result<Secret, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MAX_PASSWORD_BYTES).read_to_string(&mut text);
    read.map_err(|error| {
        Failure::Other(anyhow::Error::new(error).context("cannot read the password from stdin"))
    })?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}

/// The one registry a password is for: with several it would be sent to the wrong ones.
fn sole_registry(references: &[Reference]) -> Result<Registry, Failure> {
    match references {
        [first, rest @ ..] if rest.iter().all(|other| other.registry() == first.registry()) => {
            Ok(first.registry().clone())
        }
        _ => Err(Failure::Usage("-u goes with images of one registry only")),
    }
}
