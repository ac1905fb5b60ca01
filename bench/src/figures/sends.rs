//! Durable sends through REST, beside what pgbench inserts.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    bench::Bench,
    pgbench::Pgbench,
    report::{Bound, Figure, Limit, Report, Table, Target, Unit, number},
    requests::{self, CONTENT_BYTES, Sends},
    samples::Samples,
    scene::SENDERS,
    site::Run,
    store,
};

/// Who sends at the same time, in the figures to reach.
const CLIENTS: usize = 64;
/// Clients whose rate shows how the cost grows.
const GROWTH: [usize; 4] = [1, 16, 64, SENDERS];

const INSERT_ONE: &str = include_str!("../sql/insert_one.sql");
const INSERT_HUNDRED: &str = include_str!("../sql/insert_hundred.sql");
const ROWS: f64 = 100.0;
/// How long pgbench may take to connect its clients: half a second where nothing is wrong.
const CONNECTING: Duration = Duration::from_secs(2);
/// How long pgbench goes on after the window, since it is told whole seconds, rounded down.
const REST: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Found {
    single: Samples,
    single_cpu: Samples,
    hundred: Samples,
    bare: Samples,
    fixed: Samples,
    spread: Samples,
    one: Samples,
    cpu: Samples,
    own_bare: Samples,
    own_fixed: Samples,
    own_spread: Samples,
}

pub(super) async fn measure(bench: &mut Bench, report: &mut Report) -> anyhow::Result<()> {
    store::make_plain_table(&bench.site.pool).await?;
    let mut found = Found::default();
    for round in 1..=bench.plan.rounds {
        eprintln!("sends: round {round} of {}", bench.plan.rounds);
        limits(bench, &mut found).await?;
        let spread = sends(bench, CLIENTS, true).await?;
        found.spread.push(spread.done.rate());
        found.cpu.push(spread.done.micros_each(spread.used.rest + spread.used.postgres));
        found.own_spread.push(spread.own_share());
        found.one.push(sends(bench, CLIENTS, false).await?.done.rate());
    }
    let growth = growth(bench).await?;
    put_down(found, report);
    report.tables.push(growth);
    Ok(())
}

