//! What a stream lacks: from the ring, or else from the table, page by page as the socket drains.

use std::sync::Arc;

use chat_core::{
    event::{Epoch, Position},
    feed::read_after,
    ids::UserId,
};

use crate::{
    directory::{Memberships, Route},
    entry::Entry,
    error::Error,
    frame::Frame,
    hub::{Frames, Waiting},
    metrics::STREAMS,
    reason::Reset,
    state::AppState,
    store::{self, Snapshot},
};

/// Events looked at in one go.
const PAGE: u16 = 500;

/// A replay of the events in `(at, until]`.
#[derive(Debug)]
pub struct Replay {
    view: View,
    epoch: Epoch,
    at: i64,
    until: i64,
    ready: Frames,
}

/// How a replay goes on.
#[derive(Debug)]
pub enum Progress {
    /// Frames wait among [`Replay::ready`].
    Ready,
    /// Everything was replayed.
    Done,
    /// The rest is gone.
    Lost(Reset),
}

impl Replay {
    /// Prepares the replay of what `user` may see of the events between `after` and the snapshot.
    pub async fn prepare(
        state: &AppState,
        user: UserId,
        snapshot: &Snapshot,
        after: i64,
    ) -> Result<Self, Error> {
        let until = snapshot.position.id;
        let now = snapshot.memberships.clone().with(&snapshot.deleted);
        let rewound = state.hub.ring().rewind(user, now.clone(), after, until);
        let then = if let Some(then) = rewound {
            then
        } else {
            let mut then = now.clone();
            for change in store::own_changes(&state.pool, user, after, until).await? {
                then.undo(&change, user);
            }
            then
        };
        let view = View { user, then, now, readable: snapshot.memberships.clone() };
        Ok(Self { view, epoch: snapshot.position.epoch.clone(), at: after, until, ready: Frames::new() })
    }

    /// The frames that wait to be sent.
    pub fn ready(&mut self) -> &mut Frames {
        &mut self.ready
    }

    /// Where the stream is once everything was replayed.
    #[must_use]
    pub fn end(&self) -> Position {
        Position { epoch: self.epoch.clone(), id: self.until }
    }

    /// Reads on until frames wait, or to the end. After an error it can be called again.
    pub async fn advance(&mut self, state: &AppState) -> Result<Progress, Error> {
        while self.ready.is_empty() {
            if self.at >= self.until {
                return Ok(Progress::Done);
            }
            let page = state.hub.ring().page(self.at, self.until, PAGE.into());
            match page {
                Some(entries) => {
                    STREAMS.pages_of_ring.increment(1);
                    self.show(&entries);
                }
                None => {
                    if let Some(reason) = self.read_table(state).await? {
                        return Ok(Progress::Lost(reason));
                    }
                }
            }
        }
        Ok(Progress::Ready)
    }

    fn show(&mut self, entries: &[Arc<Entry>]) {
        for entry in entries {
            if self.view.shows(&entry.route)
                && let Some(frame) = &entry.frame
            {
                self.ready.push_back(Waiting {
                    id: entry.id,
                    chunk: frame.chunk().clone(),
                    ephemeral: false,
                });
            }
        }
        let last = entries.last().map(|entry| entry.id);
        self.at = last.filter(|_| entries.len() == usize::from(PAGE)).unwrap_or(self.until);
    }

    #[tracing::instrument(level = "debug", name = "replay_page", skip_all)]
    async fn read_table(&mut self, state: &AppState) -> Result<Option<Reset>, Error> {
        // Closed never: the semaphore lives as long as the state.
        let _permit = state.replays.acquire().await.map_err(|_| Error::Ending)?;
        let (log, events) = read_after(&state.pool, self.at, PAGE.into()).await?;
        if log.epoch != self.epoch {
            return Ok(Some(Reset::Epoch));
        }
        if self.at < log.dropped_through {
            return Ok(Some(Reset::Expired));
        }
        STREAMS.pages_of_table.increment(1);
        let full = events.len() == usize::from(PAGE);
        let last = events.last().map(|event| event.id);
        for event in events.iter().take_while(|event| event.id <= self.until) {
            let position = Position { epoch: self.epoch.clone(), id: event.id };
            if self.view.shows(&Route::of(event))
                && let Some(frame) = Frame::of(event, &position)
            {
                self.ready.push_back(Waiting {
                    id: event.id,
                    chunk: frame.chunk().clone(),
                    ephemeral: false,
                });
            }
        }
        self.at = last.filter(|_| full).map_or(self.until, |last| last.min(self.until));
        Ok(None)
    }
}

/// What one person may see of the past.
#[derive(Debug)]
struct View {
    user: UserId,
    /// Where they were at the event that is looked at.
    then: Memberships,
    /// Where they are, or were until it was deleted.
    now: Memberships,
    /// Where they are: what was written elsewhere is withheld.
    readable: Memberships,
}

impl View {
    /// Whether the next event was for the person then, and still is. To be asked of each event in turn.
    fn shows(&mut self, route: &Route) -> bool {
        let now = if route.has_content { &self.readable } else { &self.now };
        let shown =
            self.then.reached_by(&route.audience, self.user) && now.reached_by(&route.audience, self.user);
        if let Some(change) = &route.change {
            self.then.apply(change, self.user);
        }
        shown
    }
}

#[cfg(test)]
mod tests;
