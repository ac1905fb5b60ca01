//! Finds messages, newest first, by whichever way is shorter: the newest ones are read one by one where many match, and
//! the index is asked where few do.

use chat_core::ids::{ChatId, MessageId, UserId};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use tokio::task::yield_now;
use uuid::Uuid;

use super::{
    matching::Match,
    query::Query,
    store::{self, Candidate, Expected},
    term::Term,
};

/// So few messages are read without asking anything.
const FEW: i64 = 1_000;
/// How many times as long as a match in the index takes reading a message.
const READ_COST: f64 = 2.0;
/// Before reading is given up, so much of what the index would cost has been spent on it.
const TRIAL: f64 = 0.125;
/// Messages that are read at a time, unless there are more chats to read from.
const STEP: i64 = 500;
/// Messages that the index proposes at a time, and of how many of them the texts are read: a text may be long.
const PROPOSALS: i64 = 200_000;
const TEXTS_MIN: usize = 100;
const TEXTS_MAX: usize = 500;
/// Bytes of text that are looked at before others have their turn on the thread: one message may have 40 KB.
const TURN: usize = 16 * 1024;
/// In so many chats or fewer the newest are read without regard to when that was.
const FEW_CHATS: usize = 4;
/// How far back the first look into many chats goes, how far one goes at least, and how many times as far as the one
/// before at most.
const FIRST_LOOK: TimeDelta = TimeDelta::minutes(10);
const LOOK_MIN: TimeDelta = TimeDelta::seconds(1);
const LOOK_FACTOR: i32 = 16;
/// How far a message's id and its time may be apart: servers' clocks differ, and messages wait to be written.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::days(1);

/// Where is looked, and for what besides the text.
pub(super) struct Within {
    pub(super) reader: UserId,
    pub(super) chats: Vec<Uuid>,
    /// Messages that the chats ever had.
    pub(super) messages: i64,
    pub(super) senders: Option<Vec<Uuid>>,
    pub(super) since: Option<DateTime<Utc>>,
    pub(super) before: Option<DateTime<Utc>>,
    pub(super) has_file: bool,
    pub(super) mentions_me: bool,
}

/// A message that is what was looked for.
pub(super) struct Hit {
    pub(super) id: MessageId,
    pub(super) chat_id: ChatId,
    pub(super) found: Match,
}

/// A search on its way to older messages.
pub(super) struct Finding<'search> {
    query: &'search Query,
    within: &'search Within,
    wanted: usize,
    now: DateTime<Utc>,
    /// Everything from here on has been seen.
    below: Uuid,
    /// Nothing before this can be meant.
    floor: Uuid,
    hits: Vec<Hit>,
}

/// How a walk ended.
#[derive(PartialEq, Eq)]
enum Walk {
    Done,
    /// The rest would take too long.
    GivenUp,
}

impl<'search> Finding<'search> {
    /// Looks for so many messages with ids below this one.
    pub(super) fn new(
        query: &'search Query,
        within: &'search Within,
        below: Uuid,
        wanted: usize,
        now: DateTime<Utc>,
    ) -> Self {
        let latest = within.before.and_then(|before| before.checked_add_signed(CLOCKS_DIFFER));
        let earliest = within.since.and_then(|since| since.checked_sub_signed(CLOCKS_DIFFER));
        let below = latest.map_or(below, |latest| below.min(first_id(latest)));
        let floor = earliest.map_or(Uuid::nil(), first_id);
        Self { query, within, wanted, now, below, floor, hits: Vec::new() }
    }

    /// The newest of them.
    pub(super) async fn run(mut self, connection: &mut PgConnection) -> sqlx::Result<Vec<Hit>> {
        if self.within.chats.is_empty() {
            return Ok(self.hits);
        }
        let lexemes: Vec<_> = self.query.terms.iter().flat_map(Term::lexemes).collect();
        if lexemes.is_empty() || self.within.messages <= FEW {
            self.walk(connection, f64::INFINITY).await?;
            return Ok(self.hits);
        }
        let terms = lexemes.join(" & ");
        let Expected { matches, messages } = store::expected(connection, &terms).await?;
        let price = matches / READ_COST;
        if self.to_read(messages, matches) > price || self.walk(connection, price).await? == Walk::GivenUp {
            self.ask_index(connection, &terms).await?;
        }
        Ok(self.hits)
    }

