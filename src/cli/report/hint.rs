//! What to do next, for the failures where that can be told.

#[cfg(target_os = "linux")]
mod container_layer;
mod containerd_store;
mod grab;
mod load;

use std::io::ErrorKind;

use sealift::archive::{PlanError, StreamError};
use sealift::archived::{OpenError, Unresolved, Unsound};
use sealift::blob::InflateError;
use sealift::config::ConfigError;
use sealift::foreign::shown;
use sealift::fsio::FileError;
use sealift::image::Platform;
use sealift::image::reference::{ReferenceError, ReferenceProblem};
use sealift::image_list::{ListError, Note};
use sealift::pull::ResolveError;
use sealift::push::DestinationError;
use sealift::registry::{
    Cause, ClientCertificateProblem, Denial, Failure as Unreachable, HelperProblem, Missing, Object,
    RedirectProblem, RegistryError, UrlProblem,
};
use sealift::secret::SafeUrl;
use sealift::source::SourceError;
use sealift::verify::RepairError;
use sealift::verify::against::AgainstError;

use super::Failure;
use crate::cli::ui;

impl Failure {
    pub(in crate::cli) fn hint(&self) -> Option<String> {
        match self {
            Self::Sealift(error) => of(error),
            Self::Mirror(error) => containerd_store::of_mirror(error).or_else(|| of(error)),
            Self::Import(error) => containerd_store::of_import(error).or_else(|| of(error)),
            Self::Reference(error) => reference(error),
            Self::List(error) => list(error),
            Self::Platform(_) => Some(
                "a platform is `os/arch[/variant][:os version]`: `--platform linux/arm64` (`--arch arm64` for \
                 short), `--platform windows/amd64:10.0.20348`"
                    .into(),
            ),
            Self::Config(ConfigError::UnknownKey { nearest, .. }) => {
                Some(format!("did you mean `{nearest}`?"))
            }
            Self::Config(ConfigError::NotDockerOps { .. }) => {
                Some("it has `registries`, a list, or `settings`".into())
            }
            Self::Config(_) => Some("`sealift config show` prints a valid one".into()),
            Self::NoConfigFolder => Some("name a file with `--config FILE`".into()),
            Self::NoCredentialsFolder => Some("set DOCKER_CONFIG to a folder".into()),
            Self::LoginUsage(_) => Some("`sealift login --help` tells more".into()),
            Self::LoadUsage(_) => Some("`sealift load --help` tells more".into()),
            Self::GrabUsage(_) => Some("`sealift grab --help` tells more".into()),
            Self::Endpoint(error) => Some(load::endpoint(error).into()),
            Self::VerifyUsage(_) => Some("`sealift verify --help` tells more".into()),
            Self::Usage(_) => Some("`--help` tells more".into()),
            Self::Several { .. } => {
                Some("run the same command again: what is there already stays there".into())
            }
            Self::NothingToReuse(_) => {
                Some("`--reuse` takes an archive, a folder of archives or an OCI layout".into())
            }
            Self::NotInArchive { path, .. } => {
                Some(format!("`sealift inspect {}` lists what it has", ui::shell_word(path)))
            }
            Self::SeveralInArchive { path, count: 0 } | Self::NotKept { document: "config", path } => {
                Some(format!("`sealift verify {}` tells what is wrong with it", ui::shell_word(path)))
            }
            Self::SeveralInArchive { path, .. } => {
                Some(format!("name one of them: `sealift inspect {} NAME --raw`", ui::shell_word(path)))
            }
            Self::NotKept { .. } => {
                Some("`docker save` before 25, crane and docker-archives of skopeo leave manifests out".into())
            }
            Self::Wrong { wrong: 1.., .. } => Some(
                "`--fix -o FILE` writes anew what can be mended; what is missing or damaged has to be fetched again".into(),
            ),
            Self::NotAllMended { .. } => {
                Some("what was left out is missing or damaged: it has to be fetched again".into())
            }
            Self::NoSuchArchive(_) => Some(
                "`sealift inspect` takes an image's name, an archive, an OCI layout, or `-` for an archive from stdin"
                    .into(),
            ),
            #[cfg(target_os = "linux")]
            Self::LayerFile(not_passed) => Some(container_layer::of_check(not_passed).into()),
            Self::Destination(error) => destination(error),
            Self::Rename(_) => Some(RENAME.into()),
            Self::Serve(failure) => failure.hint().map(str::to_owned),
            Self::Wrong { .. }
            | Self::Interrupted
            | Self::Terminated
            | Self::HungUp
            | Self::ReaderGone
            | Self::Other(_) => None,
        }
    }
}