async fn limits(bench: &Bench, found: &mut Found) -> anyhow::Result<()> {
    let plan = bench.plan;
    if let Some(pgbench) = &bench.pgbench {
        let variables =
            [("sender_id", bench.site.scene.people[0].id.to_string()), ("length", CONTENT_BYTES.to_string())];
        let (rate, cpu) = single_rows(bench, pgbench, &variables).await?;
        found.single.push(rate);
        found.single_cpu.push(cpu);
        store::empty_plain_table(&bench.site.pool).await?;
        found.hundred.push(ROWS * pgbench.run(INSERT_HUNDRED, &variables, CLIENTS, plan.window).await?);
        store::empty_plain_table(&bench.site.pool).await?;
    }
    let body = format!(r#"{{"content":"{}"}}"#, "x".repeat(CONTENT_BYTES));
    let post = requests::post("/message", &bench.site.scene.people[0].token, &body);
    let (bare, own) = bench.bare.load(bench.bare.address(), &post, CLIENTS, plan).await?;
    found.bare.push(bare.rate());
    found.own_bare.push(own);
    let (fixed, own) = bench.bare.load(bench.bare.addresses.fixed, &post, CLIENTS, plan).await?;
    found.fixed.push(fixed.rate());
    found.own_fixed.push(own);
    Ok(())
}

/// Single rows by pgbench: how many a second, and what PostgreSQL takes for each in µs. As of sends, the CPU time of a
/// window after the warm-up counts, so that connecting is not in it.
async fn single_rows(
    bench: &Bench,
    pgbench: &Pgbench,
    variables: &[(&str, String)],
) -> anyhow::Result<(f64, f64)> {
    let (plan, pool) = (bench.plan, &bench.site.pool);
    let warm_up = CONNECTING + plan.warm_up;
    let inserting = pgbench.run(INSERT_ONE, variables, CLIENTS, warm_up + plan.window + REST);
    let watching = async {
        sleep(warm_up).await;
        let before = store::plain_rows(pool).await?;
        let window = async {
            sleep(plan.window).await;
            Ok(())
        };
        let ((), used) = bench.site.watch(window).await?;
        let rows = store::plain_rows(pool).await? - before;
        Ok(used.postgres.as_secs_f64() * 1e6 / rows)
    };
    tokio::try_join!(inserting, watching)
}

/// Sends by so many people at the same time, to one chat or round many.
pub(super) async fn sends(bench: &Bench, senders: usize, spread: bool) -> anyhow::Result<Run> {
    load(bench, bench.site.senders(senders, spread)).await
}

async fn load(bench: &Bench, clients: Vec<Sends>) -> anyhow::Result<Run> {
    bench.site.load(clients, bench.plan.warm_up, bench.plan.window).await
}

async fn growth(bench: &Bench) -> anyhow::Result<Table> {
    let site = &bench.site;
    let mut rows = Vec::new();
    for senders in GROWTH {
        eprintln!("sends: {senders} at the same time");
        rows.push(row(bench, senders.to_string(), |spread| site.senders(senders, spread)).await?);
    }
    eprintln!("sends: {CLIENTS} at the same time, with a client_id each");
    let name = format!("{CLIENTS}, with `client_id`");
    rows.push(row(bench, name, |spread| site.keyed_senders(CLIENTS, spread)).await?);
    Ok(Table {
        title: "Sends by the number of senders".into(),
        note: "CPU a send in µs: fechatter_server + PostgreSQL + notify_server, to which nobody listens."
            .into(),
        header: vec!["senders", "one chat, sends/s", "CPU", "100 chats, sends/s", "CPU"],
        rows,
    })
}

/// To one chat, and over many.
async fn row(
    bench: &Bench,
    name: String,
    clients: impl Fn(bool) -> Vec<Sends>,
) -> anyhow::Result<Vec<String>> {
    let mut row = vec![name];
    for spread in [false, true] {
        let mut rate = Samples::default();
        let mut cpu: [Samples; 3] = Default::default();
        let mut refused = 0;
        for _ in 0..bench.plan.growth_rounds {
            let Run { done, used } = load(bench, clients(spread)).await?;
            rate.push(done.rate());
            refused += done.refused;
            for (cpu, used) in cpu.iter_mut().zip([used.rest, used.postgres, used.notify]) {
                cpu.push(done.micros_each(used));
            }
        }
        let [rest, postgres, notify] = cpu.map(|cpu| format!("{:.0}", cpu.median()));
        let refused = if refused > 0 { format!(" ({refused} refused)") } else { String::new() };
        row.extend([number(rate.median()) + &refused, format!("{rest} + {postgres} + {notify}")]);
    }
    Ok(row)
}

fn put_down(found: Found, report: &mut Report) {
    report.limit("pgbench, single-row inserts, 64 clients", Unit::PerSecond, &found.single);
    let name = "PostgreSQL's CPU for a single-row insert of pgbench, 64 clients";
    report.limit(name, Unit::Microseconds, &found.single_cpu);
    report.limit("pgbench, rows of 100-row inserts, 64 clients", Unit::PerSecond, &found.hundred);
    report.limit("axum with nothing behind it, JSON POST, 64 clients", Unit::PerSecond, &found.bare);
    report.limit("the load generator, against fixed replies, 64 clients", Unit::PerSecond, &found.fixed);
    let measured = |limit: Samples| Some(limit).filter(|limit| !limit.is_empty());
    let limit = measured(found.single).map(Limit::Judging);
    let figure = |name: &str, ours, reach| Figure {
        name: name.into(),
        unit: Unit::PerSecond,
        limit: limit.clone(),
        ours,
        target: Target { reach: Bound::AtLeast(reach), aim: Bound::AtLeast(1.0) },
        faults: 0,
    };
    report.figures.push(figure(
        "durable sends, 64 senders over 100 chats ÷ single-row inserts",
        found.spread,
        0.5,
    ));
    report.figures.push(figure("durable sends, 64 senders in one chat ÷ single-row inserts", found.one, 0.4));
    report.figures.push(Figure {
        name: "CPU a send, server + PostgreSQL ÷ CPU of PostgreSQL for a single-row insert".into(),
        unit: Unit::Microseconds,
        limit: measured(found.single_cpu).map(Limit::Beside),
        ours: found.cpu,
        target: Target { reach: Bound::AtMost(150.0), aim: Bound::AtMost(80.0) },
        faults: 0,
    });
    report.own_shares.extend([
        ("replies that are fixed".to_owned(), found.own_fixed),
        ("axum with nothing behind it".to_owned(), found.own_bare),
        ("sends, 64 senders over 100 chats".to_owned(), found.own_spread),
    ]);
}
