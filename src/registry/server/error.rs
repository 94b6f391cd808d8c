//! What the server refuses, and how that looks on the wire (distribution-spec "Error Codes").

use std::error::Error;
use std::io;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::name::{ManifestReference, RepositoryName};
use crate::image::digest::DigestError;
use crate::image::manifest::{MAX_MANIFEST_BYTES, ManifestError};
use crate::image::{Digest, MediaType};

/// Why a request was refused or failed. As a response it is a status and the specification's JSON body.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A repository name outside the grammar.
    #[error("`{}` is not a repository name", .name.escape_debug())]
    NameInvalid {
        /// The name as it was asked for.
        name: String,
    },
    /// No manifest was ever put into the repository.
    #[error("there is no repository `{0}`")]
    NameUnknown(RepositoryName),
    /// Neither a tag nor a digest.
    #[error("`{}` is not a tag", .tag.escape_debug())]
    TagInvalid {
        /// The tag as it was asked for.
        tag: String,
    },
    /// A digest that doesn't parse.
    #[error(transparent)]
    DigestInvalid(#[from] DigestError),
    /// An upload is finished without saying what it is.
    #[error("the query parameter `digest` is missing")]
    DigestMissing,
    /// The bytes are not what they were said to be.
    #[error("expected {expected}, got {got}")]
    DigestMismatch {
        /// The digest the client named.
        expected: Digest,
        /// The digest of the bytes it sent.
        got: Digest,
    },
    /// No such blob.
    #[error("there is no blob {0}")]
    BlobUnknown(Digest),
    /// No such manifest or tag in the repository.
    #[error("there is no manifest `{reference}` in `{repository}`")]
    ManifestUnknown {
        /// The repository that was asked.
        repository: RepositoryName,
        /// The tag or digest asked for.
        reference: ManifestReference,
    },
    /// The bytes are no manifest or index.
    #[error(transparent)]
    ManifestInvalid(#[from] ManifestError),
    /// The `Content-Type` isn't what the manifest says of itself.
    #[error("the manifest is `{stated}`, the request's content type `{content_type}`")]
    ManifestMislabelled {
        /// The media type in the document.
        stated: MediaType,
        /// The header.
        content_type: MediaType,
    },
    /// More bytes than any manifest has.
    #[error("a manifest has at most {MAX_MANIFEST_BYTES} bytes")]
    ManifestTooLarge,
    /// A manifest was put before its config or a layer.
    #[error("the manifest names blob {0}, which is not here")]
    ManifestBlobUnknown(Digest),
    /// No such upload in the repository: finished, cancelled, expired or never started.
    #[error("there is no such upload")]
    UploadUnknown,
    /// A chunk that does not begin where the last one ended.
    #[error("the next chunk begins at byte {expected}")]
    UploadOutOfOrder {
        /// How many bytes the upload has.
        expected: u64,
        /// Where the upload is.
        location: String,
    },
    /// A `Content-Range` that does not parse.
    #[error("`Content-Range` is not `<first>-<last>`")]
    ContentRangeInvalid,
    /// `Content-Length` and `Content-Range` differ.
    #[error("the length of the chunk is not that of its range")]
    SizeInvalid,
    /// Another request is writing to the upload.
    #[error("another request is writing to this upload")]
    UploadBusy,
    /// Every upload holds an open file; there is a limit.
    #[error("too many uploads are open")]
    TooManyUploads,
    /// The request's body ended early; what came of a chunk is kept.
    #[error("the request's body was cut short")]
    BodyCut(#[source] axum::Error),
    /// A `Range` past the end of the blob.
    #[error("the blob has {size_bytes} bytes")]
    RangeNotSatisfiable {
        /// The size of the blob.
        size_bytes: u64,
    },
    /// A query parameter that isn't what the specification says.
    #[error("the query is not valid")]
    QueryInvalid,
    /// A path that is no endpoint.
    #[error("there is no such endpoint")]
    EndpointUnknown,
    /// An endpoint that does not take this method.
    #[error("the method is not supported here (allowed: {allowed})")]
    MethodNotAllowed {
        /// The methods it takes.
        allowed: &'static str,
    },
    /// The store only reads.
    #[error("this registry is read-only")]
    ReadOnly,
    /// A browser page tries to write.
    #[error("requests of web pages are refused")]
    WebPage,
    /// The store's disk failed or is full.
    #[error("the registry's store failed")]
    Storage(#[from] io::Error),
}

impl ServerError {
    /// The specification's code. `UNKNOWN` is the distribution project's, for what the specification has no code for.
    fn code(&self) -> &'static str {
        match self {
            Self::NameInvalid { .. } => "NAME_INVALID",
            Self::NameUnknown(_) => "NAME_UNKNOWN",
            Self::DigestInvalid(_) | Self::DigestMissing | Self::DigestMismatch { .. } => "DIGEST_INVALID",
            Self::BlobUnknown(_) => "BLOB_UNKNOWN",
            Self::ManifestUnknown { .. } | Self::TagInvalid { .. } => "MANIFEST_UNKNOWN",
            Self::ManifestInvalid(_) | Self::ManifestMislabelled { .. } | Self::ManifestTooLarge => {
                "MANIFEST_INVALID"
            }
            Self::ManifestBlobUnknown(_) => "MANIFEST_BLOB_UNKNOWN",
            Self::UploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::UploadOutOfOrder { .. }
            | Self::ContentRangeInvalid
            | Self::UploadBusy
            | Self::BodyCut(_) => "BLOB_UPLOAD_INVALID",
            Self::SizeInvalid | Self::RangeNotSatisfiable { .. } => "SIZE_INVALID",
            Self::TooManyUploads => "TOOMANYREQUESTS",
            Self::WebPage => "DENIED",
            Self::QueryInvalid | Self::EndpointUnknown | Self::MethodNotAllowed { .. } | Self::ReadOnly => {
                "UNSUPPORTED"
            }
            Self::Storage(_) => "UNKNOWN",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::NameUnknown(_)
            | Self::BlobUnknown(_)
            | Self::ManifestUnknown { .. }
            | Self::TagInvalid { .. }
            | Self::ManifestBlobUnknown(_)
            | Self::UploadUnknown
            | Self::EndpointUnknown => StatusCode::NOT_FOUND,
            Self::ManifestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UploadOutOfOrder { .. } | Self::RangeNotSatisfiable { .. } => {
                StatusCode::RANGE_NOT_SATISFIABLE
            }
            Self::UploadBusy => StatusCode::CONFLICT,
            Self::TooManyUploads => StatusCode::TOO_MANY_REQUESTS,
            Self::MethodNotAllowed { .. } | Self::ReadOnly => StatusCode::METHOD_NOT_ALLOWED,
            Self::WebPage => StatusCode::FORBIDDEN,
            Self::Storage(_) => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl IntoResponse for ServerError {
    fn into_response(self) -> Response {
        let mut message = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            message += ": ";
            message += &error.to_string();
            cause = error.source();
        }
        let body = json!({ "errors": [{ "code": self.code(), "message": message }] });
        let mut response =
            (self.status(), [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response();
        let mut set = |name, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(name, value);
            }
        };
        match &self {
            Self::RangeNotSatisfiable { size_bytes } => {
                set(header::CONTENT_RANGE, &format!("bytes */{size_bytes}"));
            }
            Self::UploadOutOfOrder { expected, location } => {
                set(header::LOCATION, location);
                set(header::RANGE, &super::range::received(*expected));
            }
            Self::MethodNotAllowed { allowed } => set(header::ALLOW, allowed),
            Self::TooManyUploads => set(header::RETRY_AFTER, "1"),
            _ => {}
        }
        response
    }
}