const RENAME: &str = "names are in full there, as `sealift push --dry-run` shows them: `--rename docker.io/library/busybox=tools/busybox`";

fn destination(error: &DestinationError) -> Option<String> {
    let hint = match error {
        DestinationError::NoRegistry { text } => {
            format!("name the registry, too: `HOST:PORT/{text}`, or for Docker Hub `docker.io/{text}`")
        }
        DestinationError::Several { .. } => {
            "give the registry, with a path if need be: each image keeps its own name below it".into()
        }
        DestinationError::PrefixOfName { .. } => "give the registry alone, or leave `--prefix` out".into(),
        DestinationError::RuleForName { .. } => "give the registry alone, or leave `--rename` out".into(),
        DestinationError::Digest { .. } => "leave the digest out".into(),
        DestinationError::Unused { .. } => RENAME.into(),
        DestinationError::NoName { .. } => {
            "if it is the only one, give the whole name: `HOST/PATH:TAG`".into()
        }
        DestinationError::Same { .. } => {
            "keep them apart by a rule, e.g. `--rename quay.io=quay --rename ghcr.io=ghcr`".into()
        }
        DestinationError::Reference(_) => return None,
    };
    Some(hint)
}

fn reference(error: &ReferenceError) -> Option<String> {
    let text = &error.text;
    match error.problem {
        ReferenceProblem::UpperCase => Some(format!("write `{}`", text.to_lowercase())),
        ReferenceProblem::Credentials => Some(
            "`sealift login HOST` keeps them, `-u USER --password-stdin` gives them once; what was typed may stand in \
             the shell's history"
                .into(),
        ),
        ReferenceProblem::Scheme => {
            let bare = text.split_once("://").map(|(_, bare)| bare)?;
            Some(format!("write `{bare}`; `--insecure HOST` is for registries on plain HTTP"))
        }
        _ => None,
    }
}

fn list(error: &ListError) -> Option<String> {
    match error {
        ListError::Reference { source, .. } => reference(source),
        ListError::Unresolved { variable, .. } if variable.starts_with("{{") => {
            Some("this is a template: render it first (`helm template`), and give what comes out".into())
        }
        ListError::Unresolved { .. } => Some(
            "sealift reads no environment for lists: write the value there, or give what `docker compose config` \
             or `envsubst` makes of it"
                .into(),
        ),
        ListError::Empty { notes, .. } => notes.iter().find_map(|note| match note {
            Note::OnlyBuilt { .. } => Some("services with `build` and no `image` are not pulled".into()),
            Note::NotFollowed { .. } => Some("files that it names are not read; give them with `--file`".into()),
            _ => None,
        }),
        ListError::UnknownYaml { .. } => {
            Some("a list is a name a line, a compose file or Kubernetes manifests".into())
        }
        _ => None,
    }
}

