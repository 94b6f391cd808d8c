//! `sealift serve`.

use std::future::Future;
use std::io::{IsTerminal, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytesize::ByteSize;
use clap::Args;
use futures::FutureExt as _;
use sealift::config::MAX_CONNECTIONS;
use sealift::fsio::{FileError, Links, open_regular};
use sealift::secret::Secret;
use sealift::serve::{
    Cleanup, RegistriesFile, RegistriesFileError, ServeError, Server, Settings, Sources, TlsFiles,
    UserFileError, Users,
};

use super::Context;
use super::connection::{ReachArguments, password_from_stdin};
use super::report::Failure;
use super::retry_arguments::RetryArguments;
use super::{prompt, ui};

const DEFAULT_FOLDER: &str = "downloads";
/// No token is longer.
const MAX_TOKEN_BYTES: u64 = 4096;
/// No token is shorter.
const MIN_TOKEN_BYTES: usize = 16;

/// Serve a page and an API that export lists of images into a folder, and hand the archives out
///
/// The address of the page goes to stdout; what happens goes to stderr, a line of JSON each. Ctrl-C and SIGTERM pause
/// what is under way, and the next start carries on; a second one waits for nothing.
#[derive(Args)]
pub(super) struct Arguments {
    /// Address and port to listen on; any but this machine's own (127.0.0.1, [::1]) needs --user-file or --token
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The folder of archives, made if need be; the default is that of --registries, or else `downloads`
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Let in the users of FILE, a `name:hash` a line (argon2)
    #[arg(long, value_name = "FILE")]
    user_file: Option<PathBuf>,
    /// Put a user into --user-file, or give him a new password, and stop; the password is asked for, or comes from
    /// stdin
    #[arg(long, value_name = "NAME", requires = "user_file")]
    add_user: Option<String>,
    /// Let in whoever has the token in FILE, too [env: SEALIFT_TOKEN, the token itself]
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,
    /// Exports that run at the same time; the others wait
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    max_jobs: u8,
    /// What all files in the folder may take together, e.g. 500GiB; an export that would take more fails
    #[arg(long, value_name = "SIZE")]
    max_disk: Option<ByteSize>,
    /// Delete archives that are older than so many days, by the hour and after each export
    #[arg(long, value_name = "DAYS", value_parser = days)]
    max_age: Option<f64>,
    /// Delete all archives but the newest N, by the hour and after each export
    #[arg(long, value_name = "N")]
    max_files: Option<usize>,
    /// Take the folder, and credentials of registries, from this registries.yaml
    #[arg(long, value_name = "FILE")]
    registries: Option<PathBuf>,
    /// A name this server goes by, as browsers and programs call it, beside those of config.json (`serve_hosts`);
    /// addresses and `localhost` need not be told
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// Serve below this path, behind a reverse proxy
    #[arg(long, value_name = "PATH", default_value = "/")]
    base_path: String,
    /// Offer the images in the folder at /v2/, too, read-only: `docker pull HOST:8080/library/busybox` on other machines
    #[arg(long)]
    registry: bool,
    /// Serve HTTPS with this certificate (PEM)
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// The private key of --cert, where it is not in the same file
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Connections that fetch blobs for one export at the same time, 1 to 64 [env: SEALIFT_CONNECTIONS]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_CONNECTIONS)))]
    connections: Option<u8>,
    #[command(flatten)]
    retry: RetryArguments,
    #[command(flatten)]
    reach: ReachArguments,
}

/// Why a server does not start, for [`Failure`].
#[derive(Debug, thiserror::Error)]
pub(super) enum ServeFailure {
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Users(#[from] UserFileError),
    #[error(transparent)]
    Registries(#[from] RegistriesFileError),
    #[error("the token has less than {MIN_TOKEN_BYTES} characters")]
    ShortToken,
}

impl ServeFailure {
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Serve(ServeError::Bind { .. } | ServeError::File(_))
            | Self::Users(UserFileError::File(_))
            | Self::Registries(RegistriesFileError::File(_)) => 7,
            Self::Users(UserFileError::Random) => 1,
            _ => 2,
        }
    }

