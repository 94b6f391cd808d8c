use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use url::Url;

use super::*;
use crate::blob::BlobError;
use crate::image::{Digest, Reference, Registry, Repository};
use crate::registry::failure::Cause;
use crate::registry::{
    CaProblem, CredentialFileProblem, Denial, HelperProblem, Missing, Object, RedirectProblem,
};
use crate::secret::SafeUrl;

fn url() -> SafeUrl {
    Url::parse("https://reg.example/v2/").unwrap().into()
}

fn repository() -> Repository {
    "reg.example/org/app".parse::<Reference>().unwrap().repository().clone()
}

fn registry() -> Registry {
    repository().registry().clone()
}

fn digest() -> Digest {
    Digest::of(b"blob")
}

fn object() -> Object {
    Object::Blob { repository: repository(), digest: digest() }
}

fn asked(seconds: &'static str) -> Option<RetryAfter> {
    RetryAfter::of(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(seconds))]))
}

fn unreachable(failure: Failure, cause: &str) -> RegistryError {
    RegistryError::Unreachable { url: url().into(), proxy: None, failure, cause: Cause::new(cause) }
}

fn server_error(status: u16, retry_after: Option<RetryAfter>) -> RegistryError {
    RegistryError::ServerError { url: url().into(), status, retry_after, said: None }
}

fn status(status: u16) -> RegistryError {
    RegistryError::UnexpectedStatus { url: url().into(), status, said: None }
}

fn store_refused() -> RegistryError {
    RegistryError::StoreRefused { object: object().into(), url: url().into(), status: 403, said: None }
}

fn nowhere(problems: Vec<UrlProblem>) -> RegistryError {
    RegistryError::LayerNowhere {
        digest: digest().into(),
        repository: Box::new(repository()),
        is_foreign: true,
        problems: UrlProblems::new(problems),
    }
}

fn assert_all(wanted: Retry, errors: impl IntoIterator<Item = RegistryError>) {
    for error in errors {
        assert_eq!(error.retry(), wanted, "{error:?}");
    }
}

#[test]
fn what_the_line_did_is_tried_again() {
    let failures = [
        Failure::Dns,
        Failure::Connect,
        Failure::TimedOut,
        Failure::HungUp,
        Failure::ClosedEarly,
        Failure::Proxy,
        Failure::Tls,
    ];
    assert_all(Retry::Soon, failures.map(|failure| unreachable(failure, "it broke")));
    let interrupted = |failure| RegistryError::Interrupted {
        object: object().into(),
        url: url().into(),
        received_bytes: 5,
        failure,
        cause: Cause::new("it broke"),
    };
    assert_all(Retry::Soon, [Failure::ClosedEarly, Failure::TimedOut, Failure::Tls].map(interrupted));
    let wrong_length = RegistryError::WrongLength {
        object: object().into(),
        url: url().into(),
        expected_bytes: 5,
        got_bytes: 4,
    };
    assert_all(Retry::Soon, [wrong_length]);
}

#[test]
fn servers_in_trouble_are_tried_again_when_they_like() {
    assert_all(Retry::Soon, [500, 502, 503, 504, 520, 529].map(|status| server_error(status, None)));
    assert_all(Retry::Never, [501, 505, 507, 511].map(|status| server_error(status, None)));
    let wait = Retry::After(Duration::from_secs(7));
    assert_all(wait, [500, 503, 507].map(|status| server_error(status, asked("7"))));
    let limited = |retry_after| RegistryError::RateLimited { url: url().into(), retry_after, said: None };
    assert_all(wait, [limited(asked("7"))]);
    assert_all(Retry::Soon, [limited(None), limited(asked("soon"))]);
    assert_all(Retry::Soon, [status(408), status(425)]);
    assert_all(Retry::Never, [400, 405, 406, 410, 416, 418].map(status));
}

#[test]
fn an_expired_link_is_asked_for_again() {
    assert_all(Retry::Soon, [store_refused()]);
}

