//! Sends with many messages stored, beside sends with none.

use crate::{
    bench::Bench,
    report::{Bound, Figure, Report, Target, Unit, count},
    samples::Samples,
    site::Site,
    store,
};

const SENDERS: usize = 64;

pub(super) async fn measure(bench: &mut Bench, report: &mut Report) -> anyhow::Result<()> {
    let plan = bench.plan;
    let folder = bench.folder.path().to_owned();
    let none = Site::start(&bench.cluster, "with_none", folder.clone()).await?;
    let many = Site::start(&bench.cluster, "with_many", folder).await?;
    let scene = &many.scene;
    let stored = scene.spread.len() * usize::try_from(plan.stored_each)?;
    eprintln!("stored: {} messages are put in", count(stored));
    store::fill(&many.pool, &scene.spread, scene.people[0].id, plan.stored_each, plan.stored_each).await?;
    store::settle(&none.pool).await?;
    store::settle(&many.pool).await?;
    let (mut limit, mut ours) = (Samples::default(), Samples::default());
    for round in 1..=plan.rounds {
        eprintln!("stored: round {round} of {}", plan.rounds);
        for (site, samples) in [(&none, &mut limit), (&many, &mut ours)] {
            let run = site.load(site.senders(SENDERS, true), plan.warm_up, plan.window).await?;
            samples.push(run.done.rate());
        }
    }
    report.figures.push(Figure {
        name: format!("durable sends with {} messages stored ÷ with none", count(stored)),
        unit: Unit::PerSecond,
        limit: Some(limit),
        ours,
        target: Target { reach: Bound::AtLeast(0.8), aim: Bound::AtLeast(0.95) },
    });
    Ok(())
}
