//! Who is there: people with sessions, and the chats that they are in.

use std::{path::PathBuf, sync::Arc};

use chat_core::{
    clock::Clock,
    ids::{ChatId, SessionId, UserId, WorkspaceId},
};
use chrono::TimeDelta;
use fechatter_server::{auth::issuer::Issuer, config::Settings};
use sqlx::PgPool;

use crate::store;

/// The most streams, each with a person of its own.
pub(crate) const AUDIENCE: usize = 10_000;
/// The most people who send at the same time.
pub(crate) const SENDERS: usize = 256;
/// Chats that messages are spread over.
pub(crate) const SPREAD: usize = 100;
/// Chats in the lists that are read.
pub(crate) const LISTS: [usize; 3] = [10, 100, 1_000];
/// People with a list of each length.
pub(crate) const READERS: usize = 16;
/// Messages in each chat of a list, and how many of them are read.
const LISTED_MESSAGES: u32 = 20;
const LISTED_READ: u32 = 15;
/// Messages of the chat whose history is read.
pub(crate) const HISTORY: u32 = 100_000;
/// Minutes that tokens are good for: longer than any run.
const TOKEN_MINUTES: u32 = 12 * 60;

/// A person with an access token of a session in force.
pub(crate) struct Person {
    pub(crate) id: UserId,
    pub(crate) session: SessionId,
    pub(crate) token: String,
}

/// People and chats, in the database.
pub(crate) struct Scene {
    /// The audience; the first of them are also those who send.
    pub(crate) people: Vec<Person>,
    /// One chat with all who send.
    pub(crate) one: Arc<[ChatId]>,
    /// Many chats with all who send.
    pub(crate) spread: Arc<[ChatId]>,
    /// Chats with the first so many people.
    pub(crate) audiences: Vec<(usize, ChatId)>,
    /// A chat with a long history.
    pub(crate) history: ChatId,
    /// People with so many chats each.
    pub(crate) lists: Vec<(usize, Vec<Person>)>,
}

impl Scene {
    /// Puts everybody into an empty database, and so many messages into each of the chats that messages are spread
    /// over.
    pub(crate) async fn make(pool: &PgPool, signing_key: PathBuf, stored_each: u32) -> anyhow::Result<Self> {
        let clock = Clock::system();
        let mut auth = Settings::read(None)?.auth;
        auth.private_key_file = signing_key;
        auth.access_token_minutes = TOKEN_MINUTES;
        let issuer = Issuer::from_settings(&auth)?;
        let person = || -> anyhow::Result<Person> {
            let (id, session) = (UserId::new(), SessionId::new());
            let token = issuer
                .issue(id, session, clock.now())
                .map_err(|error| anyhow::anyhow!("no token: {error}"))?
                .0;
            Ok(Person { id, session, token })
        };
        let people = (0..AUDIENCE).map(|_| person()).collect::<anyhow::Result<Vec<_>>>()?;
        let mut lists = Vec::new();
        for chats in LISTS {
            lists.push((chats, (0..READERS).map(|_| person()).collect::<anyhow::Result<Vec<_>>>()?));
        }
        let everybody: Vec<_> = people.iter().chain(lists.iter().flat_map(|(_, people)| people)).collect();
        let workspace = WorkspaceId::new();
        store::insert_people(pool, workspace, &everybody, clock.now() + TimeDelta::days(1)).await?;

        let senders = ids(&people[..SENDERS]);
        let one = store::insert_chats(pool, workspace, 1, &senders).await?;
        let spread = store::insert_chats(pool, workspace, SPREAD, &senders).await?;
        store::fill(pool, &spread, senders[0], stored_each, stored_each).await?;
        let mut audiences = Vec::new();
        for size in [100, 1_000, AUDIENCE] {
            let chats = store::insert_chats(pool, workspace, 1, &ids(&people[..size])).await?;
            audiences.push((size, chats[0]));
        }
        let history = store::insert_chats(pool, workspace, 1, &senders).await?;
        make_lists(pool, workspace, &lists).await?;
        Ok(Self { people, one: one.into(), spread: spread.into(), audiences, history: history[0], lists })
    }
}

/// Whoever has the longer list is in the chats of the shorter ones as well.
async fn make_lists(
    pool: &PgPool,
    workspace: WorkspaceId,
    lists: &[(usize, Vec<Person>)],
) -> anyhow::Result<()> {
    let mut made = 0;
    for (at, (chats, _)) in lists.iter().enumerate() {
        let members: Vec<UserId> = lists[at..].iter().flat_map(|(_, people)| ids(people)).collect();
        let chats_of_all = store::insert_chats(pool, workspace, chats - made, &members).await?;
        store::fill(pool, &chats_of_all, members[0], LISTED_MESSAGES, LISTED_READ).await?;
        made = *chats;
    }
    Ok(())
}

fn ids(people: &[Person]) -> Vec<UserId> {
    people.iter().map(|person| person.id).collect()
}
