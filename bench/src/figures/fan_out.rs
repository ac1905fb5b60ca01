//! From a send to many streams, beside a process that writes to raw sockets.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::ensure;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    audience::Audience,
    bench::Bench,
    http::Connection,
    report::{Bound, Figure, Limit, Report, Table, Target, Unit, count, shown},
    requests::{self, Sends},
    samples::Samples,
    usage,
};

/// Messages of a burst that are on their way at the same time.
const UNDER_WAY: usize = 8;
/// Streams that are opened at once where not the opening counts.
const GENTLY: usize = 100;
/// Until streams that have just been opened are idle.
const SETTLE: Duration = Duration::from_secs(2);
/// Between single messages.
const PAUSE: Duration = Duration::from_millis(100);

/// What was measured with one number of streams.
#[derive(Default)]
struct Found {
    streams: usize,
    raw: Reached,
    ours: Reached,
    /// Deliveries a second of a single frame to raw sockets.
    raw_single: Samples,
    /// Raw sockets that get the frames of a burst in one write.
    raw_together: Samples,
    kilobytes: Samples,
    refused: usize,
    /// Of `notify_server`, for each delivery of a burst, in microseconds.
    cpu: Samples,
    own: Samples,
}

/// How fast streams are reached.
#[derive(Default)]
struct Reached {
    /// Until all are open, in seconds.
    opening: Samples,
    /// Until the last of them has a single message, in milliseconds.
    last: Samples,
    /// Deliveries a second in a burst.
    burst: Samples,
}

pub(super) async fn measure(bench: &mut Bench, report: &mut Report) -> anyhow::Result<()> {
    let audiences = bench.site.scene.audiences.iter();
    let mut found: Vec<Found> =
        audiences.map(|(streams, _)| Found { streams: *streams, ..Found::default() }).collect();
    for round in 1..=bench.plan.rounds {
        for (at, found) in found.iter_mut().enumerate() {
            eprintln!("fan-out to {}: round {round} of {}", found.streams, bench.plan.rounds);
            raw(bench, found).await?;
            ours(bench, at, found).await?;
        }
    }
    for found in &found {
        put_down(found, report);
    }
    report.tables.push(table(&found));
    Ok(())
}

/// Messages of a burst to so many streams.
fn burst(bench: &Bench, streams: usize) -> u64 {
    let streams = u64::try_from(streams).unwrap_or(u64::MAX);
    // Enough to keep some under way for a while.
    (bench.plan.burst_deliveries / streams).clamp(2 * UNDER_WAY as u64, 1_000)
}

async fn raw(bench: &Bench, found: &mut Found) -> anyhow::Result<()> {
    let requests = vec![requests::stream("none"); found.streams];
    let audience = open(bench.bare.addresses.streams, requests, &mut found.raw).await?;
    let mut connection = Connection::open(bench.bare.address()).await?;
    let post = |path: String| requests::post(&path, "", "");
    let once = post("/streams/1".into());
    let mut last = Samples::default();
    for _ in 0..bench.plan.single_messages {
        last.push(single(&audience, &mut connection, &once, 204).await?.as_secs_f64() * 1e3);
    }
    found.raw.last.push(last.median());
    found.raw_single.push(exact(audience.size()) / last.median() * 1e3);
    let messages = burst(bench, found.streams);
    for (path, rates) in [
        (format!("/streams/{messages}"), &mut found.raw.burst),
        (format!("/streams/{messages}/together"), &mut found.raw_together),
    ] {
        audience.expect(messages);
        let begin = Instant::now();
        connection.expect(&post(path), 204).await?;
        rates.push(rate(&audience, messages, audience.reached().await? - begin));
    }
    audience.close().await;
    bench.bare.forget_streams().await
}

async fn ours(bench: &mut Bench, at: usize, found: &mut Found) -> anyhow::Result<()> {
    // Memory that streams of a former round have left would hide what these take.
    bench.site.renew_notify().await?;
    let site = &bench.site;
    let stream = |at: usize| requests::stream(&site.scene.people[at].token);
    // What the first stream brings along belongs to no stream.
    Audience::open(site.notify.address, vec![stream(0)], 1).await?.close().await;
    sleep(SETTLE / 4).await;
    let before = usage::resident(site.notify.id())?;
    let requests = (0..found.streams).map(stream).collect();
    let mut audience = open(site.notify.address, requests, &mut found.ours).await?;
    found.refused += audience.refused;
    if audience.refused > 0 {
        let why = audience.first_failure();
        eprintln!(
            "{} of {} streams were refused: {why}; all are opened again, {GENTLY} at once",
            audience.refused, found.streams
        );
        audience.close().await;
        let requests = (0..found.streams).map(stream).collect();
        audience = Audience::open(site.notify.address, requests, GENTLY).await?;
        ensure!(audience.refused == 0, "and again: {}", audience.first_failure());
    }
    sleep(SETTLE).await;
    let grown = usage::resident(site.notify.id())?.saturating_sub(before);
    found.kilobytes.push(per_stream(grown, found.streams));

    let chats: std::sync::Arc<[_]> = [site.scene.audiences[at].1].into();
    let sends = |person: usize| Sends::new(&site.scene.people[person].token, chats.clone(), 0);
    let mut connection = Connection::open(site.rest.address).await?;
    let once = sends(0).numbered(0).to_vec();
    let mut last = Samples::default();
    for _ in 0..bench.plan.single_messages {
        last.push(single(&audience, &mut connection, &once, 201).await?.as_secs_f64() * 1e3);
    }
    found.ours.last.push(last.median());

    let messages = burst(bench, found.streams);
    let mut senders = Vec::new();
    for person in 0..UNDER_WAY {
        senders.push((Connection::open(site.rest.address).await?, sends(person)));
    }
    let (taken, used) = site.watch(send_in_turn(&audience, senders, messages)).await?;
    found.ours.burst.push(rate(&audience, messages, taken));
    let deliveries = audience.size() * messages;
    found.cpu.push(used.notify.as_secs_f64() * 1e6 / exact(deliveries));
    found.own.push(used.own.as_secs_f64() / taken.as_secs_f64());
    audience.close().await;
    Ok(())
}

