//! The newest messages of a long chat, beside the same query by pgbench.

use crate::{
    bench::Bench,
    report::{Bound, Figure, Limit, Report, Target, Unit},
    requests::{self, Same},
    samples::Samples,
    scene::HISTORY,
    store,
};

const CLIENTS: usize = 16;
const PAGE: u32 = 50;
/// The statement of `messages::store::side`, for pgbench.
const QUERY: &str = include_str!("../sql/history.sql");

pub(super) async fn measure(bench: &mut Bench, report: &mut Report) -> anyhow::Result<()> {
    let site = &bench.site;
    let reader = &site.scene.people[0];
    let chat = site.scene.history;
    store::fill(&site.pool, &[chat], reader.id, HISTORY, HISTORY).await?;
    store::settle(&site.pool).await?;
    let request = requests::get(&format!("/api/chats/{chat}/messages?limit={PAGE}"), &reader.token);
    let variables = [
        ("chat_id", chat.to_string()),
        ("seq", i64::MAX.to_string()),
        // One more tells whether there are more.
        ("limit", (PAGE + 1).to_string()),
    ];
    let (mut limit, mut ours, mut own) = (Samples::default(), Samples::default(), Samples::default());
    for round in 1..=bench.plan.rounds {
        eprintln!("history: round {round} of {}", bench.plan.rounds);
        if let Some(pgbench) = &bench.pgbench {
            limit.push(pgbench.run(QUERY, &variables, CLIENTS, bench.plan.window).await?);
        }
        let clients = (0..CLIENTS).map(|_| Same(request.clone().into()));
        let run = site.load(clients, bench.plan.warm_up, bench.plan.window).await?;
        ours.push(run.done.rate());
        own.push(run.own_share());
    }
    report.limit("pgbench, the newest 50 of 100,000, 16 clients", Unit::PerSecond, &limit);
    report.own_shares.push(("the newest 50 of 100,000".into(), own));
    report.figures.push(Figure {
        name: "newest 50 of a chat with 100,000 messages, 16 clients ÷ the query by pgbench".into(),
        unit: Unit::PerSecond,
        limit: Some(limit).filter(|limit| !limit.is_empty()).map(Limit::Judging),
        ours,
        target: Target { reach: Bound::AtLeast(0.35), aim: Bound::AtLeast(0.6) },
        faults: 0,
    });
    Ok(())
}
