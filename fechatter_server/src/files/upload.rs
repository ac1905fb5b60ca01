//! A file on its way in.

use std::time::Duration;

use axum::{
    body::BodyDataStream,
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, header, request::Parts},
};
use bytes::Bytes;
use chat_core::{
    api::{Input, Operation},
    caller::Caller,
    http::{body, query::Query},
    ids::FileId,
    message::FileFacts,
    problem::{FieldError, Problem},
};
use futures::StreamExt;
use tokio::time::timeout;
use utoipa::IntoParams;

use super::{
    detection::{Content, Kind},
    form::{Form, boundary, is_form},
    places::Place,
    store::{self, Arrived},
    types::UploadTo,
};
use crate::{
    access::{UploadFiles, WorkspacePermit},
    error::{Conflict, Error},
    state::AppState,
    vault::{StoredFile, Upload},
};

/// What a form may have beside its file, in bytes.
const FORM: u64 = 64 * 1024;
/// How long a refused body is read on for, and how much of it, so that its sender comes to read the refusal.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// The request to upload a file: who may, and the bytes to come.
///
/// It is no place of [`capacity`](chat_core::http::capacity), for it takes as long as its client: there are places of its
/// own. So it sees to the time limits of the database by itself, and `http::body` to those of the client.
pub struct Arriving {
    permit: WorkspacePermit<UploadFiles>,
    name: String,
    body: Body,
    /// The most bytes that there is room for.
    most: u64,
    place: Place,
}

/// The bytes of a file.
enum Body {
    Raw(BodyDataStream),
    Form(Box<Form>),
}

impl Body {
    /// Reads up to the file; answers with the name that comes with it.
    async fn open(&mut self) -> Result<Option<String>, Problem> {
        match self {
            Self::Form(form) => form.open().await,
            Self::Raw(_) => Ok(None),
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        match self {
            Self::Form(form) => form.next().await,
            Self::Raw(raw) => raw.next().await.transpose().map_err(|error| body::unreadable(&error)),
        }
    }

    /// Reads on for a while.
    fn linger(self, place: Place) {
        let mut raw = match self {
            Self::Form(form) => form.into_body(),
            Self::Raw(raw) => raw,
        };
        tokio::spawn(async move {
            let _place = place;
            let mut read = 0;
            let reading = async {
                while let Some(Ok(bytes)) = raw.next().await
                    && read < LINGER_BYTES
                {
                    read += bytes.len();
                }
            };
            // Whoever sends more than that has been told.
            let _ = timeout(LINGER, reading).await;
        });
    }
}

impl FromRequest<AppState> for Arriving {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let raw = body.into_data_stream();
        let admitted = within(state, admit(&mut parts, state)).await?;
        let Some(place) = state.transfers.uploads.take(admitted.permit.user_id()) else {
            return Err(Error::Busy("Too many files are being uploaded at the moment.").into());
        };
        let Admitted { permit, name, most } = admitted;
        let boundary = boundary(&parts.headers);
        let mut body = match &boundary {
            Ok(Some(boundary)) => Body::Form(Box::new(Form::new(boundary, raw))),
            _ => Body::Raw(raw),
        };
        let named = async {
            boundary?;
            judge_head(&parts.headers, most, state)?;
            let named = body.open().await?;
            let missing = || Problem::invalid(vec![FieldError::new("name", "is missing")]);
            UploadTo::named(permit.workspace_id(), name.or(named).ok_or_else(missing)?)
        };
        match named.await {
            Ok(name) => Ok(Self { permit, name, body, most, place }),
            Err(problem) => {
                body.linger(place);
                Err(problem)
            }
        }
    }
}

struct Admitted {
    permit: WorkspacePermit<UploadFiles>,
    name: Option<String>,
    most: u64,
}

async fn admit(parts: &mut Parts, state: &AppState) -> Result<Admitted, Problem> {
    let caller = Caller::from_request_parts(parts, state).await?;
    let Query(to) = Query::<UploadTo>::from_request_parts(parts, state).await?;
    let permit = WorkspacePermit::look_up(state, caller, to.workspace_id).await?;
    let room = store::room(&state.pool, &permit, &state.settings.files.limits).await?;
    Ok(Admitted { permit, name: to.name, most: room })
}

/// Refuses by what the head tells, before anything is read: that it is too large, or coded.
fn judge_head(headers: &HeaderMap, room: u64, state: &AppState) -> Result<(), Problem> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(Error::FileCoded.into());
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let beside = if is_form(headers) { FORM } else { 0 };
    let least = length.unwrap_or(0_u64).saturating_sub(beside);
    judge_size(least, room, state).map_err(Into::into)
}

