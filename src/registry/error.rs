//! What can go wrong between sealift and a registry.
//!
//! Each variant names its object and carries what a heading, a hint and an exit code need; texts are lower-case
//! fragments that never repeat their source. What a registry said of its own accord is a [`Said`], escaped and cut
//! short. No variant can show a secret: URLs are [`SafeUrl`]s, causes are [`Cause`]s.

use std::path::PathBuf;

use crate::blob::BlobError;
use crate::image::manifest::ManifestError;
use crate::image::{Digest, Registry, Repository};
use crate::secret::SafeUrl;

use super::client_certificate::ClientCertificateProblem;
use super::credential_helper::HelperProblem;
use super::docker_config::CredentialFileProblem;
use super::failure::{Cause, Failure};
use super::layer_url::UrlProblems;
use super::mirrors::{MirrorAddress, PlaceProblems};
use super::object::{Missing, Object};
use super::redirect::RedirectProblem;
use super::retry_after::RetryAfter;
use super::said::{Denial, Said};
use super::tags::PageProblem;
use super::tls::CaProblem;

/// A registry could not be reached, refused, or answered what it must not.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    // -- not found --
    /// The registry knows nothing by that name (404).
    #[error("{} does not exist", missing_object(*.missing, .object))]
    NotFound {
        /// What was asked for.
        object: Box<Object>,
        /// Which part of it is missing.
        missing: Missing,
        /// What the registry said.
        #[source]
        said: Option<Said>,
    },
    /// The registry does not hold a layer, and the URLs of its descriptor don't lead to it. What it is about depends
    /// on what they said.
    #[error("{}layer {digest} of `{repository}` is not in the registry", if *.is_foreign { "foreign " } else { "" })]
    LayerNowhere {
        /// The layer.
        digest: Box<Digest>,
        /// Where its manifest is.
        repository: Box<Repository>,
        /// True for a layer that registries need not hold, by its media type.
        is_foreign: bool,
        /// What each URL said.
        #[source]
        problems: UrlProblems,
    },

    /// No mirror gave it, nor the registry itself. What it is about depends on what they said.
    #[error("{object} can't be had")]
    NoPlace {
        /// What was asked for.
        object: Box<Object>,
        /// What each of them said.
        #[source]
        problems: PlaceProblems,
    },

    // -- access --
    /// The registry refused access (401, 403).
    #[error("{}: {denial}", .object)]
    AccessDenied {
        /// What was asked for.
        object: Box<Object>,
        /// Why, as far as it can be told.
        denial: Denial,
        /// True where registries give this answer for what does not exist, too: Docker Hub and Quay (401), GHCR
        /// (403) do not tell a private repository from none.
        may_not_exist: bool,
        /// What the registry said.
        #[source]
        said: Option<Said>,
    },
    /// The token server refused (401, 403).
    #[error("the token server {realm} of `{registry}` gave no token: {denial}")]
    TokenRefused {
        /// The registry the token was for.
        registry: Registry,
        /// The token server.
        realm: Box<SafeUrl>,
        /// Why.
        denial: Denial,
        /// As in [`AccessDenied`](Self::AccessDenied).
        may_not_exist: bool,
        /// What the token server said.
        #[source]
        said: Option<Said>,
    },
    /// The registry refused the credentials of a login (401, 403).
    #[error("`{registry}` refused user and password")]
    LoginRefused {
        /// The registry.
        registry: Registry,
        /// What it said.
        #[source]
        said: Option<Said>,
    },
    /// The registry wants a way of authentication that sealift does not speak.
    #[error("`{registry}` asks for authentication by {offered}, not by `Bearer` or `Basic`")]
    UnknownChallenge {
        /// The registry.
        registry: Registry,
        /// What it offered.
        offered: String,
    },
    /// The registry wants authentication, but how can't be told.
    #[error("`{registry}` refused access, and its `WWW-Authenticate` header could not be read: `{header}`")]
    BadChallenge {
        /// The registry.
        registry: Registry,
        /// The header, escaped and cut short.
        header: String,
    },
    /// The registry names a token server that it may not lead to.
    #[error("`{registry}` names a token server that is not asked: {problem}")]
    BadRealm {
        /// The registry.
        registry: Registry,
        /// Why not.
        problem: RedirectProblem,
    },
    /// Docker's config.json can't be read. Its content is never shown.
    #[error("the credentials file {} can't be used", .path.display())]
    CredentialFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        problem: CredentialFileProblem,
    },
    /// A credential helper failed.
    #[error("the credential helper `docker-credential-{helper}` failed for `{registry}`")]
    CredentialHelper {
        /// Its name, after `docker-credential-`.
        helper: String,
        /// The registry it was asked for.
        registry: Registry,
        /// What happened.
        #[source]
        problem: HelperProblem,
    },

    // -- network --
    /// No answer could be had.
    #[error("{url}: {failure}{}", via_proxy(.proxy.as_deref()))]
    Unreachable {
        /// What was asked.
        url: Box<SafeUrl>,
        /// The proxy on the way.
        proxy: Option<Box<SafeUrl>>,
        /// How it failed.
        failure: Failure,
        /// The details.
        #[source]
        cause: Cause,
    },
    /// The connection broke while the body came in.
    #[error("{object} stopped after {received_bytes} bytes from {url}: {failure}")]
    Interrupted {
        /// What was being fetched.
        object: Box<Object>,
        /// From where.
        url: Box<SafeUrl>,
        /// How many bytes of this answer had come.
        received_bytes: u64,
        /// How it failed.
        failure: Failure,
        /// The details.
        #[source]
        cause: Cause,
    },
    /// Too many requests (429).
    #[error("{url}: too many requests{}", .retry_after.as_ref().map(|wait| format!(" (retry after {wait})")).unwrap_or_default())]
    RateLimited {
        /// What was asked.
        url: Box<SafeUrl>,
        /// When to come again.
        retry_after: Option<RetryAfter>,
        /// What the registry said.
        #[source]
        said: Option<Said>,
    },
    /// The server failed (5xx).
    #[error("{url}: the server failed with status {status}")]
    ServerError {
        /// What was asked.
        url: Box<SafeUrl>,
        /// The status.
        status: u16,
        /// When to come again.
        retry_after: Option<RetryAfter>,
        /// What the registry said.
        #[source]
        said: Option<Said>,
    },
    /// The store that a registry redirects to for its blobs refused (400, 401, 403): links are signed, and expire.
    #[error("{object}: {url} refused it with status {status}")]
    StoreRefused {
        /// What was asked for.
        object: Box<Object>,
        /// The store.
        url: Box<SafeUrl>,
        /// The status.
        status: u16,
        /// What the store said.
        #[source]
        said: Option<Said>,
    },

    /// What was sent at once was too large, for the registry or a proxy before it (413).
    #[error("{url}: so much at once is not taken (status 413)")]
    BodyTooLarge {
        /// Where it was sent to.
        url: Box<SafeUrl>,
    },
    /// The registry wants another token for what was sent; it was got meanwhile.
    #[error("{object}: the registry wants a new token")]
    NewToken {
        /// What was being sent.
        object: Box<Object>,
    },
    /// The registry knows an upload no more, or has it at another place than it said (404, 409, 416).
    #[error("the registry gave up the upload of {object}")]
    UploadLost {
        /// The blob.
        object: Box<Object>,
        /// What it said.
        #[source]
        said: Option<Said>,
    },

    // -- nonsense --
    /// The registry names a place for an upload that it may not lead to.
    #[error("{url} names a place for the upload that is not used: {problem}")]
    BadUploadPlace {
        /// Who named it.
        url: Box<SafeUrl>,
        /// Why not.
        problem: RedirectProblem,
    },
    /// A web page came instead of a registry's answer.
    #[error("{url} answered with a web page (status {status}); is this a registry?")]
    WebPage {
        /// What was asked.
        url: Box<SafeUrl>,
        /// The status.
        status: u16,
    },
    /// A status that has no meaning here.
    #[error("{url}: unexpected status {status}")]
    UnexpectedStatus {
        /// What was asked; after redirects, the last of them.
        url: Box<SafeUrl>,
        /// The status.
        status: u16,
        /// What the server said.
        #[source]
        said: Option<Said>,
    },
    /// A redirect that is not followed.
    #[error("a redirect of {url} is not followed: {problem}")]
    BadRedirect {
        /// Who redirected.
        url: Box<SafeUrl>,
        /// Why not.
        problem: RedirectProblem,
    },
    /// Redirects without end.
    #[error("{url} redirects without end ({hops} times)")]
    RedirectLoop {
        /// What was asked first.
        url: Box<SafeUrl>,
        /// How many redirects were followed.
        hops: usize,
    },
    /// The next page of a list of tags is not asked for.
    #[error("{url} has a next page that is not asked for: {problem}")]
    BadPage {
        /// The page before.
        url: Box<SafeUrl>,
        /// Why not.
        problem: PageProblem,
    },
    /// What should be a list of tags is something else.
    #[error("{url} answered with no list of tags")]
    NoList {
        /// What was asked.
        url: Box<SafeUrl>,
    },
    /// A header with a value that it can't have.
    #[error("{url}: the header `{header}` has no valid value: `{value}`")]
    BadHeader {
        /// What was asked.
        url: Box<SafeUrl>,
        /// The header.
        header: &'static str,
        /// Its value, escaped and cut short.
        value: String,
    },
    /// The server sent a blob from its start where a later part was asked for.
    #[error("{url} ignores `Range`: {object} can't be had from byte {from_bytes}")]
    RangeIgnored {
        /// What was asked for.
        object: Box<Object>,
        /// Where.
        url: Box<SafeUrl>,
        /// From which byte.
        from_bytes: u64,
    },
    /// The token server's answer holds no token.
    #[error("the token server {realm} of `{registry}` answered without a token")]
    NoToken {
        /// The registry the token was for.
        registry: Registry,
        /// The token server.
        realm: Box<SafeUrl>,
    },

    // -- integrity --
    /// A manifest's bytes do not hash to what they should.
    #[error("{object} failed verification: expected {expected}, got {got} from {url}")]
    DigestMismatch {
        /// What was asked for.
        object: Box<Object>,
        /// From where it came.
        url: Box<SafeUrl>,
        /// The digest asked for, or that of the `Docker-Content-Digest` header.
        expected: Box<Digest>,
        /// The digest of the bytes.
        got: Box<Digest>,
    },
    /// What was sent was right, and the registry says that it got something else, or keeps something else.
    #[error("{object} is something else at {url} than what was sent")]
    Altered {
        /// What was sent.
        object: Box<Object>,
        /// To where.
        url: Box<SafeUrl>,
        /// What the registry said.
        #[source]
        said: Option<Said>,
    },
    /// A server states another length for a blob than its descriptor.
    #[error("{object} has the wrong length at {url}: {expected_bytes} bytes were promised, {got_bytes} come")]
    WrongLength {
        /// What was asked for.
        object: Box<Object>,
        /// From where.
        url: Box<SafeUrl>,
        /// What the descriptor says.
        expected_bytes: u64,
        /// What the server says will come.
        got_bytes: u64,
    },
    /// A layer from one of its URLs isn't what its descriptor promised.
    #[error("the layer at {url} failed verification")]
    WrongLayer {
        /// From where it came.
        url: Box<SafeUrl>,
        /// What is wrong with it.
        source: BlobError,
    },
    /// A manifest over the limit.
    #[error("{object} is too large for a manifest: more than {limit_bytes} bytes")]
    ManifestTooLarge {
        /// What was asked for.
        object: Box<Object>,
        /// The limit.
        limit_bytes: u64,
    },

    // -- not supported --
    /// A manifest in Docker's schema 1, by the digest of something else.
    #[error("the manifest {object} can't be used")]
    Schema1 {
        /// What was asked for.
        object: Box<Object>,
        /// That it is schema 1.
        #[source]
        problem: ManifestError,
    },

    // -- setup --
    /// A `--ca` file can't be used.
    #[error("the CA file {} can't be used", .path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        problem: CaProblem,
    },
    /// A client certificate, or the `certs.d` folder it is in, can't be used. The key is never shown.
    #[error("the client certificate's file {} can't be used", .path.display())]
    ClientCertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        problem: ClientCertificateProblem,
    },
    /// A proxy that is no proxy URL. Its value may hold a password and is not shown.
    #[error("{setting} is no proxy URL (http, https, socks5 and socks5h are understood)")]
    BadProxy {
        /// The environment variable, option or key that it stands in.
        setting: String,
    },
    /// A mirror on plain HTTP, at a host that was not declared insecure.
    #[error("the mirror {mirror} is on plain HTTP")]
    PlainMirror {
        /// The mirror.
        mirror: Box<MirrorAddress>,
    },
    /// An insecure host that is no `HOST[:PORT]`.
    #[error("`{text}` is no host name (`HOST` or `HOST:PORT`)")]
    BadInsecureHost {
        /// As it was given, escaped.
        text: String,
    },
    /// The HTTP client could not be made.
    #[error("the HTTP client can't be set up")]
    ClientSetup(#[source] Cause),
}

impl RegistryError {
    /// The server at `url` said, in HTTP, that it wants a client certificate that it accepts.
    pub(super) fn no_client_certificate(url: Box<SafeUrl>) -> Self {
        let cause = Cause::new("it said so in a web page (status 400), as nginx does");
        Self::Unreachable { url, proxy: None, failure: Failure::ClientCertificate, cause }
    }
}

fn missing_object(missing: Missing, object: &Object) -> String {
    match missing {
        Missing::Repository => format!("the repository `{}`", object.repository()),
        Missing::Manifest | Missing::Blob => object.to_string(),
    }
}

fn via_proxy(proxy: Option<&SafeUrl>) -> String {
    proxy.map(|proxy| format!(" (through the proxy {proxy})")).unwrap_or_default()
}
