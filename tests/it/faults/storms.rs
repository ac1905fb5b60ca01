//! The promise under faults: nothing is lost, reordered or leaked, whatever breaks.

use std::{env, time::Duration};

use fechatter_tests::{cluster, history::Step};
use sqlx::{Connection, PgConnection};

use super::storm::{Fault, Storm};

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_network_loses_nothing() {
    let faults = [Fault::CutStreams, Fault::CutRequests, Fault::LoseAnswers, Fault::StallReaders];
    Storm::of(&faults).rage().await.assert_kept();
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_killed_lose_nothing() {
    let faults = [Fault::KillNotify, Fault::KillRest, Fault::KillListeners, Fault::CutStreams];
    Storm::of(&faults).rage().await.assert_kept();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_that_is_killed_loses_nothing() {
    let faults = [Fault::KillPostgres, Fault::RestartPostgres, Fault::CutStreams];
    Storm::of(&faults).rage_alone().await.assert_kept();
}

/// Without the bell, by the poll alone, while a transaction that writes stays open in another database.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_bell_and_beside_a_long_transaction_nothing_is_lost() {
    let other = cluster::fresh_database().await;
    let mut neighbour = PgConnection::connect(&other).await.expect("a connection");
    sqlx::raw_sql(
        "begin; select begin_write(null); insert into workspaces (id, name) values (gen_random_uuid(), 'Open');
         notify fechatter_events",
    )
    .execute(&mut neighbour)
    .await
    .expect("an open transaction");
    let storm = Storm::of(&[Fault::CutStreams, Fault::StallReaders]);
    // Nobody rings in the other database.
    let settings =
        vec![("FECHATTER_DATABASE__LISTEN_URL", other.clone()), ("NOTIFY_DATABASE__LISTEN_URL", other)];
    Storm { settings, ..storm }.rage().await.assert_kept();
    sqlx::raw_sql("commit").execute(&mut neighbour).await.expect("it was open all the time");
}

/// Resets are told and excused: clients are told to reload when they are far behind, and when the epoch changes.
#[tokio::test(flavor = "multi_thread")]
async fn resets_leave_no_hole() {
    let storm = Storm::of(&[Fault::CutStreams, Fault::StallReaders, Fault::KillNotify, Fault::RotateEpoch]);
    let settings = vec![("NOTIFY_STREAM__REPLAY_MAX", "20".to_owned())];
    let history = Storm { settings, ..storm }.rage().await;
    history.assert_kept();
    for client in &history.clients {
        let reloaded = client.steps.iter().any(|step| matches!(step, Step::Reloaded(_)));
        assert!(reloaded, "{} was not told of another epoch", client.name);
    }
}

/// `make chaos`: everything at once, for as long as `CHAOS_SECONDS` says.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make chaos"]
async fn chaos() {
    let number = |name: &str| env::var(name).ok().map(|value| value.parse().expect("a number"));
    let seconds = number("CHAOS_SECONDS").unwrap_or(480).min(600);
    let often = [
        Fault::CutStreams,
        Fault::CutRequests,
        Fault::LoseAnswers,
        Fault::StallReaders,
        Fault::KillNotify,
        Fault::KillRest,
        Fault::KillListeners,
    ];
    // PostgreSQL needs a while to come back, and nothing happens meanwhile.
    let seldom = [Fault::KillPostgres, Fault::RestartPostgres, Fault::RotateEpoch];
    let storm = Storm::of(&[&often[..], &often, &often, &seldom].concat());
    let seed = number("CHAOS_SEED").unwrap_or(storm.seed);
    let storm = Storm { seed, lasting: Duration::from_secs(seconds), ..storm };
    storm.rage_alone().await.assert_kept();
}
