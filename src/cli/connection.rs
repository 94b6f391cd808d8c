//! The options by which a registry is reached, the same for every command that reaches one.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sealift::event::SharedReporter;
use sealift::image::{Reference, Registry};
use sealift::registry::{
    CertsFolders, Client, ClientCertificate, ClientOptions, Credential, Credentials, Mirrored, ProxyRules,
    RegistryError, Timeouts,
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
    #[command(flatten)]
    network: NetworkArguments,
}

/// How the other side is reached and believed, and told who asks.
#[derive(Args)]
#[command(next_help_heading = "Registry options")]
pub(super) struct NetworkArguments {
    #[command(flatten)]
    reach: ReachArguments,
    /// Show the registry this client certificate (PEM)
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// The private key of --cert, where it is not in the same file
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

/// How the other side is reached and believed. `serve` has no more of them: its certificate is its own.
#[derive(Args)]
#[command(next_help_heading = "Registry options")]
pub(super) struct ReachArguments {
    /// Trust the certificates in this PEM file, too
    #[arg(long, value_name = "FILE")]
    ca: Vec<PathBuf>,
    /// Go through this proxy (http, https, socks5, socks5h), `direct` for none; hosts in NO_PROXY are
    /// reached without
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// Allow plain HTTP and unverified certificates for this host
    #[arg(long, value_name = "HOST[:PORT]")]
    insecure: Vec<String>,
    /// Give up a connection that brings nothing for so many seconds [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = more_than_no_seconds)]
    stall_timeout: Option<Duration>,
}

impl ReachArguments {
    /// The options of a client for any registry, with the credentials that other programs stored.
    pub(super) fn options(self, context: &Context) -> Result<ClientOptions, Failure> {
        NetworkArguments { reach: self, cert: None, key: None }.options(&[], context)
    }
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
        let registries: Vec<Registry> =
            references.iter().map(|reference| reference.registry().clone()).collect();
        self.source_of(&registries, context, reporter)
    }

    /// A source of the images of `registries`.
    pub(super) fn source_of(
        self,
        registries: &[Registry],
        context: &Context,
        reporter: &SharedReporter,
    ) -> Result<Mirrored, Failure> {
        let options = self.client_options(registries, context, reporter)?;
        Ok(Mirrored::new(Client::new(options)?, &context.config.registries, reporter)?)
    }

    /// A client of one registry, which is asked itself: mirrors are for pulls.
    pub(super) fn client(
        self,
        registry: &Registry,
        context: &Context,
        reporter: &SharedReporter,
    ) -> Result<Client, Failure> {
        Ok(Client::new(self.client_options(std::slice::from_ref(registry), context, reporter)?)?)
    }

    fn client_options(
        self,
        registries: &[Registry],
        context: &Context,
        reporter: &SharedReporter,
    ) -> Result<ClientOptions, Failure> {
        let credential = self.credential(context)?;
        let mut options = self.network.options(registries, context)?;
        if let Some(credential) = credential {
            let several = "-u goes with images of one registry only";
            options.credentials = options.credentials.with(sole(registries, several)?, credential);
        }
        options.reporter = reporter.clone();
        Ok(options)
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

impl NetworkArguments {
    /// The options of a client for `registries`, with the credentials that other programs stored.
    pub(super) fn options(
        self,
        registries: &[Registry],
        context: &Context,
    ) -> Result<ClientOptions, Failure> {
        let certificate = self.cert.map(|certificate| ClientCertificate {
            key: self.key.unwrap_or_else(|| certificate.clone()),
            certificate,
        });
        let certificate = certificate
            .map(|files| {
                Ok::<_, Failure>((sole(registries, "--cert goes with images of one registry only")?, files))
            })
            .transpose()?;
        let insecure = context.config.insecure.iter().chain(&self.reach.insecure);
        let mut timeouts = Timeouts::default();
        timeouts.read = self.reach.stall_timeout.unwrap_or(timeouts.read);
        Ok(ClientOptions {
            reporter: SharedReporter::default(),
            credentials: Credentials::of_environment(&context.environment),
            proxies: proxies(self.reach.proxy.as_deref(), context)?,
            ca_files: [context.config.ca.clone(), self.reach.ca].concat(),
            client_certificates: certificate.into_iter().collect(),
            certs_folders: CertsFolders::of_environment(&context.environment),
            insecure_hosts: insecure.map(|host| host.parse()).collect::<Result<_, RegistryError>>()?,
            timeouts,
        })
    }
}

/// Seconds, with or without a fraction.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "it is no number of seconds".to_owned())
}

fn more_than_no_seconds(text: &str) -> Result<Duration, String> {
    let none = || "nothing comes in no time".to_owned();
    seconds(text).and_then(|wait| if wait.is_zero() { Err(none()) } else { Ok(wait) })
}

/// The option goes before the environment, which goes before the settings; these may have rules for hosts.
fn proxies(option: Option<&str>, context: &Context) -> Result<ProxyRules, RegistryError> {
    let rules = ProxyRules::from_environment(&context.environment)?;
    if let Some(text) = option {
        return rules.with_all("--proxy", text);
    }
    let config = &context.config;
    let rules = match &config.proxy {
        Some(text) => rules.or_all("`proxy` in config.json", text.reveal())?,
        None => rules,
    };
    config.proxies.iter().try_fold(rules, |rules, (hosts, text)| {
        rules.with_host(&format!("`{hosts}` below `proxies` in config.json"), hosts, text.reveal())
    })
}

pub(super) fn password_from_stdin() -> Result<Secret, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MAX_PASSWORD_BYTES).read_to_string(&mut text);
    read.map_err(|error| {
        Failure::Other(anyhow::Error::new(error).context("cannot read the password from stdin"))
    })?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}

/// The one registry that a secret is for: with several it would be sent to the wrong ones.
fn sole(registries: &[Registry], otherwise: &'static str) -> Result<Registry, Failure> {
    match registries {
        [first, rest @ ..] if rest.iter().all(|other| other == first) => Ok(first.clone()),
        _ => Err(Failure::Usage(otherwise)),
    }
}
