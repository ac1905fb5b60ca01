//! A storm: a workload, faults while it lasts, calm, and then the question whether every promise was kept.

use std::time::Duration;

use fechatter_tests::{
    cluster,
    fleet::{Fleet, Kind},
    history::History,
    proxy::Flow,
    workload::Workload,
};
use local_postgres::{LocalPostgres, Options};
use rand::{
    RngExt, SeedableRng,
    rngs::StdRng,
    seq::{IndexedRandom, SliceRandom},
};
use sqlx::{Connection, PgConnection, PgPool, postgres::PgPoolOptions};
use tokio::time::{Instant, sleep};

/// How long the witnesses may take to come to the end in the calm.
const PATIENCE: Duration = Duration::from_mins(2);

/// What takes a fault so long is said, for the servers may have been away all that time.
const LONG: Duration = Duration::from_secs(5);

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Streams are cut, each by chance.
    CutStreams,
    /// Requests are cut, each by chance, before or after they were served.
    CutRequests,
    /// For a moment every answer is lost.
    LoseAnswers,
    /// For a moment nobody reads from a stream server.
    StallReaders,
    /// Stream servers are killed, and started again.
    KillNotify,
    /// REST servers are killed, and started again.
    KillRest,
    /// The connections that listen for the bell are terminated.
    KillListeners,
    /// PostgreSQL is killed, and started again.
    KillPostgres,
    /// PostgreSQL is stopped in order, and started again.
    RestartPostgres,
    /// The log gets a new epoch, as after a restore.
    RotateEpoch,
}

/// A storm to come.
pub(super) struct Storm {
    pub(super) seed: u64,
    pub(super) lasting: Duration,
    pub(super) faults: Vec<Fault>,
    /// Settings of the servers, as variables.
    pub(super) settings: Vec<(&'static str, String)>,
    /// What is done to the schema first.
    pub(super) sabotage: &'static str,
}

impl Storm {
    /// A short one of these faults.
    pub(super) fn of(faults: &[Fault]) -> Self {
        Self {
            seed: rand::random(),
            lasting: Duration::from_secs(5),
            faults: faults.to_vec(),
            settings: Vec::new(),
            sabotage: "",
        }
    }

    /// The storm on a database of the cluster that all tests share.
    pub(super) async fn rage(self) -> History {
        let url = cluster::fresh_database().await;
        self.rage_on(&url, None).await
    }

    /// The storm on a PostgreSQL of its own, which keeps what it has committed when it is killed.
    pub(super) async fn rage_alone(self) -> History {
        let options = Options::durable(Options::temporary().expect("a folder").dir);
        let options = Options { remove_on_exit: true, ..options };
        let mut postgres =
            tokio::task::block_in_place(|| LocalPostgres::start(&options)).expect("a PostgreSQL");
        let url = postgres.url("postgres");
        let mut connection = PgConnection::connect(&url).await.expect("a connection");
        cluster::bring_schema(&mut connection).await;
        drop(connection);
        let history = self.rage_on(&url, Some(&mut postgres)).await;
        tokio::task::block_in_place(|| postgres.stop()).expect("a stop");
        history
    }

    async fn rage_on(self, url: &str, mut postgres: Option<&mut LocalPostgres>) -> History {
        eprintln!("seed {}: {:?} for {:?}", self.seed, self.faults, self.lasting);
        let pool = PgPoolOptions::new().max_connections(1).connect(url).await.expect("a connection");
        sqlx::raw_sql(self.sabotage).execute(&pool).await.expect("sabotage");
        let settings: Vec<_> = self.settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut fleet = Fleet::start(url, &settings).await;
        let workload = Workload::start(fleet.doors(), self.seed).await;
        let mut rng = StdRng::seed_from_u64(self.seed);
        // Each once, then by chance.
        let mut due = self.faults.clone();
        due.shuffle(&mut rng);
        let end = Instant::now() + self.lasting;
        while Instant::now() < end || !due.is_empty() {
            sleep(Duration::from_millis(rng.random_range(50..400))).await;
            if let Some(fault) = due.pop().or_else(|| self.faults.choose(&mut rng).copied()) {
                let struck = Instant::now();
                strike(fault, &mut fleet, &pool, postgres.as_deref_mut(), &mut rng).await;
                if struck.elapsed() > LONG {
                    eprintln!(
                        "{fault:?} took {:?}, {:?} before the end",
                        struck.elapsed(),
                        end - Instant::now()
                    );
                }
            }
        }
        let history = workload.finish(PATIENCE).await;
        eprintln!("seed {}: {history}", self.seed);
        if self.sabotage.is_empty() {
            assert_eq!(fleet.errors(), Vec::<String>::new());
        }
        history
    }
}

async fn strike(
    fault: Fault,
    fleet: &mut Fleet,
    pool: &PgPool,
    postgres: Option<&mut LocalPostgres>,
    rng: &mut StdRng,
) {
    let share = rng.random_range(0.2..=1.0);
    let moment = Duration::from_millis(rng.random_range(50..400));
    let all = rng.random_bool(0.3);
    match fault {
        Fault::CutStreams => fleet.notify.iter().for_each(|post| post.proxy.cut(share)),
        Fault::CutRequests => fleet.rest.iter().for_each(|post| post.proxy.cut(share)),
        Fault::LoseAnswers => for_a_moment(&fleet.rest[0].proxy, Flow::Lost, moment).await,
        Fault::StallReaders => for_a_moment(&fleet.notify[0].proxy, Flow::Stalled, moment * 4).await,
        Fault::KillNotify => fleet.restart(Kind::Notify, all, rng),
        Fault::KillRest => fleet.restart(Kind::Rest, all, rng),
        Fault::KillListeners => {
            let listeners = "select pg_terminate_backend(pid) from pg_stat_activity
                             where datname = current_database() and application_name like '% listen'";
            execute(pool, listeners).await;
        }
        Fault::KillPostgres => restart(postgres, LocalPostgres::kill, moment).await,
        Fault::RestartPostgres => restart(postgres, LocalPostgres::stop, moment).await,
        Fault::RotateEpoch => execute(pool, "select rotate_epoch(epoch) from stream_epoch").await,
    }
}

/// Until it is done: the pool may hold a connection to a PostgreSQL that was killed.
async fn execute(pool: &PgPool, sql: &'static str) {
    while let Err(error) = sqlx::raw_sql(sql).execute(pool).await {
        eprintln!("once more, after: {error}");
        sleep(Duration::from_millis(100)).await;
    }
}

async fn for_a_moment(proxy: &fechatter_tests::proxy::Proxy, flow: Flow, moment: Duration) {
    proxy.set(flow);
    sleep(moment).await;
    proxy.set(Flow::Open);
}

async fn restart(
    postgres: Option<&mut LocalPostgres>,
    end: impl FnOnce(&mut LocalPostgres) -> Result<(), local_postgres::Error>,
    moment: Duration,
) {
    let postgres = postgres.expect("a PostgreSQL of its own");
    tokio::task::block_in_place(|| end(postgres)).expect("an end");
    sleep(moment).await;
    tokio::task::block_in_place(|| postgres.start_again()).expect("a start");
}
