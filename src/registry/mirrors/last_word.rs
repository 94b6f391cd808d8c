//! What a place said by which it wants to be left alone: it is not asked again, and whoever would ask is told that.

use std::time::Duration;

use crate::registry::error::RegistryError;
use crate::registry::object::Object;
use crate::registry::retry_after::RetryAfter;

impl RegistryError {
    /// The same of `object`, with so much time `left`; none of errors that say nothing of the next request.
    pub(in crate::registry) fn said_again(&self, object: &Object, left: Duration) -> Option<Self> {
        Some(match self {
            Self::RateLimited { url, said, .. } => Self::RateLimited {
                url: url.clone(),
                retry_after: Some(RetryAfter::new(left)),
                said: said.clone(),
            },
            Self::ServerError { url, status, said, .. } => Self::ServerError {
                url: url.clone(),
                status: *status,
                retry_after: Some(RetryAfter::new(left)),
                said: said.clone(),
            },
            Self::AccessDenied { denial, may_not_exist, said, .. } => Self::AccessDenied {
                object: Box::new(object.clone()),
                denial: denial.clone(),
                may_not_exist: *may_not_exist,
                said: said.clone(),
            },
            Self::TokenRefused { registry, realm, denial, may_not_exist, said } => Self::TokenRefused {
                registry: registry.clone(),
                realm: realm.clone(),
                denial: denial.clone(),
                may_not_exist: *may_not_exist,
                said: said.clone(),
            },
            _ => return None,
        })
    }
}
