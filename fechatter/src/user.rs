//! The operator's commands about accounts.

use std::io::{self, Write};

use anyhow::Context;
use chat_core::{clock::Clock, database::Pool, ids::UserId};
use clap::{Args, Subcommand};
use fechatter_server::{
    accounts::{
        store,
        types::{AccountDraft, AccountLine, made_up_password, typed_password},
    },
    auth::types::Account,
    config::{AuthSettings, Settings},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

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
    /// Open an account; prints its password, once, unless it is read from standard input.
    Create {
        /// The e-mail address.
        #[arg(long)]
        email: String,
        /// The full name.
        #[arg(long)]
        name: String,
        /// The handle; derived from the address when absent.
        #[arg(long)]
        username: Option<String>,
        /// Where the password comes from.
        #[command(flatten)]
        password: PasswordArguments,
        /// As a JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Give a person another password, and end all their sessions; prints it, once, unless it is read from standard
    /// input.
    ResetPassword {
        /// An id, an e-mail address or a username.
        who: String,
        /// Where the password comes from.
        #[command(flatten)]
        password: PasswordArguments,
        /// As a JSON object.
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

/// Where a password comes from.
#[derive(Debug, Args)]
pub struct PasswordArguments {
    /// Read the password from the first line of standard input, in place of making one up.
    #[arg(long)]
    password_stdin: bool,
}

impl PasswordArguments {
    fn choose(&self, settings: &AuthSettings) -> anyhow::Result<Chosen> {
        if !self.password_stdin {
            return Ok(Chosen { password: made_up_password(settings), made_up: true });
        }
        let mut line = String::new();
        io::stdin().read_line(&mut line).context("no password can be read")?;
        Ok(Chosen { password: typed_password(&line), made_up: false })
    }
}

struct Chosen {
    password: SecretString,
    made_up: bool,
}

impl Chosen {
    /// What is told of it: only what nobody knows yet.
    fn told(&self) -> Option<&str> {
        self.made_up.then(|| self.password.expose_secret())
    }
}

/// An account that was opened.
#[derive(Serialize)]
struct Opened<'a> {
    #[serde(flatten)]
    account: &'a Account,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
}

/// A password that was replaced.
#[derive(Serialize)]
struct Replaced<'a> {
    id: UserId,
    sessions_ended: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
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
        UserCommand::Create { email, name, username, password, json } => {
            let chosen = password.choose(&settings.auth)?;
            let password = chosen.password.clone();
            let draft = AccountDraft { email, full_name: name, username, password };
            let account = store::open(&pool, &settings.auth, draft, now).await?;
            return print_opened(&Opened { account: &account, password: chosen.told() }, json);
        }
        UserCommand::ResetPassword { who, password, json } => {
            let id = find(&pool, &who).await?;
            let chosen = password.choose(&settings.auth)?;
            let password = chosen.password.clone();
            let sessions_ended = store::reset_password(&pool, &settings.auth, id, password, now).await?;
            return print_replaced(&Replaced { id, sessions_ended, password: chosen.told() }, json);
        }
        UserCommand::Suspend { who } => store::suspend(&pool, find(&pool, &who).await?, now).await?,
        UserCommand::Restore { who } => store::restore(&pool, find(&pool, &who).await?, now).await?,
        UserCommand::Delete { who } => store::delete(&pool, find(&pool, &who).await?, now).await?,
    }
    writeln!(io::stdout(), "Done.")?;
    Ok(())
}

async fn find(pool: &Pool, who: &str) -> anyhow::Result<UserId> {
    let found = store::find(pool, who).await.context("the database does not answer")?;
    found.context("nobody has an account by this id, e-mail address or username")
}

fn print_opened(opened: &Opened<'_>, json: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(opened)?)?;
        return Ok(());
    }
    writeln!(out, "Opened {}, {}.", opened.account.id, opened.account.username)?;
    print_password(&mut out, opened.password)
}

fn print_replaced(replaced: &Replaced<'_>, json: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(replaced)?)?;
        return Ok(());
    }
    writeln!(out, "Done; sessions that ended: {}.", replaced.sessions_ended)?;
    print_password(&mut out, replaced.password)
}

fn print_password(out: &mut impl Write, password: Option<&str>) -> anyhow::Result<()> {
    if let Some(password) = password {
        writeln!(out, "The password, which is shown only now: {password}")?;
    }
    Ok(())
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