async fn open(
    address: SocketAddr,
    requests: Vec<Vec<u8>>,
    reached: &mut Reached,
) -> anyhow::Result<Audience> {
    let all = requests.len();
    let audience = Audience::open(address, requests, all).await?;
    reached.opening.push(audience.opening.as_secs_f64());
    Ok(audience)
}

/// From the moment before a request is written until the last stream has its message.
async fn single(
    audience: &Audience,
    connection: &mut Connection,
    request: &[u8],
    status: u16,
) -> anyhow::Result<Duration> {
    sleep(PAUSE).await;
    audience.expect(1);
    let begin = Instant::now();
    connection.expect(request, status).await?;
    Ok(audience.reached().await? - begin)
}

/// Sends so many messages, a few of them under way at a time, until the last stream has the last message.
async fn send_in_turn(
    audience: &Audience,
    senders: Vec<(Connection, Sends)>,
    messages: u64,
) -> anyhow::Result<Duration> {
    audience.expect(messages);
    let turns = audience.turns(senders.len());
    let begin = Instant::now();
    let mut work = JoinSet::new();
    let shares = u64::try_from(senders.len())?;
    for ((mut connection, mut sends), first) in senders.into_iter().zip(0..) {
        let turns = turns.clone();
        work.spawn(async move {
            for number in (first..messages).step_by(usize::try_from(shares)?) {
                turns.acquire().await?.forget();
                connection.expect(sends.numbered(number), 201).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = work.join_next().await {
        ended??;
    }
    Ok(audience.reached().await? - begin)
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
fn exact(count: u64) -> f64 {
    count as f64
}

fn rate(audience: &Audience, messages: u64, taken: Duration) -> f64 {
    exact(audience.size() * messages) / taken.as_secs_f64()
}

fn per_stream(bytes: u64, streams: usize) -> f64 {
    exact(bytes) / 1024.0 / exact(u64::try_from(streams).unwrap_or(u64::MAX))
}

fn put_down(found: &Found, report: &mut Report) {
    let streams = count(found.streams);
    for (what, samples) in [
        ("one frame", &found.raw_single),
        ("a burst, frame by frame", &found.raw.burst),
        ("a burst in one write", &found.raw_together),
    ] {
        report.limit(format!("deliveries to {streams} raw sockets, {what}"), Unit::PerSecond, samples);
    }
    report.own_shares.push((format!("a burst to {streams} streams"), found.own.clone()));
    if found.streams >= 1_000 {
        report.figures.push(Figure {
            name: format!("deliveries to {streams} streams, burst ÷ one frame to raw sockets"),
            unit: Unit::PerSecond,
            limit: Some(Limit::Judging(found.raw_single.clone())),
            ours: found.ours.burst.clone(),
            target: Target { reach: Bound::AtLeast(0.5), aim: Bound::AtLeast(0.8) },
            faults: 0,
        });
    }
    if found.streams >= 10_000 {
        report.figures.extend([
            Figure {
                name: format!("until the last of {streams} streams has a message ÷ raw sockets"),
                unit: Unit::Milliseconds,
                limit: Some(Limit::Judging(found.raw.last.clone())),
                ours: found.ours.last.clone(),
                target: Target { reach: Bound::AtMost(1.6), aim: Bound::AtMost(1.2) },
                faults: 0,
            },
            Figure {
                name: format!("opening {streams} streams at once, {} refused", count(found.refused)),
                unit: Unit::Seconds,
                limit: None,
                ours: found.ours.opening.clone(),
                target: Target { reach: Bound::AtMost(3.0), aim: Bound::AtMost(1.0) },
                faults: found.refused,
            },
            Figure {
                name: format!("resident memory for each of {streams} idle streams"),
                unit: Unit::Kilobytes,
                limit: None,
                ours: found.kilobytes.clone(),
                target: Target { reach: Bound::AtMost(6.0), aim: Bound::AtMost(2.0) },
                faults: 0,
            },
        ]);
    }
}

fn table(found: &[Found]) -> Table {
    let rows = found.iter().map(|found| {
        let both = |ours: &Samples, raw: &Samples, unit| {
            format!("{} ({})", shown(ours.median(), unit), shown(raw.median(), unit))
        };
        vec![
            count(found.streams),
            both(&found.ours.opening, &found.raw.opening, Unit::Seconds),
            shown(found.kilobytes.median(), Unit::Kilobytes),
            both(&found.ours.last, &found.raw.last, Unit::Milliseconds),
            both(&found.ours.burst, &found.raw.burst, Unit::PerSecond),
            shown(found.cpu.median(), Unit::Microseconds),
        ]
    });
    Table {
        title: "Fan-out by the number of streams".into(),
        note: "In parentheses, the same to raw sockets: 190 bytes a frame, one write for each. A burst is sent by REST, eight \
               messages under way at a time."
            .into(),
        header: vec![
            "streams",
            "opened at once in",
            "memory each",
            "last has a message after",
            "deliveries in a burst",
            "CPU a delivery (notify_server)",
        ],
        rows: rows.collect(),
    }
}
