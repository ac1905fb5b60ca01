//! From the event feed to the hub: waits for the schema, warms the ring, encodes.

use std::{sync::Arc, time::Duration};

use chat_core::{
    database::Pool,
    event::{Ephemeral, Epoch, Event, Position},
    feed::{Batch, EventFeed, FeedProgress, Gap, read_after},
};
use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnectOptions;
use tokio::{sync::mpsc, time::sleep};

use crate::{
    departures::{Departures, Foresight},
    entry::Entry,
    ring::{Ring, RingLimits},
    store,
};

/// How long to wait before looking for the schema again.
const SCHEMA_PAUSE: Duration = Duration::from_secs(1);
/// Rows read at once for the ring.
const PAGE: i64 = 1000;
/// Batches that may wait for the hub.
pub const BATCHES: usize = 2;
/// Ephemeral events that may wait for the hub; the rest are dropped.
pub const EPHEMERAL: usize = 1024;

/// What the hub takes in.
pub enum Intake {
    /// The next events.
    Events {
        /// At least one.
        entries: Vec<Arc<Entry>>,
        /// Who leaves which chat, up to where their messages were read.
        departures: Departures,
        /// When the first one was written, by PostgreSQL's clock.
        written_at: DateTime<Utc>,
        /// That of the last one.
        position: Position,
    },
    /// What came before is not connected with what comes next.
    Anew {
        /// Why.
        reason: Gap,
        /// From where it goes on.
        position: Position,
        /// Filled with what is known from before the position.
        ring: Ring,
    },
}

/// Follows the log for as long as the hub listens.
pub async fn follow(
    pool: Pool,
    listen: PgConnectOptions,
    progress: FeedProgress,
    limits: RingLimits,
    hub: mpsc::Sender<Intake>,
    ephemeral: mpsc::Sender<Ephemeral>,
) {
    await_schema(&pool).await;
    let mut feed = EventFeed::with_ephemeral(pool.clone(), listen, ephemeral).telling(progress);
    let (mut epoch, mut foresight) = (Epoch(String::new()), Foresight::default());
    loop {
        let intake = match feed.next().await {
            Batch::Events(events) => match of_events(&pool, &events, &epoch, &mut foresight).await {
                Some(intake) => intake,
                None => continue,
            },
            Batch::Gap { reason, position } => {
                epoch = position.epoch.clone();
                foresight.clear();
                let ring = ring_at(&pool, &position, reason, limits).await;
                Intake::Anew { reason, position, ring }
            }
        };
        if hub.send(intake).await.is_err() {
            return;
        }
    }
}

/// Waits until the database is there and has its tables.
async fn await_schema(pool: &Pool) {
    loop {
        match store::schema_is_there(pool).await {
            Ok(true) => return,
            Ok(false) => tracing::warn!("the database has no tables yet: run its migrations"),
            Err(error) => tracing::warn!(%error, "the database is not available yet"),
        }
        sleep(SCHEMA_PAUSE).await;
    }
}

async fn of_events(
    pool: &Pool,
    events: &[Event],
    epoch: &Epoch,
    foresight: &mut Foresight,
) -> Option<Intake> {
    let (first, last) = (events.first()?, events.last()?);
    let position = Position { epoch: epoch.clone(), id: last.id };
    let entries: Vec<_> = events.iter().map(|event| Arc::new(Entry::of(event, epoch))).collect();
    let departures = foresight.departures(pool, &entries).await;
    Some(Intake::Events { entries, departures, written_at: first.at, position })
}

/// A ring that ends at `position`. At the start it is filled from the table, because everybody who was
/// connected before a restart comes back at once.
async fn ring_at(pool: &Pool, position: &Position, reason: Gap, limits: RingLimits) -> Ring {
    if reason == Gap::Start {
        match warm_ring(pool, position, limits).await {
            Ok(ring) => return ring,
            Err(error) => {
                tracing::warn!(%error, "the recent events could not be read; the ring starts empty");
            }
        }
    }
    Ring::new(limits, position.id)
}

async fn warm_ring(pool: &Pool, position: &Position, limits: RingLimits) -> sqlx::Result<Ring> {
    let reach = i64::try_from(limits.events).unwrap_or(i64::MAX);
    let (log, _) = read_after(pool, position.id, 0).await?;
    let mut ring = Ring::new(limits, log.dropped_through.max(position.id.saturating_sub(reach)));
    while ring.head() < position.id {
        let (_, events) = read_after(pool, ring.head(), PAGE).await?;
        let known = events.iter().take_while(|event| event.id <= position.id);
        let before = ring.head();
        for event in known {
            ring.push(Arc::new(Entry::of(event, &position.epoch)));
        }
        if ring.head() == before {
            // The last event before the position was dropped meanwhile.
            return Ok(Ring::new(limits, position.id));
        }
    }
    // The messages were read after the position was.
    let (departures, _) = store::departures(pool, position.id).await?;
    ring.expect(Arc::new(Departures::of(&[], &departures, true)));
    Ok(ring)
}
