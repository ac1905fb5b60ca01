//! Our two servers as two processes, on a database with people in it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use chat_core::ids::ChatId;
use fechatter_server::{auth::issuer::make_key_files, vault::ring::make_file_keys};
use sqlx::PgPool;

use crate::{
    cluster::Cluster,
    load::{Done, Load},
    process::Process,
    requests::{Requests, Sends},
    scene::Scene,
    store, usage,
};

/// How long, and by how many, a site is used before anything counts.
const WEAR_IN: Duration = Duration::from_secs(3);
const WEAR_IN_SENDERS: usize = 16;

/// A site under load.
pub(crate) struct Site {
    pub(crate) rest: Process,
    pub(crate) notify: Process,
    pub(crate) scene: Scene,
    pub(crate) pool: PgPool,
    pub(crate) database_url: String,
    postmaster: u32,
    notify_variables: Vec<(&'static str, String)>,
    folder: PathBuf,
}

/// CPU time, by whom.
#[derive(Clone, Copy)]
pub(crate) struct Used {
    pub(crate) rest: Duration,
    pub(crate) notify: Duration,
    pub(crate) postgres: Duration,
    /// The load generator itself.
    pub(crate) own: Duration,
}

/// What a load did, and what it took.
pub(crate) struct Run {
    pub(crate) done: Done,
    pub(crate) used: Used,
}

impl Run {
    /// The load generator's part of one core, from 0 to the number of cores.
    pub(crate) fn own_share(&self) -> f64 {
        self.used.own.as_secs_f64() / self.done.elapsed.as_secs_f64()
    }
}

impl Site {
    /// Makes a database with so many messages in each of the chats that messages are spread over, and starts the
    /// servers on it.
    pub(crate) async fn start(
        cluster: &Cluster,
        name: &str,
        folder: PathBuf,
        stored_each: u32,
    ) -> anyhow::Result<Self> {
        let (database_url, pool) = store::make_database(cluster, name).await?;
        let (private, public) = make_key_files(&folder.join(format!("{name}-keys")))?;
        let files = folder.join(format!("{name}-files"));
        let file_keys = folder.join(format!("{name}-keys")).join("files.pem");
        make_file_keys(&file_keys)?;
        let scene = Scene::make(&pool, private.clone(), stored_each).await?;
        let text = |path: PathBuf| path.display().to_string();
        let rest_variables = [
            ("FECHATTER_SERVER__PORT", "0".to_owned()),
            ("FECHATTER_SERVER__ADMIN_PORT", "0".to_owned()),
            // All clients come from here.
            ("FECHATTER_LIMITS__CONNECTIONS_PER_ADDRESS", "0".to_owned()),
            ("FECHATTER_DATABASE__URL", database_url.clone()),
            ("FECHATTER_AUTH__PRIVATE_KEY_FILE", text(private)),
            ("FECHATTER_FILES__KEY_FILE", text(file_keys)),
            ("FECHATTER_FILES__FOLDER", text(files)),
            ("FECHATTER_LIMITS__ENABLED", "false".to_owned()),
        ];
        let notify_variables = vec![
            ("NOTIFY_SERVER__PORT", "0".to_owned()),
            ("NOTIFY_SERVER__ADMIN_PORT", "0".to_owned()),
            ("NOTIFY_LIMITS__CONNECTIONS_PER_ADDRESS", "0".to_owned()),
            ("NOTIFY_DATABASE__URL", database_url.clone()),
            ("NOTIFY_AUTH__PUBLIC_KEY_FILE", text(public)),
            ("NOTIFY_LIMITS__ENABLED", "false".to_owned()),
        ];
        let site = Self {
            rest: Process::start("fechatter_server", &[], &rest_variables, &folder).await?,
            notify: Process::start("notify_server", &[], &notify_variables, &folder).await?,
            scene,
            pool,
            database_url,
            postmaster: cluster.postmaster,
            notify_variables,
            folder,
        };
        site.wear_in().await?;
        Ok(site)
    }

    /// Sends for a while, so that PostgreSQL plans for tables with something in them, as it does on any site that
    /// has been in use for some minutes: until the first statistics it plans for empty ones.
    async fn wear_in(&self) -> anyhow::Result<()> {
        store::settle(&self.pool).await?;
        self.load(self.senders(WEAR_IN_SENDERS, true), WEAR_IN / 2, WEAR_IN / 2).await?;
        store::settle(&self.pool).await?;
        Ok(())
    }

    /// Puts a fresh `notify_server` in the place of the one that runs, whose memory has been used.
    pub(crate) async fn renew_notify(&mut self) -> anyhow::Result<()> {
        self.notify = Process::start("notify_server", &[], &self.notify_variables, &self.folder).await?;
        Ok(())
    }

    fn used(&self) -> anyhow::Result<Used> {
        Ok(Used {
            rest: usage::cpu(self.rest.id())?,
            notify: usage::cpu(self.notify.id())?,
            postgres: usage::cpu_with_children(self.postmaster)?,
            own: usage::cpu(std::process::id())?,
        })
    }

    /// What everybody uses while `work` is done.
    pub(crate) async fn watch<T>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<(T, Used)> {
        let before = self.used()?;
        let done = work.await?;
        let after = self.used()?;
        let used = Used {
            rest: after.rest.saturating_sub(before.rest),
            notify: after.notify.saturating_sub(before.notify),
            postgres: after.postgres.saturating_sub(before.postgres),
            own: after.own.saturating_sub(before.own),
        };
        Ok((done, used))
    }

    /// Lets clients ask the REST server in closed loops.
    pub(crate) async fn load(
        &self,
        requests: impl IntoIterator<Item = impl Requests>,
        warm_up: Duration,
        window: Duration,
    ) -> anyhow::Result<Run> {
        let mut load = Load::start(self.rest.address, requests).await?;
        load.run_for(warm_up).await?;
        let (done, used) = self.watch(load.run_for(window)).await?;
        load.stop().await?;
        Ok(Run { done, used })
    }

    /// The clients of so many senders, who send to one chat or round many.
    pub(crate) fn senders(&self, count: usize, spread: bool) -> Vec<Sends> {
        self.clients(count, spread, Sends::new)
    }

    /// The same, with a `client_id` for each message.
    pub(crate) fn keyed_senders(&self, count: usize, spread: bool) -> Vec<Sends> {
        self.clients(count, spread, Sends::keyed)
    }

    fn clients(&self, count: usize, spread: bool, make: fn(&str, Arc<[ChatId]>, u64) -> Sends) -> Vec<Sends> {
        let chats = if spread { &self.scene.spread } else { &self.scene.one };
        // Each begins at another chat.
        let people = self.scene.people[..count].iter().zip((0..).step_by(7));
        people.map(|(person, first)| make(&person.token, chats.clone(), first)).collect()
    }
}