fn of(error: &sealift::Error) -> Option<String> {
    use sealift::Error;
    match error {
        Error::Source(SourceError::Registry(error)) => registry(error),
        Error::Source(SourceError::Store(error)) => containerd_store::hint(error),
        Error::Rebuild(error) => containerd_store::rebuild(error),
        #[cfg(target_os = "linux")]
        Error::ContainerLayer(error) => container_layer::hint(error),
        Error::DamagedFile { .. } => Some(containerd_store::DAMAGED.into()),
        Error::Resolve(error) => resolve(error),
        Error::Plan(PlanError::PlatformsOfInflated { .. }) => {
            Some("keep the layers as they are with `--layers keep`, or give each platform a file of its own with `-o DIR/`".into())
        }
        Error::Inflate(InflateError::TooLarge { .. } | InflateError::Bomb { .. }) => Some(
            "if you trust the image, say how large its layers may be: `--max-layer-size 200GiB`; or keep them as \
             they are with `--layers keep`"
                .into(),
        ),
        Error::Inflate(_) => Some(
            "the bytes are what the registry was given, so the image is broken: it has to be built and pushed again; \
             `--layers keep` brings it as it is"
                .into(),
        ),
        Error::Blob { .. } => Some(THROWN_AWAY.into()),
        Error::Stopped { is_kept: true, written_bytes: 1.., .. } => {
            Some("run the same command again: it carries on from there".into())
        }
        Error::Stopped { source, .. } | Error::GaveUp { source, .. } => of(source),
        Error::Damaged { .. } | Error::Source(SourceError::NotInArchive { .. }) => {
            Some("nothing wrong was sent; the archive is damaged: copy it anew, or pull it anew".into())
        }
        Error::NotSent { source, .. } => match &**source {
            Error::GaveUp { source, .. } => of(source),
            _ => None,
        },
        Error::Unsound(Unsound { path, .. }) => {
            Some(format!("`sealift verify {}` tells all that is wrong with it", ui::shell_word(path)))
        }
        Error::Reused { .. } => Some("run the same command again".into()),
        Error::Stream(StreamError::Write(error)) if error.kind() == ErrorKind::StorageFull => {
            Some("make room where stdout goes; a pipe begins anew, a file (`-o FILE`) carries on from what came".into())
        }
        Error::Daemon(error) => load::daemon(error),
        Error::Load(error) => load::load(error),
        Error::Grab(error) => grab::hint(error),
        Error::Sidecar { .. } => {
            Some("mend that and run the same command again: the archive is not fetched again".into())
        }
        Error::File(error) => file(error),
        Error::Open(error) => open(error),
        Error::Against(AgainstError::Neither { .. }) => {
            Some("`--against` takes `sha256:<64 hex digits>`, or a file as `sha256sum` writes it".into())
        }
        Error::Against(AgainstError::NotListed { name, .. }) => {
            Some(format!("such a line is `<64 hex digits>  {}`", shown(name)))
        }
        Error::Repair(error) => repair(error),
        _ => None,
    }
}

fn open(error: &OpenError) -> Option<String> {
    match error {
        OpenError::NotAnArchive { path, .. } => Some(format!(
            "archives are tars, plain or packed with gzip, zstd or xz; `file {}` tells what this is",
            ui::shell_word(path)
        )),
        OpenError::Packing { path, .. } => {
            Some(format!("unpack it first: `bzip2 -dc {} | sealift verify -`", ui::shell_word(path)))
        }
        OpenError::Unpack { .. } => Some("it came here damaged or cut: copy it anew".into()),
        OpenError::TooManyFiles { .. } => Some("name the folder of the layout itself".into()),
        OpenError::File(FileError::NotAFile(path)) => Some(format!(
            "what comes through a pipe is read from stdin: give `-`, and `< {}`",
            ui::shell_word(path)
        )),
        OpenError::File(_) => None,
    }
}

fn repair(error: &RepairError) -> Option<String> {
    match error {
        RepairError::Unresolved(Unresolved::NoName { .. }) => Some("give it one: `--tag NAME:TAG`".into()),
        RepairError::Unresolved(_) | RepairError::NoImages(_) => {
            Some("nothing was written: what is missing or damaged has to be fetched again".into())
        }
        RepairError::SameName(_) => {
            Some("nothing was written: save them again, each under its own name".into())
        }
        RepairError::SeveralImages(_) => Some("leave `--tag` out: they keep their names".into()),
        RepairError::Open(error) => open(error),
        RepairError::Plan(PlanError::NotALayer { .. }) => Some(
            "nothing was written: artifacts other than images (charts, signatures) are no matter for loaders"
                .into(),
        ),
        RepairError::Plan(_) | RepairError::Pipe => None,
    }
}

const PUSHED_AGAIN: &str = "if its owner pushes it again with a current tool, it can be pulled";
const THROWN_AWAY: &str = "the data was thrown away; if this repeats, a proxy or mirror alters it";

fn resolve(error: &ResolveError) -> Option<String> {
    match error {
        ResolveError::NoSuchPlatform { wanted, offered, .. } => {
            let is_near = |offered: &&Platform| {
                (&offered.os, &offered.architecture) == (&wanted.os, &wanted.architecture)
            };
            let nearest = offered.platforms.iter().find(is_near).or(offered.platforms.first())?;
            Some(format!("choose one, e.g. `--platform {}`", ui::shell_word(nearest.to_string().as_ref())))
        }
        ResolveError::NotAnImage { .. } => Some("sealift packs container images only".into()),
        ResolveError::Manifest { source, .. } if source.is_another_kind() => Some(PUSHED_AGAIN.into()),
        ResolveError::Manifest { .. } => {
            Some("the registry, or something before it, sends what is no manifest".into())
        }
        _ => None,
    }
}

