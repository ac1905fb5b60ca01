//! The operator's commands about workspaces.

use std::io::{self, Write};

use anyhow::Context;
use clap::Subcommand;
use fechatter_server::{
    config::Settings,
    workspaces::{store, types::WorkspaceLine},
};

use crate::database;

/// What can be done with workspaces.
#[derive(Debug, Subcommand)]
pub enum WorkspaceCommand {
    /// List all workspaces, oldest first; also those that are deleted and not purged yet.
    List {
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
}

/// Does it, on the database of the settings or else on the one of `fechatter up`.
///
/// # Errors
/// A database that does not answer.
pub async fn run(settings: &Settings, command: WorkspaceCommand) -> anyhow::Result<()> {
    let pool = database::pool(settings, "fechatter workspace")?;
    let WorkspaceCommand::List { json } = command;
    let workspaces = store::all(&pool).await.context("the database does not answer")?;
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&workspaces)?)?;
        return Ok(());
    }
    for WorkspaceLine { id, name, members, chats, owners, deleted_at, .. } in &workspaces {
        let deleted = if deleted_at.is_some() { "  deleted" } else { "" };
        let owners = owners.join(", ");
        writeln!(out, "{id}  {members:>6} people  {chats:>6} chats  {name}  ({owners}){deleted}")?;
    }
    Ok(())
}
