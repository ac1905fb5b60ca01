//! Searches among many messages, and what the index of words costs a send.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::{
    bench::{Bench, FEW},
    http::Connection,
    report::{Report, Table, count, number},
    requests,
    samples::Samples,
    scene::Person,
    site::Site,
    store,
};

/// Chats that are searched, and how many of them the second reader is in.
const CHATS: usize = 200;
const FEW_CHATS: usize = 5;
const SENDERS: usize = 64;
/// Searches that count, at least.
const SEARCHES_MIN: usize = 100;

/// What is searched for: its name, the query, and the order.
const SEARCHES: [(&str, &str, &str); 12] = [
    ("a word in 60 % of all messages", "the", "newest"),
    ("the same, best first", "the", "best"),
    ("a word in 4 %", "w30", "newest"),
    ("a word in 0.2 %", "w500", "newest"),
    ("a word in 1 of 100,000", "xylophone", "newest"),
    ("a word in none", "nowhere", "newest"),
    ("two words of 60 % and 4 %", "the+w30", "newest"),
    ("a phrase of frequent words", "%22w1+w2%22", "newest"),
    ("a beginning", "w29*", "newest"),
    ("two characters, frequent", "%E4%B8%80%E4%B8%80", "newest"),
    ("two characters, rare", "%E4%B9%85%E4%B9%86", "newest"),
    ("one character", "%E4%B9%85", "newest"),
];

pub(super) async fn measure(bench: &mut Bench, report: &mut Report) -> anyhow::Result<()> {
    let each = bench.plan.searched / u32::try_from(CHATS)?;
    let stored = CHATS * usize::try_from(each)?;
    eprintln!("search: {} messages are put in", count(stored));
    let folder = bench.folder.path().to_owned();
    let site = Site::start(&bench.cluster, "searched", folder.clone(), FEW).await?;
    let readers = &site.scene.people[..2];
    let chats = store::insert_searched(&site.pool, readers, CHATS, FEW_CHATS).await?;
    store::talk(&site.pool, &chats, readers[0].id, each).await?;
    store::settle(&site.pool).await?;
    let mut rows = Vec::new();
    for (name, query, sort) in SEARCHES {
        let many = latencies(&site, &readers[0], query, sort, bench.plan.window).await?;
        let few = latencies(&site, &readers[1], query, sort, bench.plan.window).await?;
        let cell = |latencies: &[Duration], part| number(at(latencies, part).as_secs_f64() * 1e3);
        let cells = [cell(&many, 0.5), cell(&many, 0.99), cell(&few, 0.5), cell(&few, 0.99)];
        rows.push([name.to_owned()].into_iter().chain(cells).collect());
    }
    report.tables.push(Table {
        title: format!("Searches among {} messages", count(stored)),
        note: format!(
            "In ms, one after the other, 50 results; by somebody in {CHATS} chats and by somebody in {FEW_CHATS}."
        ),
        header: vec!["looked for", "200 chats, p50", "p99", "5 chats, p50", "p99"],
        rows,
    });
    drop(site);
    sends(bench, report).await
}

/// How long each search takes, shortest first.
async fn latencies(
    site: &Site,
    reader: &Person,
    query: &str,
    sort: &str,
    window: Duration,
) -> anyhow::Result<Vec<Duration>> {
    let request = requests::get(&format!("/api/search?q={query}&sort={sort}"), &reader.token);
    let mut connection = Connection::open(site.rest.address).await?;
    // The statements are planned.
    for _ in 0..5 {
        connection.expect(&request, 200).await?;
    }
    let (begin, mut latencies) = (Instant::now(), Vec::new());
    while begin.elapsed() < window || latencies.len() < SEARCHES_MIN {
        let asked = Instant::now();
        connection.expect(&request, 200).await?;
        latencies.push(asked.elapsed());
    }
    latencies.sort_unstable();
    Ok(latencies)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index into some thousand latencies"
)]
fn at(latencies: &[Duration], part: f64) -> Duration {
    let index = (latencies.len() as f64 * part) as usize;
    latencies.get(index.min(latencies.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// Sends with the index of words, and without.
async fn sends(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let folder = bench.folder.path();
    let with = Site::start(&bench.cluster, "with_index", folder.to_owned(), FEW).await?;
    let without = Site::start(&bench.cluster, "without_index", folder.to_owned(), FEW).await?;
    store::drop_index_of_words(&without.pool).await?;
    let mut rates: [Samples; 2] = Default::default();
    let mut taken: [Samples; 2] = Default::default();
    for round in 1..=bench.plan.rounds {
        eprintln!("search: round {round} of {}", bench.plan.rounds);
        for (at, site) in [&with, &without].into_iter().enumerate() {
            let run = site.load(site.senders(SENDERS, true), bench.plan.warm_up, bench.plan.window).await?;
            ensure!(run.done.refused == 0, "sends were refused");
            rates[at].push(run.done.rate());
            taken[at].push(run.done.micros_each(run.used.rest + run.used.postgres));
        }
    }
    let row =
        |name: &str, at: usize| vec![name.to_owned(), number(rates[at].median()), number(taken[at].median())];
    report.tables.push(Table {
        title: "What the index of words costs a send".into(),
        note: format!("{SENDERS} senders over 100 chats; CPU of fechatter_server and PostgreSQL."),
        header: vec!["index", "sends/s", "CPU a send, µs"],
        rows: vec![row("with", 0), row("without", 1)],
    });
    Ok(())
}