    /// What to do about it.
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Serve(ServeError::Unguarded(_)) => Some(
                "make a user with `sealift serve --user-file users --add-user NAME` and start with `--user-file users`, \
                 or give a token with --token FILE",
            ),
            Self::Serve(ServeError::Bind { .. }) => {
                Some("another server may have the port: give another address with --listen ADDRESS:PORT")
            }
            Self::Users(UserFileError::Line { .. } | UserFileError::Nobody(_)) => {
                Some("`sealift serve --user-file FILE --add-user NAME` writes such a line")
            }
            Self::Serve(ServeError::HostName(_)) => Some(
                "names are given without http://, as in `--host images.example`; `serve_hosts` of config.json has them, too",
            ),
            Self::ShortToken => Some("a good one is what `openssl rand -hex 32` prints"),
            _ => None,
        }
    }
}

/// Serves until `stop`, and then brings to an end what is being answered.
pub(super) async fn run(
    arguments: Arguments,
    context: Context,
    stop: impl Future<Output = Failure> + Send + 'static,
) -> Result<(), Failure> {
    let server = Server::open(arguments.settings(context)?).await.map_err(ServeFailure::from)?;
    ui::data(&server.url())?;
    server.run(stop.map(drop)).await.map_err(ServeFailure::from)?;
    Ok(())
}

/// Writes a user into the file, with a password that is typed.
pub(super) fn add_user(name: &str, file: &Path) -> Result<(), Failure> {
    let password = if std::io::stdin().is_terminal() {
        let password = prompt::password(&format!("Password of {name}: "))?;
        if prompt::password("Once more: ")?.reveal() != password.reveal() {
            return Err(Failure::Usage("the two passwords differ"));
        }
        password
    } else {
        password_from_stdin()?
    };
    Users::add(file, name, &password).map_err(ServeFailure::from)?;
    ui::talk(&format!("{name} may use a server that is started with --user-file {}", ui::shell_word(file)));
    Ok(())
}

impl Arguments {
    /// The user that is to be added to a file, which is all that is to be done then.
    pub(super) fn user_to_add(&self) -> Option<(&str, &Path)> {
        Some((self.add_user.as_deref()?, self.user_file.as_deref()?))
    }

    fn settings(self, context: Context) -> Result<Settings, Failure> {
        let users = self.user_file.as_deref().map(Users::read).transpose().map_err(ServeFailure::from)?;
        let file = self.registries.as_deref().map(RegistriesFile::read).transpose();
        let RegistriesFile { folder, credentials } = file.map_err(ServeFailure::from)?.unwrap_or_default();
        let (of_file, description) = folder.unzip();
        let token = token(self.token.as_deref(), context.environment.text("SEALIFT_TOKEN"))?;
        let retries = self.retry.retries(&context.config);
        let mut client = self.reach.options(&context)?;
        for (registry, credential) in credentials {
            client.credentials = client.credentials.with(registry, credential);
        }
        let key = self.key;
        let tls = self
            .cert
            .map(|certificate| TlsFiles { key: key.unwrap_or_else(|| certificate.clone()), certificate });
        Ok(Settings {
            listen: self.listen,
            folder: self.dir.or(of_file).unwrap_or_else(|| DEFAULT_FOLDER.into()),
            description: description.flatten(),
            users: users.unwrap_or_default(),
            token,
            max_running: self.max_jobs.into(),
            sources: Sources {
                client,
                connections: self.connections.unwrap_or(context.config.connections).into(),
                retries,
                platform: context.config.platform,
                layers: context.config.layers,
                registries: context.config.registries,
            },
            base_path: self.base_path,
            hosts: [context.config.serve_hosts, self.host].concat(),
            tls,
            max_disk_bytes: self.max_disk.map(|ByteSize(bytes)| bytes),
            cleanup: Cleanup { max_age_days: self.max_age, max_files: self.max_files, dry_run: false },
            has_registry: self.registry,
            tell: Arc::new(ui::talk),
        })
    }
}

fn token(file: Option<&Path>, of_environment: Option<&str>) -> Result<Option<Secret>, Failure> {
    let text = match (file, of_environment) {
        (Some(file), _) => {
            let mut text = String::new();
            let opened = open_regular(file, Links::Follow)?;
            opened.take(MAX_TOKEN_BYTES).read_to_string(&mut text).map_err(FileError::io("read", file))?;
            text
        }
        (None, Some(text)) => text.to_owned(),
        (None, None) => return Ok(None),
    };
    let token = text.trim();
    if token.len() < MIN_TOKEN_BYTES {
        return Err(ServeFailure::ShortToken.into());
    }
    Ok(Some(Secret::new(token)))
}

/// Days, with or without a fraction.
fn days(text: &str) -> Result<f64, String> {
    let days = text.parse::<f64>().ok().filter(|days| days.is_finite() && *days >= 0.0);
    days.ok_or_else(|| "it is no number of days".to_owned())
}