/// Of what a push met.
fn pushing(error: &RegistryError) -> Option<&'static str> {
    match error {
        RegistryError::NotFound { object, .. } if matches!(**object, Object::Repository { .. }) => {
            Some("make the repository there first (at Harbor its project), or name another place")
        }
        RegistryError::Altered { .. } => {
            Some("something between here and the registry alters what goes through")
        }
        RegistryError::NewToken { .. } | RegistryError::UploadLost { .. } => {
            Some("run the same command again")
        }
        RegistryError::BodyTooLarge { .. } => {
            Some("a proxy before the registry limits bodies: nginx has `client_max_body_size 0` for no limit")
        }
        _ => None,
    }
}

fn registry(error: &RegistryError) -> Option<String> {
    if let Some(hint) = pushing(error) {
        return Some(hint.into());
    }
    let hint = match error {
        RegistryError::NotFound { missing: Missing::Blob, .. } => {
            "the registry lost it: the image has to be pushed again".into()
        }
        RegistryError::NotFound { .. } => "check the spelling of repository and tag".into(),
        RegistryError::AccessDenied { object, denial, may_not_exist, .. } => {
            let registry = object.repository().registry();
            access(registry.as_str(), denial, *may_not_exist)
        }
        RegistryError::TokenRefused { registry, denial, may_not_exist, .. } => {
            access(registry.as_str(), denial, *may_not_exist)
        }
        RegistryError::Unreachable { url, proxy, failure, cause } => {
            unreachable(*failure, url, proxy.as_deref(), cause)
        }
        RegistryError::Interrupted { failure: Unreachable::TimedOut, .. } => {
            "run the same command again; on a line that pauses for long, `--stall-timeout 300` waits longer".into()
        }
        RegistryError::Interrupted { .. } => "run the same command again".into(),
        RegistryError::RateLimited { .. } => "wait; many registries allow more to those who log in".into(),
        RegistryError::ServerError { .. } => "the server is in trouble: try again later".into(),
        RegistryError::StoreRefused { .. } => {
            "its links expire: run the same command again; if this repeats, check this machine's clock".into()
        }
        RegistryError::WebPage { .. } => {
            "check host and port; a proxy's login page looks like this too".into()
        }
        RegistryError::LayerNowhere { problems, .. } => return Some(layer_nowhere(problems.problems())),
        RegistryError::DigestMismatch { .. }
        | RegistryError::WrongLength { .. }
        | RegistryError::WrongLayer { .. } => THROWN_AWAY.into(),
        RegistryError::BadRedirect { problem: RedirectProblem::PlainHttp(to), .. }
        | RegistryError::BadUploadPlace { problem: RedirectProblem::PlainHttp(to), .. } => format!(
            "a registry behind a TLS proxy may not know that it is (Artifactory wants `X-Forwarded-Proto`); \
             `--insecure {}` allows plain HTTP to that host",
            to.reveal().host_str().unwrap_or("HOST")
        ),
        RegistryError::RedirectLoop { .. }
        | RegistryError::BadRedirect { .. }
        | RegistryError::BadUploadPlace { .. }
        | RegistryError::BadPage { .. }
        | RegistryError::NoList { .. }
        | RegistryError::BadRealm { .. }
        | RegistryError::BadChallenge { .. }
        | RegistryError::BadHeader { .. }
        | RegistryError::UnexpectedStatus { .. } => {
            "check host and port; the registry, or a proxy before it, is set up wrongly".into()
        }
        RegistryError::UnknownChallenge { .. } => {
            "sealift logs in by password, token and client certificate (`--cert FILE`); ask who runs the registry for \
             one of those"
                .into()
        }
        RegistryError::NoToken { .. } => {
            "the token server is in trouble, or a proxy answered in its place: try again later".into()
        }
        RegistryError::Schema1 { .. } => PUSHED_AGAIN.into(),
        RegistryError::NoPlace { problems, .. } => match problems.decisive() {
            Some(error) => return registry(error),
            None => "`\"origin\": \"last\"` in config.json asks the registry itself after its mirrors".into(),
        },
        RegistryError::PlainMirror { mirror } => format!(
            "if that is meant, allow plain HTTP to that host: `\"insecure\": [\"{}\"]` in config.json",
            mirror.registry()
        ),
        RegistryError::CaFile { .. } => "`--ca` takes a file of PEM certificates".into(),
        RegistryError::ClientCertificate { problem, .. } => client_certificate(problem).into(),
        RegistryError::BadProxy { .. } => {
            "write `http://HOST:PORT`, with `USER:PASSWORD@` before the host if the proxy asks for them, special \
             characters there percent-encoded"
                .into()
        }
        RegistryError::LoginRefused { registry, .. } => access(registry.as_str(), &Denial::CredentialsRefused, false),
        RegistryError::CredentialFile { .. } => {
            "mend the file, or give `-u USER --password-stdin`, which goes before it".into()
        }
        RegistryError::CredentialHelper { helper, problem: HelperProblem::NotInstalled, .. } => {
            format!("install `docker-credential-{helper}`, or take it out of docker's config.json")
        }
        RegistryError::CredentialHelper { helper, .. } => format!(
            "try it by itself: `docker-credential-{helper} list`; `-u USER --password-stdin` goes before it"
        ),
        _ => return None,
    };
    Some(hint)
}

