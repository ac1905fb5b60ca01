//! What a stream lacks: from the ring, or else from the table, page by page as the socket drains.

use chat_core::{
    event::{Epoch, Event, Position},
    feed::{read_after, read_end},
    ids::UserId,
};

use crate::{
    directory::{Memberships, Route},
    error::Error,
    frame::{Chunk, Frame},
    hub::{Frames, Waiting},
    metrics::STREAMS,
    reason::Reset,
    ring::Recent,
    state::AppState,
    store::{self, Snapshot},
};

/// Events looked at in one go, at most.
const PAGE: u16 = 500;

/// A replay of the events in `(at, until]`.
#[derive(Debug)]
pub struct Replay {
    view: View,
    epoch: Epoch,
    at: i64,
    until: i64,
    /// Bytes that may be ready, but for the last frame.
    room: usize,
    /// Events of the table to read in one go.
    page: u16,
    ready: Frames,
    /// What was read from the table last may be as new as this.
    read_at: Option<Position>,
    /// Up to here the person has left none of the chats that can be read.
    stayed_until: i64,
}

/// How a replay goes on.
#[derive(Debug)]
pub enum Progress {
    /// Frames wait among [`Replay::ready`].
    Ready,
    /// Everything was replayed.
    Done,
    /// The rest is gone, or not to be shown any more.
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
        let epoch = snapshot.position.epoch.clone();
        let room = state.settings.stream.queue_bytes;
        Ok(Self {
            view,
            epoch,
            at: after,
            until,
            room,
            page: PAGE,
            ready: Frames::new(),
            read_at: None,
            stayed_until: until,
        })
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
    ///
    /// A message is shown as it is when it is read, which may be after the person has left its chat. So nothing goes
    /// out before the hub has seen everything up to then, and when the person has left something by then, the rest is
    /// for them to reload. It is not withheld: they may be back already, and would miss it.
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
        if let Some(read_at) = &self.read_at {
            state.hub.reached(read_at).await?;
            self.read_at = None;
        }
        Ok(if self.has_stayed(state).await? { Progress::Ready } else { Progress::Lost(Reset::TooFar) })
    }

    /// Whether the person has left none of the chats that this shows, up to where messages were read.
    async fn has_stayed(&mut self, state: &AppState) -> Result<bool, Error> {
        let View { user, readable, .. } = &self.view;
        let (head, left) = {
            let ring = state.hub.ring();
            (ring.head(), ring.left_by(*user, self.stayed_until))
        };
        let left = match left {
            Some(left) => left,
            None => store::own_changes(&state.pool, *user, self.stayed_until, i64::MAX)
                .await?
                .into_iter()
                .filter_map(|change| change.left_chat())
                .collect(),
        };
        self.stayed_until = head;
        Ok(left.is_disjoint(&readable.chats))
    }

    fn show(&mut self, entries: &[Recent]) {
        let considered = self.fill(entries.iter().map(|recent| {
            let chunk = || recent.frame().map(|frame| frame.chunk().clone());
            (recent.entry.id, recent.entry.route, chunk)
        }));
        if considered == entries.len() && considered < PAGE.into() {
            self.at = self.until;
        }
    }

    #[tracing::instrument(level = "debug", name = "replay_page", skip_all)]
    async fn read_table(&mut self, state: &AppState) -> Result<Option<Reset>, Error> {
        // Closed never: the semaphore lives as long as the state.
        let _permit = state.replays.acquire().await.map_err(|_| Error::Ending)?;
        let (log, events) = read_after(&state.pool, self.at, self.page.into()).await?;
        if log.epoch != self.epoch {
            return Ok(Some(Reset::Epoch));
        }
        if self.at < log.dropped_through {
            return Ok(Some(Reset::Expired));
        }
        STREAMS.pages_of_table.increment(1);
        // A page that is not full ends where the log did. Of a full one, the log's end is asked for after it was read.
        self.read_at = match events.last() {
            Some(last) if events.len() < self.page.into() => {
                Some(Position { epoch: self.epoch.clone(), id: last.id })
            }
            _ => Some(read_end(&state.pool).await?),
        };
        self.encode(&events);
        Ok(None)
    }

    /// Encodes what was read from the table, as far as there is room for it.
    fn encode(&mut self, events: &[Event]) {
        let (asked, epoch) = (self.page, self.epoch.clone());
        let wanted = events.partition_point(|event| event.id <= self.until);
        let considered = self.fill(events[..wanted].iter().map(|event| {
            let position = Position { epoch: epoch.clone(), id: event.id };
            let chunk = move || Frame::of(event, &position).map(|frame| frame.chunk().clone());
            (event.id, Route::of(event), chunk)
        }));
        if considered < wanted {
            // The rest is read once more, so no more is asked for than had room.
            self.page = u16::try_from(considered).unwrap_or(PAGE).clamp(1, PAGE);
            return;
        }
        self.page = asked.saturating_mul(2).min(PAGE);
        if wanted < events.len() || events.len() < asked.into() {
            self.at = self.until;
        }
    }

    /// Takes events in turn, and puts what is shown of them among the ready frames, until these take the room that
    /// there is; the first one always fits. Answers how many events were taken.
    ///
    /// Ready frames are memory of this stream alone, for as long as its client takes to read them: those that were
    /// encoded here, and those of the ring that it has dropped since.
    fn fill<F: FnOnce() -> Option<Chunk>>(&mut self, events: impl Iterator<Item = (i64, Route, F)>) -> usize {
        let (mut bytes, mut taken) = (0, 0);
        for (id, route, chunk) in events {
            // Before the view is asked, which takes in what each event changes, and may do so once.
            if bytes >= self.room {
                break;
            }
            if self.view.shows(&route)
                && let Some(chunk) = chunk()
            {
                bytes += chunk.text().len();
                self.ready.push_back(Waiting { id, chunk, ephemeral: false });
            }
            self.at = id;
            taken += 1;
        }
        taken
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