    /// Reads the newest messages of all the chats, a time at a time: a look reads from each chat, so that one into a long
    /// time would read from each as many as are needed of all. How far the next goes is judged by what the last found.
    /// Given up once the rest looks longer than the price of asking the index, in messages read: what was said often
    /// may be said no more.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    async fn walk(&mut self, connection: &mut PgConnection, price: f64) -> sqlx::Result<Walk> {
        let wanted = i64::try_from(self.wanted).unwrap_or(i64::MAX);
        let chats = i64::try_from(self.within.chats.len()).unwrap_or(i64::MAX);
        let step = if self.query.terms.is_empty() { wanted } else { STEP.max(wanted).max(2 * chats) };
        let newest = self.within.before.map_or(self.now, |before| before.min(self.now));
        let mut look = FIRST_LOOK;
        let mut read = 0;
        loop {
            let start = time_of(self.below).map_or(newest, |time| time.min(newest));
            let far = self.within.chats.len() > FEW_CHATS;
            let from = start.checked_sub_signed(look).filter(|_| far).map_or(Uuid::nil(), first_id);
            let from = from.max(self.floor).min(self.below);
            let rows = store::newest(connection, self.within, (from, self.below), step).await?;
            let found = i64::try_from(rows.len()).unwrap_or(i64::MAX);
            read += found;
            if self.take(rows).await {
                return Ok(Walk::Done);
            }
            if found >= step {
                // Here are as many as are read at a time; so will be in what comes next.
                look = time_of(self.below).map_or(look, |last| (start - last).max(LOOK_MIN));
            } else if from <= self.floor {
                return Ok(Walk::Done);
            } else {
                self.below = from;
                let more = i32::try_from(step / found.max(1)).unwrap_or(LOOK_FACTOR);
                look = look.checked_mul(more.clamp(1, LOOK_FACTOR)).unwrap_or(TimeDelta::MAX);
            }
            if read >= FEW
                && read as f64 >= TRIAL * price
                && self.to_read(read as f64, self.hits.len() as f64) > price
            {
                return Ok(Walk::GivenUp);
            }
        }
    }

    /// Takes what the index proposes, text by text: some are not meant, such as the words of a phrase that do not stand
    /// together, and what is left out.
    async fn ask_index(&mut self, connection: &mut PgConnection, terms: &str) -> sqlx::Result<()> {
        let at_a_time = self.wanted.saturating_mul(2).clamp(TEXTS_MIN, TEXTS_MAX);
        loop {
            let ids = (self.floor, self.below);
            let proposed = store::proposed(connection, self.within, terms, ids, PROPOSALS).await?;
            for some in proposed.chunks(at_a_time) {
                let texts = store::texts(connection, self.within.reader, some).await?;
                if self.take(texts).await {
                    return Ok(());
                }
            }
            match proposed.last() {
                Some(last) if proposed.len() >= usize::try_from(PROPOSALS).unwrap_or(usize::MAX) => {
                    self.below = last.id;
                }
                _ => return Ok(()),
            }
        }
    }

    /// How many more messages will have to be read if so many of so many match.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn to_read(&self, of: f64, matches: f64) -> f64 {
        let evenly_spread = (self.wanted - self.hits.len()) as f64 * of / matches.max(0.5);
        evenly_spread.min(self.within.messages as f64)
    }

    /// Keeps what is meant; tells whether there are enough now.
    async fn take(&mut self, candidates: Vec<Candidate>) -> bool {
        let mut turn = 0;
        for Candidate { id, chat_id, content } in candidates {
            turn += content.len();
            if turn >= TURN {
                turn = 0;
                yield_now().await;
            }
            self.below = id;
            if let Some(found) = self.query.look(&content) {
                self.hits.push(Hit { id: MessageId(id), chat_id: ChatId(chat_id), found });
                if self.hits.len() >= self.wanted {
                    return true;
                }
            }
        }
        false
    }
}

/// The least id of this time (RFC 9562, section 5.7).
fn first_id(time: DateTime<Utc>) -> Uuid {
    let milliseconds = u128::try_from(time.timestamp_millis()).unwrap_or_default();
    Uuid::from_u128(milliseconds.min((1 << 48) - 1) << 80)
}

/// The time of an id; none for one that lies beyond all times.
fn time_of(id: Uuid) -> Option<DateTime<Utc>> {
    i64::try_from(id.as_u128() >> 80).ok().and_then(DateTime::from_timestamp_millis)
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[tokio::test]
    async fn who_looks_at_long_texts_lets_others_have_their_turn() {
        let query = Query::parse("\"a a b\"").expect("a query");
        let within = Within {
            reader: UserId(Uuid::nil()),
            chats: Vec::new(),
            messages: 0,
            senders: None,
            since: None,
            before: None,
            has_file: false,
            mentions_me: false,
        };
        let turns = Arc::new(AtomicUsize::new(0));
        let others = tokio::spawn({
            let turns = turns.clone();
            async move {
                loop {
                    turns.fetch_add(1, Ordering::Relaxed);
                    yield_now().await;
                }
            }
        });
        let mut finding = Finding::new(&query, &within, Uuid::max(), 100, DateTime::UNIX_EPOCH);
        let nil = Uuid::nil();
        let long = (0..50).map(|_| Candidate { id: nil, chat_id: nil, content: "a ".repeat(5_000) });
        assert!(!finding.take(long.collect()).await);
        others.abort();
        assert!(turns.load(Ordering::Relaxed) >= 25);
    }
}