#[test]
fn what_was_decided_is_not_tried_again() {
    assert_all(
        Retry::Never,
        [
            Failure::Certificate,
            Failure::CertificateName,
            Failure::CertificateTime,
            Failure::PlainHttp,
            Failure::NotHttp,
        ]
        .map(|failure| unreachable(failure, "no")),
    );
    // A wrong password, again and again, locks accounts.
    assert_all(
        Retry::Never,
        [
            "the proxy asks for credentials (status 407)",
            "proxy authorization required",
            "SOCKS error: credentials not accepted",
        ]
        .map(|cause| unreachable(Failure::Proxy, cause)),
    );
    let denial = || Denial::CredentialsRefused;
    assert_all(
        Retry::Never,
        [
            RegistryError::NotFound { object: object().into(), missing: Missing::Blob, said: None },
            RegistryError::AccessDenied {
                object: object().into(),
                denial: denial(),
                may_not_exist: true,
                said: None,
            },
            RegistryError::TokenRefused {
                registry: registry(),
                realm: url().into(),
                denial: denial(),
                may_not_exist: true,
                said: None,
            },
            RegistryError::UnknownChallenge { registry: registry(), offered: "`Negotiate`".into() },
            RegistryError::BadChallenge { registry: registry(), header: "?".into() },
            RegistryError::BadRealm { registry: registry(), problem: RedirectProblem::NoLocation },
            RegistryError::CredentialFile {
                path: "/x".into(),
                problem: CredentialFileProblem::TooLarge { limit_bytes: 1 },
            },
            RegistryError::CredentialHelper {
                helper: "x".into(),
                registry: registry(),
                problem: HelperProblem::BadAnswer,
            },
        ],
    );
}

#[test]
fn nonsense_and_wrong_bytes_are_not_tried_again() {
    let problem = RedirectProblem::NoLocation;
    assert_all(
        Retry::Never,
        [
            RegistryError::WebPage { url: url().into(), status: 200 },
            RegistryError::BadRedirect { url: url().into(), problem },
            RegistryError::RedirectLoop { url: url().into(), hops: 10 },
            RegistryError::BadHeader { url: url().into(), header: "Content-Range", value: String::new() },
            RegistryError::RangeIgnored { object: object().into(), url: url().into(), from_bytes: 7 },
            RegistryError::NoToken { registry: registry(), realm: url().into() },
            RegistryError::DigestMismatch {
                object: object().into(),
                url: url().into(),
                expected: digest().into(),
                got: digest().into(),
            },
            RegistryError::WrongLayer {
                url: url().into(),
                source: BlobError::TooLong { digest: digest(), size_bytes: 1 },
            },
            RegistryError::ManifestTooLarge { object: object().into(), limit_bytes: 1 },
            RegistryError::CaFile { path: "/x".into(), problem: CaProblem::NoCertificate },
            RegistryError::BadProxy { setting: "HTTP_PROXY".into() },
            RegistryError::PlainMirror { mirror: Box::new("http://m.example".parse().unwrap()) },
            RegistryError::BadInsecureHost { text: "a b".into() },
            RegistryError::LoginRefused { registry: repository().registry().clone(), said: None },
            RegistryError::ClientSetup(Cause::new("x")),
        ],
    );
}

#[test]
fn a_layer_at_its_urls_is_worth_what_one_of_them_is() {
    let missing = || UrlProblem::Missing(url());
    assert_all(
        Retry::Never,
        [nowhere(vec![]), nowhere(vec![missing(), store_refused().into(), status(400).into()])],
    );
    let broken = || server_error(503, asked("7")).into();
    assert_all(Retry::After(Duration::from_secs(7)), [nowhere(vec![missing(), broken()])]);
    let closed = unreachable(Failure::ClosedEarly, "x").into();
    assert_all(Retry::Soon, [nowhere(vec![broken(), closed])]);
}
