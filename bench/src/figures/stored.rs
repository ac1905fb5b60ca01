//! Sends with many messages stored, beside sends with none.

use crate::{
    bench::{Bench, FEW},
    report::{Bound, Figure, Limit, Report, Target, Unit, count},
    samples::Samples,
    scene::SPREAD,
    site::Site,
};

const SENDERS: usize = 64;

pub(super) async fn measure(bench: &mut Bench, report: &mut Report) -> anyhow::Result<()> {
    let plan = bench.plan;
    let folder = bench.folder.path();
    let stored = SPREAD * usize::try_from(plan.stored_each)?;
    eprintln!("stored: {} messages are put in", count(stored));
    let none = Site::start(&bench.cluster, "with_none", folder.to_owned(), FEW).await?;
    let many = Site::start(&bench.cluster, "with_many", folder.to_owned(), plan.stored_each).await?;
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
        limit: Some(Limit::Judging(limit)),
        ours,
        target: Target { reach: Bound::AtLeast(0.8), aim: Bound::AtLeast(0.95) },
        faults: 0,
    });
    Ok(())
}
