//! From a send to one stream, idle and at half load.

use std::time::Duration;

use crate::{
    bench::Bench,
    figures::sends::sends,
    open_loop::{Latencies, latencies},
    report::{Bound, Figure, Report, Table, Target, Unit, number},
    samples::Samples,
};

/// Messages a second where nothing else happens.
const IDLE_RATE: f64 = 50.0;
/// Connections that send, as in the figure whose half is the load.
const SENDERS: usize = 64;

/// Percentiles, in milliseconds.
#[derive(Default)]
struct Found {
    p50: Samples,
    p99: Samples,
    most: Samples,
}

impl Found {
    fn push(&mut self, latencies: &Latencies) {
        let at = |quantile| millis(latencies.value_at_quantile(quantile));
        self.p50.push(at(0.5));
        self.p99.push(at(0.99));
        self.most.push(millis(latencies.max()));
    }

    fn row(&self, name: String) -> Vec<String> {
        vec![name, number(self.p50.median()), number(self.p99.median()), number(self.most.median())]
    }
}

#[expect(clippy::cast_precision_loss, reason = "latencies are far below 2^52 µs")]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1e3
}

pub(super) async fn measure(bench: &mut Bench, report: &mut Report) -> anyhow::Result<()> {
    let (mut idle, mut half) = (Found::default(), Found::default());
    let mut rates = Samples::default();
    for round in 1..=bench.plan.rounds {
        eprintln!("latency: round {round} of {}", bench.plan.rounds);
        idle.push(&one(bench, 1, IDLE_RATE, bench.plan.open_loop).await?);
        let rate = sends(bench, SENDERS, true).await?.done.rate() / 2.0;
        rates.push(rate);
        half.push(&one(bench, SENDERS, rate, bench.plan.open_loop).await?);
    }
    let target = |reach, aim| Target { reach: Bound::AtMost(reach), aim: Bound::AtMost(aim) };
    let figure = |name: &str, ours: &Samples, target| Figure {
        name: name.into(),
        unit: Unit::Milliseconds,
        limit: None,
        ours: ours.clone(),
        target,
    };
    report.figures.push(figure("send → received, idle, p50", &idle.p50, target(4.0, 2.0)));
    report.figures.push(figure("send → received, idle, p99", &idle.p99, target(15.0, 5.0)));
    report.tables.push(Table {
        title: "Latency, send → received".into(),
        note: "In ms, from when a message was due (open loop, so that a late send counts as late) until one stream \
               has it; half load is half of what 64 senders over 100 chats got through just before."
            .into(),
        header: vec!["load", "p50", "p99", "longest"],
        rows: vec![
            idle.row(format!("idle, {IDLE_RATE} messages/s")),
            half.row(format!("half, {} messages/s", number(rates.median()))),
        ],
    });
    Ok(())
}

async fn one(bench: &Bench, senders: usize, rate: f64, time: Duration) -> anyhow::Result<Latencies> {
    let site = &bench.site;
    let listener = &site.scene.people[0].token;
    let senders = site.senders(senders, true);
    latencies(site.rest.address, site.notify.address, listener, senders, rate, time).await
}
