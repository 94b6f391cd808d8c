//! How connections fail: reqwest's errors, told apart and freed of URLs.
//!
//! reqwest's own texts repeat the URL with its query and wrap the reason four deep; only the kind and the innermost
//! text go on.

use std::error::Error;
use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError};

use crate::foreign::shown;

/// How a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The host name has no address.
    Dns,
    /// No connection: refused, unreachable.
    Connect,
    /// The server's certificate was not accepted.
    Certificate,
    /// It is for another name.
    CertificateName,
    /// It has expired, or is not valid yet.
    CertificateTime,
    /// The server wants a client certificate, and did not get one that it accepts.
    ClientCertificate,
    /// The server speaks plain HTTP where HTTPS was expected.
    PlainHttp,
    /// The TLS handshake failed for another reason.
    Tls,
    /// Nothing came for too long.
    TimedOut,
    /// What came was too little for too long.
    TooSlow,
    /// The connection ended before anything could be asked: some servers of plain HTTP hang up on a TLS hello.
    HungUp,
    /// The connection ended before the answer did.
    ClosedEarly,
    /// The proxy could not be reached, or refused.
    Proxy,
    /// What came is not HTTP.
    NotHttp,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Dns => "the host name was not found",
            Self::Connect => "the connection failed",
            Self::Certificate => "the server's certificate was not accepted",
            Self::CertificateName => "the server's certificate is for another name",
            Self::CertificateTime => "the server's certificate is not valid at this time",
            Self::ClientCertificate => "the server wants a client certificate that it accepts",
            Self::PlainHttp => "the server speaks plain HTTP, not HTTPS",
            Self::Tls => "the TLS handshake failed",
            Self::TimedOut => "nothing came for too long",
            Self::TooSlow => "it came too slowly",
            Self::HungUp | Self::ClosedEarly => "the connection was closed early",
            Self::Proxy => "the proxy failed",
            Self::NotHttp => "the answer is not HTTP",
        })
    }
}

/// The innermost reason of a failure, as text: it can hold no URL, so no secret.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Cause(String);

impl Cause {
    /// A reason of our own.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// True if a proxy wants credentials, or others. What it answers to CONNECT or says by SOCKS is only reachable as
    /// hyper-util's text; to offer a SOCKS proxy nothing that it takes is the same to it as to offer no password.
    pub fn is_proxy_login(&self) -> bool {
        [
            "status 407",
            "proxy authorization required",
            "server does not support user/pass authentication",
            "credentials not accepted",
        ]
        .iter()
        .any(|text| self.0.contains(text))
    }

    /// True if nothing of the request was sent, since its connection had ended: hyper 1.12's text for that.
    pub(super) fn is_of_no_request(&self) -> bool {
        self.0 == "connection was not ready"
    }
}

impl From<reqwest::Error> for Cause {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut innermost: &dyn Error = &error;
        while let Some(inner) = innermost.source() {
            innermost = inner;
        }
        // A certificate's names are foreign text.
        Self(shown(&innermost.to_string()))
    }
}

/// Tells how a request or body failed. `proxied` says whether a proxy was on the way.
pub(crate) fn classify(error: &reqwest::Error, proxied: bool) -> Failure {
    if let Some(tls) = find::<rustls::Error>(error) {
        return match tls {
            rustls::Error::InvalidCertificate(problem) => of_certificate(problem),
            rustls::Error::NoCertificatesPresented => Failure::Certificate,
            rustls::Error::AlertReceived(alert) if is_about_client_certificate(*alert) => {
                Failure::ClientCertificate
            }
            // What a plain HTTP server answers to a TLS hello is no TLS record.
            rustls::Error::InvalidMessage(
                rustls::InvalidMessage::InvalidContentType | rustls::InvalidMessage::UnknownProtocolVersion,
            ) => Failure::PlainHttp,
            _ => Failure::Tls,
        };
    }
    if error.is_timeout() {
        return Failure::TimedOut;
    }
    if error.is_connect() {
        return match find::<io::Error>(error).map(io::Error::kind) {
            _ if proxied => Failure::Proxy,
            Some(
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe,
            ) => Failure::HungUp,
            _ if error.is_dns() => Failure::Dns,
            _ => Failure::Connect,
        };
    }
    if is_parse(error) { Failure::NotHttp } else { Failure::ClosedEarly }
}

fn of_certificate(problem: &CertificateError) -> Failure {
    match problem {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Failure::CertificateName
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => Failure::CertificateTime,
        _ => Failure::Certificate,
    }
}

/// What servers say of a client's certificate, or of its lack (RFC 8446 section 6.2).
fn is_about_client_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    )
}

/// True when hyper could not read the answer's head, or got one before it asked. hyper 1.12's error is only reachable
/// as text without depending on hyper: these are all its texts for that.
fn is_parse(error: &reqwest::Error) -> bool {
    let mut next = error.source();
    while let Some(error) = next {
        let text = error.to_string();
        if text.ends_with(" parsed") || text == "received unexpected message from connection" {
            return true;
        }
        next = error.source();
    }
    false
}

/// The first error of type `E` in the chain; `io::Error`s are looked into, since they hide what they wrap.
pub(crate) fn find<E: Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    let mut next: Option<&(dyn Error + 'static)> = error.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
