//! Who is writing: told to the others at most once, and never stored.

mod store;

use std::time::Duration;

use chat_core::{
    event::EphemeralKind,
    ids::{ChatId, UserId},
};
use moka::future::Cache;

use crate::{
    access::{ChatClaim, SendTo},
    error::Error,
    state::AppState,
};

/// The least time between two that are told of the same person and chat; clients show somebody for longer than this.
const PAUSE: Duration = Duration::from_secs(2);
/// People and chats remembered; of the others it may be told more often.
const TOLD: u64 = 10_000;

/// Of whom it was told a moment ago; cheap to clone.
#[derive(Clone)]
pub(crate) struct Told(Cache<(ChatId, UserId), ()>);

impl Default for Told {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(TOLD).time_to_live(PAUSE).build())
    }
}

/// Tells the other members that somebody is writing, unless it has just been told.
pub(super) async fn tell(state: &AppState, claim: &ChatClaim<SendTo>) -> Result<(), Error> {
    let mut connection = state.pool.acquire().await?;
    claim.confirm(&mut connection).await?.refuse_archived()?;
    let entry = state.typing.0.entry((claim.chat_id(), claim.user_id())).or_insert(()).await;
    if entry.is_fresh() {
        store::tell(&mut connection, EphemeralKind::Typing, claim).await?;
    }
    Ok(())
}
