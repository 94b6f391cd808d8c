//! Statuses that are no answer: which error they are (distribution-spec "Error Codes", and what registries really do).

use reqwest::StatusCode;

use super::auth::Permit;
use super::error::RegistryError;
use super::object::{Missing, Object};
use super::retry_after::RetryAfter;
use super::said::{Denial, Said};
use super::transport::Answer;

/// What a refused request was sent with.
#[derive(Debug)]
pub(super) struct Asked {
    /// Why no credentials were used; none if they were.
    pub(super) stranger: Option<Denial>,
    /// What it was sent with.
    pub(super) permit: Permit,
}

impl Asked {
    /// With nothing: what stands elsewhere is nobody's to show credentials to.
    pub(super) fn as_nobody() -> Self {
        Self { stranger: None, permit: Permit::default() }
    }
}

/// The error an answer with a status other than 2xx is.
pub(super) async fn of(answer: Answer, object: &Object, asked: Asked) -> RegistryError {
    let status = answer.response.status();
    let url = Box::new(answer.url);
    let retry_after = RetryAfter::of(answer.response.headers());
    let said = Said::read(answer.response, asked.permit.header.as_ref()).await;
    let object = Box::new(object.clone());
    match status {
        StatusCode::TOO_MANY_REQUESTS => RegistryError::RateLimited { url, retry_after, said },
        status if status.is_server_error() => {
            RegistryError::ServerError { url, status: status.as_u16(), retry_after, said }
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if !answer.from_elsewhere => {
            let may_not_exist = asked.permit.is_token() || status == StatusCode::FORBIDDEN;
            let denial = denial(status, asked, said.as_ref());
            let may_not_exist = may_not_exist && denial != Denial::Expired;
            RegistryError::AccessDenied { object, denial, may_not_exist, said }
        }
        // A blob store's refusal says nothing about access to the registry. Stores answer 400 as well: S3 to an expired
        // token, Azure to a link that it can't read.
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST
            if answer.from_elsewhere =>
        {
            RegistryError::StoreRefused { object, url, status: status.as_u16(), said }
        }
        StatusCode::NOT_FOUND => {
            RegistryError::NotFound { missing: missing(&object, said.as_ref()), object, said }
        }
        // nginx says it in a page of its own.
        StatusCode::PAYLOAD_TOO_LARGE => RegistryError::BodyTooLarge { url },
        _ if said == Some(Said::NoClientCertificate) => RegistryError::no_client_certificate(url),
        _ if said == Some(Said::WebPage) => RegistryError::WebPage { url, status: status.as_u16() },
        _ => RegistryError::UnexpectedStatus { url, status: status.as_u16(), said },
    }
}

fn denial(status: StatusCode, asked: Asked, said: Option<&Said>) -> Denial {
    match asked {
        Asked { stranger: Some(denial), .. } => denial,
        _ if said.is_some_and(Said::is_of_expiry) => Denial::Expired,
        // A token server took the credentials, so they are right.
        Asked { permit, .. } if permit.is_token() => Denial::Forbidden,
        Asked { .. } if status == StatusCode::FORBIDDEN => Denial::Forbidden,
        Asked { .. } => Denial::CredentialsRefused,
    }
}

fn missing(object: &Object, said: Option<&Said>) -> Missing {
    match object {
        _ if said.is_some_and(|said| said.has_code("NAME_UNKNOWN")) => Missing::Repository,
        Object::Manifest { .. } => Missing::Manifest,
        Object::Blob { .. } => Missing::Blob,
        Object::Tags { .. } | Object::Repository { .. } => Missing::Repository,
    }
}
