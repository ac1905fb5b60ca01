//! Everything that can go wrong in a handler, and the status it has.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chat_core::{
    limits::LimitExceeded,
    problem::{FieldError, Problem},
};

use crate::{auth::passwords::PasswordFlaw, vault::VaultError};

/// The error of every handler.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not there, or not visible.
    #[error("not found")]
    NotFound,
    /// Visible, but not allowed; says why.
    #[error("{0}")]
    Forbidden(&'static str),
    /// A field that only the database could judge.
    #[error("{field}: {message}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        message: &'static str,
    },
    /// A new password that will not do.
    #[error("{field}: {flaw}")]
    Password {
        /// The field that holds it.
        field: &'static str,
        /// Why not.
        flaw: PasswordFlaw,
    },
    /// It stands against what is there.
    #[error("{}", .0.detail())]
    Conflict(Conflict),
    /// The caller's own password was not the right one.
    #[error("the current password is wrong")]
    WrongPassword,
    /// The chat is too large for the sender to mention everybody in it.
    #[error("not everybody may be mentioned")]
    MentionAllForbidden,
    /// A rate limit was met.
    #[error("too many requests")]
    TooMany(LimitExceeded),
    /// A wrong address or password; which of them stays untold.
    #[error("e-mail address or password is wrong")]
    SignInRefused,
    /// A refresh token that is not in force.
    #[error("the refresh token is not in force")]
    RefreshRefused,
    /// The session ended while the request was on its way.
    #[error("the session has ended")]
    SignedOut,
    /// More bytes than a file may have.
    #[error("the file is too large")]
    TooLarge,
    /// A file that is sent in a coding.
    #[error("the file is coded")]
    FileCoded,
    /// Too much to do; says what.
    #[error("{0}")]
    Busy(&'static str),
    /// The database, or the way to it.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// Something that cannot happen; logged.
    #[error("{0}")]
    Internal(String),
}

/// What a request can stand against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// The address has an account.
    EmailTaken,
    /// The handle is somebody's.
    UsernameTaken,
    /// The person is in it already.
    AlreadyMember,
    /// Others would be left without an owner.
    LastOwner,
    /// The chat is archived.
    Archived,
    /// The same `client_id` with another body.
    ClientIdReused,
    /// The same `Idempotency-Key` with another request.
    IdempotencyKeyReused,
    /// Somebody changed it first.
    VersionMismatch,
    /// The message is deleted.
    MessageDeleted,
    /// There is no room for more files.
    QuotaExceeded,
    /// The message has reactions of as many kinds as it may have.
    TooManyReactions,
    /// The chat has as many pins as it may have.
    TooManyPins,
    /// The person has saved as many messages as one may save.
    TooManySaved,
}

impl Conflict {
    /// The problem's code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::EmailTaken => "email_taken",
            Self::UsernameTaken => "username_taken",
            Self::AlreadyMember => "already_member",
            Self::LastOwner => "last_owner",
            Self::Archived => "archived",
            Self::ClientIdReused => "client_id_reused",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::VersionMismatch => "version_mismatch",
            Self::MessageDeleted => "message_deleted",
            Self::QuotaExceeded => "quota_exceeded",
            Self::TooManyReactions => "too_many_reactions",
            Self::TooManyPins => "too_many_pins",
            Self::TooManySaved => "too_many_saved",
        }
    }

    /// The problem's detail.
    #[must_use]
    pub fn detail(self) -> &'static str {
        match self {
            Self::EmailTaken => "There is an account with this e-mail address.",
            Self::UsernameTaken => "This username is taken.",
            Self::AlreadyMember => "The person is a member already.",
            Self::LastOwner => {
                "The last owner cannot go while others stay: make somebody else an owner first."
            }
            Self::Archived => "The chat is archived and cannot be written to.",
            Self::ClientIdReused => "This client_id was used for another message.",
            Self::IdempotencyKeyReused => "This Idempotency-Key was used for another request.",
            Self::VersionMismatch => "It was changed in the meantime.",
            Self::MessageDeleted => "The message is deleted.",
            Self::QuotaExceeded => "There is no room for this file: you or your workspace have too many.",
            Self::TooManyReactions => "The message has reactions of 20 kinds: choose one of these.",
            Self::TooManyPins => "The chat has 100 pinned messages: unpin one first.",
            Self::TooManySaved => "You have saved 10,000 messages: take one out first.",
        }
    }
}

impl Error {
    /// The error for a broken unique constraint that `conflicts` names, and the database error otherwise.
    pub(crate) fn by_constraint(error: sqlx::Error, conflicts: &[(&str, Conflict)]) -> Self {
        let constraint = error.as_database_error().and_then(|error| error.constraint());
        let known = conflicts.iter().find(|(name, _)| Some(*name) == constraint);
        known.map_or(Self::Database(error), |(_, conflict)| Self::Conflict(*conflict))
    }
}

/// Logged here; a client learns only whether it makes sense to try again.
impl From<VaultError> for Error {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Place(error) => {
                tracing::warn!(%error, "files cannot be stored or read");
                Self::Busy("Files are not available at the moment.")
            }
            error => Self::Internal(error.to_string()),
        }
    }
}

impl From<LimitExceeded> for Error {
    fn from(exceeded: LimitExceeded) -> Self {
        Self::TooMany(exceeded)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Self::not_found(),
            Error::Forbidden(detail) => Self::forbidden(detail),
            Error::Invalid { field, message } => Self::invalid(vec![FieldError::new(field, message)]),
            Error::Password { field, flaw } => Self::invalid(vec![FieldError::new(field, flaw.to_string())]),
            Error::Conflict(conflict) => Self::new(StatusCode::CONFLICT, conflict.code(), conflict.detail()),
            Error::WrongPassword => Self::forbidden("The current password is wrong."),
            Error::MentionAllForbidden => Self::new(
                StatusCode::FORBIDDEN,
                "mention_all_forbidden",
                "In a chat of this size only its admins mention everybody.",
            ),
            Error::TooMany(exceeded) => Self::too_many(exceeded),
            Error::SignInRefused => Self::new(
                StatusCode::UNAUTHORIZED,
                "sign_in_refused",
                "The e-mail address or the password is wrong.",
            ),
            Error::RefreshRefused => Self::new(
                StatusCode::UNAUTHORIZED,
                "refresh_refused",
                "The refresh token is not in force: sign in.",
            ),
            Error::SignedOut => Self::unauthorized(),
            Error::TooLarge => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The file is larger than files may be.")
            }
            Error::FileCoded => Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "A file is taken as it is: without Content-Encoding.",
            ),
            Error::Busy(detail) => Self::unavailable(detail),
            Error::Database(error) => error.into(),
            Error::Internal(message) => {
                tracing::error!(message, "an internal error");
                Self::internal()
            }
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}