fn client_certificate(problem: &ClientCertificateProblem) -> &'static str {
    match problem {
        ClientCertificateProblem::Unreadable(_) => {
            "name a file that you may read; keys are often for root alone"
        }
        ClientCertificateProblem::NoKey => {
            "give the key with `--key FILE`; a passphrase is taken off with `openssl pkey -in FILE -out NEW`"
        }
        ClientCertificateProblem::Mismatch => {
            "give the key that the certificate was made for with `--key FILE`"
        }
        ClientCertificateProblem::Alone(_) => {
            "in `certs.d`, `NAME.cert` and `NAME.key` are a client certificate; a CA's is `NAME.crt`"
        }
        ClientCertificateProblem::NoCertificate => "`--cert` takes a file of PEM certificates",
    }
}

fn access(registry: &str, denial: &Denial, may_not_exist: bool) -> String {
    let login = || if registry == "docker.io" { String::new() } else { format!(" {registry}") };
    let advice = match denial {
        Denial::NoCredentials => {
            format!("log in with `sealift login{}`, or give `-u USER --password-stdin`", login())
        }
        Denial::Expired => {
            format!("log in again with `sealift login{}`, by a new password or token", login())
        }
        Denial::NoHelper(helper) => {
            format!("install `docker-credential-{helper}`, or give `-u USER --password-stdin`")
        }
        Denial::CredentialsRefused => format!("check user and password for {registry}"),
        Denial::Forbidden => "ask the repository's owner for access".to_owned(),
    };
    if may_not_exist { format!("{advice}; a name that does not exist gets the same answer") } else { advice }
}

/// The first thing that can be done about one of the URLs; where all are dead ends, somebody else has the layer.
fn layer_nowhere(problems: &[UrlProblem]) -> String {
    let of_one = |problem: &UrlProblem| match problem {
        UrlProblem::NotAsked(RedirectProblem::PlainHttp(url)) => {
            let host = url.reveal().host_str()?;
            Some(format!("`--insecure {host}` allows plain HTTP to that host"))
        }
        UrlProblem::Failed(RegistryError::Unreachable {
            url,
            failure:
                Unreachable::Connect | Unreachable::TimedOut | Unreachable::HungUp | Unreachable::ClosedEarly,
            ..
        }) => {
            let host = url.reveal().host_str()?;
            Some(format!(
                "the layer comes from {host}, which has to be reachable from here, too; behind a proxy, set HTTPS_PROXY"
            ))
        }
        UrlProblem::Failed(error) => registry(error),
        UrlProblem::NotAsked(_) | UrlProblem::Missing(_) => None,
    };
    problems.iter().find_map(of_one).unwrap_or_else(|| {
        "copies of an image often lack such layers: pull it from its publisher's own registry".into()
    })
}

