//! Whether a server can serve, and if not, why.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{
    database::needed_schema,
    feed::FeedProgress,
    pulse::{Beat, Pulse},
};

/// How long the event log may go without being looked at; a feed looks every second.
const SILENCE: Duration = Duration::from_secs(10);

/// All that readiness depends on.
#[derive(Clone, Debug)]
pub struct Health {
    /// Whether the database answers.
    pub pulse: Pulse,
    /// How far the event log was read.
    pub feed: FeedProgress,
    /// Cancelled once the server is to end.
    pub shutdown: CancellationToken,
}

/// The answer of `/readyz`.
#[derive(Clone, Debug, Serialize)]
pub struct Readiness {
    ready: bool,
    /// Why not.
    reasons: Vec<String>,
    database: Database,
    feed: Feed,
    shutting_down: bool,
}

#[derive(Clone, Debug, Serialize)]
struct Database {
    answers: bool,
    /// The newest migration that was applied; 0 for none.
    schema: Option<i64>,
    /// The newest one of this program.
    schema_needed: i64,
}

#[derive(Clone, Debug, Serialize)]
struct Feed {
    /// Events of the log that were not there yet when it was last looked at.
    events_behind: Option<i64>,
    /// Since the log was last looked at.
    seconds_since_look: Option<f64>,
}

impl Health {
    /// Judges, where everything up to the event `done` has been dealt with.
    #[must_use]
    pub fn judge(&self, done: Option<i64>) -> Readiness {
        let beat = self.pulse.last();
        let (schema, head) = match &beat {
            Beat::Alive(state) => (Some(state.schema), Some(state.head)),
            Beat::Unknown | Beat::Unreachable | Beat::Stalled => (None, None),
        };
        let (schema_needed, silence) = (needed_schema(), self.feed.silence());
        let shutting_down = self.shutdown.is_cancelled();
        let reasons = [
            shutting_down.then(|| "the server is about to end".to_owned()),
            (beat == Beat::Unknown).then(|| "the database was not asked yet".to_owned()),
            (beat == Beat::Unreachable).then(|| "the database cannot be reached or refuses".to_owned()),
            (beat == Beat::Stalled).then(|| "the database says nothing any more".to_owned()),
            schema.and_then(|schema| mismatch(schema, schema_needed)),
            feed_trouble(silence, done),
        ];
        let reasons: Vec<_> = reasons.into_iter().flatten().collect();
        Readiness {
            ready: reasons.is_empty(),
            reasons,
            database: Database { answers: schema.is_some(), schema, schema_needed },
            feed: Feed {
                events_behind: head.zip(done).map(|(head, done)| (head - done).max(0)),
                seconds_since_look: silence.map(|silence| silence.as_secs_f64()),
            },
            shutting_down,
        }
    }
}

/// A newer schema is none: during an upgrade both versions run on it.
fn mismatch(schema: i64, needed: i64) -> Option<String> {
    (schema < needed).then(|| {
        format!("the schema ({schema}) is older than this program ({needed}): run `fechatter migrate`")
    })
}

fn feed_trouble(silence: Option<Duration>, done: Option<i64>) -> Option<String> {
    match (silence, done) {
        (None, _) | (_, None) => Some("the event log was not read yet".to_owned()),
        (Some(silence), _) if silence > SILENCE => {
            Some(format!("the event log was last looked at {} s ago", silence.as_secs()))
        }
        _ => None,
    }
}

impl Readiness {
    /// Whether it can serve.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready
    }
}

impl IntoResponse for Readiness {
    fn into_response(self) -> Response {
        answer(self.ready, &self)
    }
}

/// 200 or 503, with all that was found out.
pub fn answer(ready: bool, findings: &impl Serialize) -> Response {
    if ready {
        return Json(findings).into_response();
    }
    let retry = [(header::RETRY_AFTER, HeaderValue::from_static("1"))];
    (StatusCode::SERVICE_UNAVAILABLE, retry, Json(findings)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_must_not_be_older_than_the_program() {
        assert_eq!((mismatch(9, 9), mismatch(10, 9)), (None, None));
        assert!(mismatch(8, 9).is_some_and(|reason| reason.contains("older")));
    }

    #[test]
    fn a_feed_must_look_at_the_log() {
        let ago = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(feed_trouble(ago(2), Some(7)), None);
        assert!(feed_trouble(ago(11), Some(7)).is_some());
        assert!(feed_trouble(None, None).is_some());
        // The log is read, but the hub has taken nothing in.
        assert!(feed_trouble(ago(0), None).is_some());
    }
}