fn judge_size(size: u64, room: u64, state: &AppState) -> Result<(), Error> {
    if size > state.settings.files.limits.file() {
        Err(Error::TooLarge)
    } else if size > room {
        Err(Error::Conflict(Conflict::QuotaExceeded))
    } else {
        Ok(())
    }
}

/// Does what asks the database, within the time that any request has.
async fn within<T, E>(state: &AppState, work: impl Future<Output = Result<T, E>>) -> Result<T, Problem>
where
    Problem: From<E>,
{
    let limit = Duration::from_secs(state.settings.limits.request_s);
    Ok(state.health.pulse.within(limit, || Duration::ZERO, work).await??)
}

/// Takes a file in: durable, and its uploader's, when this returns.
pub(super) async fn take_in(state: &AppState, arriving: Arriving) -> Result<FileFacts, Problem> {
    let Arriving { permit, name, mut body, most, place } = arriving;
    let id = FileId::new();
    let mut upload = state.vault.begin(id).await.map_err(Error::from)?;
    let content = match receive(state, &mut body, &mut upload, most).await {
        Ok(content) => content,
        Err(problem) => {
            // Nothing of it stays.
            drop(upload);
            body.linger(place);
            return Err(problem);
        }
    };
    let state = state.clone();
    // The whole file is here: whether its sender waits for the answer makes no difference.
    let keeping = tokio::spawn(async move {
        let _place = place;
        keep(&state, &permit, name, upload, content).await
    });
    keeping.await.map_err(|_| Problem::internal())?
}

async fn receive(
    state: &AppState,
    body: &mut Body,
    upload: &mut Upload,
    room: u64,
) -> Result<Content, Problem> {
    let (mut content, mut size) = (Content::default(), 0);
    while let Some(bytes) = body.next().await? {
        size += bytes.len() as u64;
        judge_size(size, room, state)?;
        upload.write(content.push(bytes)).await.map_err(Error::from)?;
    }
    if size == 0 {
        return Err(Problem::invalid(vec![FieldError::new("file", "must not be empty")]));
    }
    Ok(content)
}

/// Finishes the object, makes its small picture, and writes both down.
async fn keep(
    state: &AppState,
    permit: &WorkspacePermit<UploadFiles>,
    name: String,
    mut upload: Upload,
    content: Content,
) -> Result<FileFacts, Problem> {
    let (rest, Kind { content_type, picture }) = content.finish();
    upload.write(rest).await.map_err(Error::from)?;
    let stored = upload.finish().await.map_err(Error::from)?;
    let thumbnail = match picture {
        Some(picture) => store_thumbnail(state, &stored, picture).await,
        None => None,
    };
    let shown = picture.map(|(_, picture)| picture);
    let facts = FileFacts {
        id: stored.id,
        name,
        content_type: content_type.to_owned(),
        size: stored.size,
        width: shown.map(|picture| picture.width),
        height: shown.map(|picture| picture.height),
        thumbnail: thumbnail.is_some(),
    };
    let arrived = Arrived { stored, facts, thumbnail };
    let limits = &state.settings.files.limits;
    let now = state.clock.now();
    let added = within(state, async {
        Ok::<_, Problem>(store::add(&state.pool, permit, limits, &arrived, now).await)
    });
    match added.await? {
        Ok(()) => Ok(arrived.facts),
        Err(error) => {
            // After a broken connection nobody knows whether it was written: then the collector will find out.
            if !matches!(error, Error::Database(_)) {
                discard(state, &arrived).await;
            }
            Err(error.into())
        }
    }
}

async fn store_thumbnail(
    state: &AppState,
    stored: &StoredFile,
    picture: (super::pictures::Format, super::pictures::Picture),
) -> Option<(StoredFile, &'static str)> {
    let thumbnail = state.transfers.thumbnails.of(&state.vault, stored, picture).await?;
    let store = async {
        let mut upload = state.vault.begin(FileId::new()).await?;
        upload.write(thumbnail.bytes).await?;
        upload.finish().await
    };
    match store.await {
        Ok(small) => Some((small, thumbnail.content_type)),
        Err(error) => {
            tracing::warn!(%error, file_id = %stored.id, "a small picture could not be stored");
            None
        }
    }
}

/// Removes what was stored for nothing; the collector does it where this fails.
async fn discard(state: &AppState, arrived: &Arrived) {
    for stored in [Some(&arrived.stored), arrived.thumbnail.as_ref().map(|(stored, _)| stored)] {
        let Some(stored) = stored else { continue };
        if let Err(error) = state.vault.remove(&stored.location).await {
            tracing::warn!(%error, "a refused file stays until it is collected");
        }
    }
}

impl Input for Arriving {
    fn describe(operation: &mut Operation) {
        operation.requires_token();
        operation.parameters(UploadTo::into_params(|| Some(utoipa::openapi::path::ParameterIn::Query)));
        operation.file_body();
        operation.refuses(&[404, 409]);
    }
}
