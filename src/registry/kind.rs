//! Errors by what they are about, for exit codes: every variant of [`RegistryError`] has one [`Kind`].

use super::error::RegistryError;

/// What an error is about, for exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is sound, but of a kind that sealift does not take.
    Unsupported,
    /// Bytes are not what their name promises.
    Integrity,
    /// Something asked for does not exist.
    NotFound,
    /// Credentials are missing, wrong or unreadable.
    Access,
    /// The line, or what stands at its end.
    Network,
    /// What sealift was told: a CA file, a proxy, a host name.
    Setup,
}

impl RegistryError {
    /// What the error is about.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotFound { .. } => Kind::NotFound,
            Self::LayerNowhere { problems, .. } => problems.kind(),
            Self::NoPlace { problems, .. } => problems.kind(),
            Self::AccessDenied { .. }
            | Self::TokenRefused { .. }
            | Self::LoginRefused { .. }
            | Self::UnknownChallenge { .. }
            | Self::BadChallenge { .. }
            | Self::BadRealm { .. }
            | Self::CredentialFile { .. }
            | Self::CredentialHelper { .. } => Kind::Access,
            Self::Unreachable { .. }
            | Self::Interrupted { .. }
            | Self::RateLimited { .. }
            | Self::ServerError { .. }
            | Self::StoreRefused { .. }
            | Self::WebPage { .. }
            | Self::UnexpectedStatus { .. }
            | Self::BadRedirect { .. }
            | Self::RedirectLoop { .. }
            | Self::BadHeader { .. }
            | Self::RangeIgnored { .. }
            | Self::NoToken { .. }
            | Self::NewToken { .. }
            | Self::BodyTooLarge { .. }
            | Self::UploadLost { .. }
            | Self::BadPage { .. }
            | Self::NoList { .. }
            | Self::BadUploadPlace { .. } => Kind::Network,
            Self::DigestMismatch { .. }
            | Self::Altered { .. }
            | Self::WrongLength { .. }
            | Self::WrongLayer { .. }
            | Self::ManifestTooLarge { .. } => Kind::Integrity,
            Self::Schema1 { .. } => Kind::Unsupported,
            Self::CaFile { .. }
            | Self::ClientCertificate { .. }
            | Self::BadProxy { .. }
            | Self::PlainMirror { .. }
            | Self::BadInsecureHost { .. }
            | Self::ClientSetup(_) => Kind::Setup,
        }
    }
}
