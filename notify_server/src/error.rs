//! What can go wrong here, and what clients are told.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use chat_core::{limits::LimitExceeded, problem::Problem, pulse::Late};

/// When to ask again for a stream that there was no place for. A place is free once a window is closed.
const STREAM_PAUSE: Duration = Duration::from_secs(30);

/// The errors of this server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A ticket that is not in force, or a session that has ended.
    #[error("not authorised")]
    Unauthorized,
    /// The feed has not reached the present, so that no stream can start there.
    #[error("the event log has not been caught up with")]
    Behind,
    /// The database did not answer a question that was asked for many.
    #[error("the database is not available")]
    Unavailable,
    /// The person has as many streams as one may have.
    #[error("too many streams of one person")]
    TooManyStreams {
        /// How many that is.
        most: u32,
    },
    /// The server is to end.
    #[error("the server is to end")]
    Ending,
    /// It was not done in time.
    #[error("not in time")]
    Late(Late),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl From<Late> for Error {
    fn from(late: Late) -> Self {
        Self::Late(late)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Unauthorized => Self::unauthorized(),
            Error::Behind => Self::unavailable("The event log is not available at the moment."),
            Error::Unavailable => Self::unavailable("The database is not available at the moment."),
            Error::TooManyStreams { most } => Self {
                code: "too_many_streams",
                detail: "You have as many event streams open as one person may have.".into(),
                ..Self::too_many(LimitExceeded::of_places("streams_per_person", most, STREAM_PAUSE))
            },
            Error::Ending => Self::unavailable("The server is about to end."),
            Error::Late(late) => Self::from(late),
            Error::Database(error) => Self::from(error),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}
