//! Durable sends through REST, beside what pgbench inserts.

use crate::{
    bench::Bench,
    report::{Bound, Figure, Report, Table, Target, Unit, number},
    requests::{self, CONTENT_BYTES},
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

#[derive(Default)]
struct Found {
    single: Samples,
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
        found.single.push(pgbench.run(INSERT_ONE, &variables, CLIENTS, plan.window).await?);
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

/// Sends by so many people at the same time, to one chat or round many.
pub(super) async fn sends(bench: &Bench, senders: usize, spread: bool) -> anyhow::Result<Run> {
    let site = &bench.site;
    site.load(site.senders(senders, spread), bench.plan.warm_up, bench.plan.window).await
}

async fn growth(bench: &Bench) -> anyhow::Result<Table> {
    let mut rows = Vec::new();
    for senders in GROWTH {
        eprintln!("sends: {senders} at the same time");
        let mut row = vec![senders.to_string()];
        for spread in [false, true] {
            let mut rate = Samples::default();
            let mut cpu: [Samples; 3] = Default::default();
            let mut refused = 0;
            for _ in 0..bench.plan.growth_rounds {
                let Run { done, used } = sends(bench, senders, spread).await?;
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
        rows.push(row);
    }
    Ok(Table {
        title: "Sends by the number of senders".into(),
        note: "CPU a send in µs: fechatter_server + PostgreSQL + notify_server, to which nobody listens."
            .into(),
        header: vec!["senders", "one chat, sends/s", "CPU", "100 chats, sends/s", "CPU"],
        rows,
    })
}

fn put_down(found: Found, report: &mut Report) {
    report.limit("pgbench, single-row inserts, 64 clients", Unit::PerSecond, &found.single);
    report.limit("pgbench, rows of 100-row inserts, 64 clients", Unit::PerSecond, &found.hundred);
    report.limit("axum with nothing behind it, JSON POST, 64 clients", Unit::PerSecond, &found.bare);
    report.limit("the load generator, against fixed replies, 64 clients", Unit::PerSecond, &found.fixed);
    let limit = Some(found.single).filter(|single| !single.is_empty());
    let figure = |name: &str, ours, reach| Figure {
        name: name.into(),
        unit: Unit::PerSecond,
        limit: limit.clone(),
        ours,
        target: Target { reach: Bound::AtLeast(reach), aim: Bound::AtLeast(1.0) },
    };
    report.figures.push(figure(
        "durable sends, 64 senders over 100 chats ÷ single-row inserts",
        found.spread,
        0.5,
    ));
    report.figures.push(figure("durable sends, 64 senders in one chat ÷ single-row inserts", found.one, 0.4));
    report.figures.push(Figure {
        name: "CPU a send, server + PostgreSQL".into(),
        unit: Unit::Microseconds,
        limit: None,
        ours: found.cpu,
        target: Target { reach: Bound::AtMost(150.0), aim: Bound::AtMost(80.0) },
    });
    report.own_shares.extend([
        ("replies that are fixed".to_owned(), found.own_fixed),
        ("axum with nothing behind it".to_owned(), found.own_bare),
        ("sends, 64 senders over 100 chats".to_owned(), found.own_spread),
    ]);
}
