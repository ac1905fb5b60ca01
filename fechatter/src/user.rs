//! The operator's commands about accounts.

use std::io::{self, Write};

use anyhow::Context;
use chat_core::{clock::Clock, ids::UserId};
use clap::Subcommand;
use fechatter_server::{
    accounts::{store, types::AccountLine},
    config::Settings,
};
use sqlx::PgPool;

use crate::database;

/// What can be done with accounts. `WHO` is an id, an e-mail address or a username.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// List all accounts, oldest first.
    List {
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// End all sessions of a person, and refuse them from now on.
    Suspend {
        /// An id, an e-mail address or a username.
        who: String,
    },
    /// Let a suspended person sign in again.
    Restore {
        /// An id, an e-mail address or a username.
        who: String,
    },
    /// Delete an account for good; its messages stay, by `Deleted user`.
    Delete {
        /// An id, an e-mail address or a username.
        who: String,
    },
}

/// Does it, on the database of the settings or else on the one of `fechatter up`.
///
/// # Errors
/// A database that does not answer, nobody of that name, or the last owner of a workspace with other people.
pub async fn run(settings: &Settings, clock: &Clock, command: UserCommand) -> anyhow::Result<()> {
    let pool = database::pool(settings, "fechatter user")?;
    let now = clock.now();
    match command {
        UserCommand::List { json } => return print(&store::list(&pool).await?, json),
        UserCommand::Suspend { who } => store::suspend(&pool, find(&pool, &who).await?, now).await?,
        UserCommand::Restore { who } => store::restore(&pool, find(&pool, &who).await?, now).await?,
        UserCommand::Delete { who } => store::delete(&pool, find(&pool, &who).await?, now).await?,
    }
    writeln!(io::stdout(), "Done.")?;
    Ok(())
}

async fn find(pool: &PgPool, who: &str) -> anyhow::Result<UserId> {
    let found = store::find(pool, who).await.context("the database does not answer")?;
    found.context("nobody has an account by this id, e-mail address or username")
}

fn print(accounts: &[AccountLine], json: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(accounts)?)?;
        return Ok(());
    }
    for AccountLine { id, username, email, full_name, status, .. } in accounts {
        writeln!(out, "{id}  {:<9}  {username:<32}  {email}  {full_name}", format!("{status:?}"))?;
    }
    Ok(())
}