fn unreachable(failure: Unreachable, url: &SafeUrl, proxy: Option<&SafeUrl>, cause: &Cause) -> String {
    let host = url.reveal().host_str().unwrap_or("HOST");
    match (failure, proxy.map(|proxy| proxy.reveal().scheme())) {
        (Unreachable::Proxy, scheme) if cause.is_proxy_login() => format!(
            "give the proxy its user and password: `{}://USER:PASSWORD@HOST:PORT`, in HTTPS_PROXY or as `proxy` in \
             config.json",
            scheme.unwrap_or("http")
        ),
        (Unreachable::Proxy, _) => {
            "check `--proxy`, HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, and that the proxy reaches the registry"
                .into()
        }
        (
            Unreachable::Connect | Unreachable::TimedOut | Unreachable::HungUp | Unreachable::ClosedEarly,
            Some(_),
        ) => "check that the proxy runs and reaches the registry; hosts in NO_PROXY are reached without".into(),
        (Unreachable::Certificate, Some("https")) => format!(
            "give the CA of the registry, or of the proxy, with `--ca FILE`; `--insecure {host}` turns the check off \
             for the registry alone"
        ),
        (Unreachable::Certificate, _) => format!(
            "give the registry's CA with `--ca FILE`; `--insecure {host}` turns the check off for that host"
        ),
        (Unreachable::CertificateName, _) => format!(
            "use a name that the certificate is for; `--insecure {host}` turns the check off for that host"
        ),
        (Unreachable::CertificateTime, _) => format!(
            "check this machine's clock; if it is right, who runs the registry has to renew the certificate, and until \
             then `--insecure {host}` turns the check off for that host"
        ),
        (Unreachable::ClientCertificate, _) => format!(
            "give one with `--cert FILE --key FILE`, or put it into /etc/docker/certs.d/{host}/ (with `:PORT`, if it \
             has one) as client.cert and client.key"
        ),
        (Unreachable::PlainHttp, _) => format!("`--insecure {host}` allows plain HTTP to that host"),
        (Unreachable::Dns, _) => "check the host name; behind a proxy, set HTTPS_PROXY".into(),
        (Unreachable::NotHttp | Unreachable::Tls, _) => "check host and port".into(),
        (Unreachable::TimedOut, _) => {
            "check that the registry runs and can be reached; behind a proxy, set HTTPS_PROXY; on a slow line, \
             `--stall-timeout 300` waits longer"
                .into()
        }
        _ => "check that the registry runs and can be reached; behind a proxy, set HTTPS_PROXY".into(),
    }
}

/// Of a file that `-o` names, and that a pull carries on with.
fn file(error: &FileError) -> Option<String> {
    named_file(error, " with `-o`", ": a file carries on from what came")
}

/// `option` is how a command names its file, `after` what is told of running it again.
fn named_file(error: &FileError, option: &str, after: &str) -> Option<String> {
    match error {
        FileError::NoFolder(folder) => Some(format!("create it: `mkdir -p {}`", ui::shell_word(folder))),
        FileError::IsAFolder(_)
        | FileError::NotAFile(_)
        | FileError::NotAFolder(_)
        | FileError::ReservedName(_) => Some(format!("choose another name{option}")),
        FileError::Locked { .. } => Some(format!("wait for it to end, or choose another name{option}")),
        FileError::NoSpace { needed_bytes, free_bytes, .. } => {
            let missing = ui::size(needed_bytes.saturating_sub(*free_bytes));
            Some(format!("free {missing}, or choose another disk{option}"))
        }
        FileError::NoFiles { .. } => {
            Some("remove files there, however small: the file system has a number of them (`df -i`)".into())
        }
        FileError::TooLargeForFat32 { .. } => {
            Some(format!("choose another disk{option}, or format it as exFAT"))
        }
        FileError::Io { action: "read", .. } => None,
        FileError::Io { action: "create a file in", .. } => {
            Some("`TMPDIR=FOLDER` before the command names a folder for what is needed for a while".into())
        }
        FileError::Io { source, .. }
            if matches!(source.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) =>
        {
            Some(format!("choose another folder{option}"))
        }
        FileError::Io { source, .. }
            if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
        {
            Some(format!("make room on that disk and run the same command again{after}"))
        }
        FileError::Exists(_) => Some("remove it, or choose another name".into()),
        FileError::Taken(_) => Some("run the same command again".into()),
        FileError::LeftOver(path) => {
            Some(format!("if no other sealift writes it, remove it: `rm {}`", ui::shell_word(path)))
        }
        FileError::Io { .. } => None,
    }
}
