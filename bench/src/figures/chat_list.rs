//! The list of one's chats, beside axum with nothing behind it.

use anyhow::ensure;

use crate::{
    bench::Bench,
    http::Connection,
    report::{Bound, Figure, Report, Table, Target, Unit, count, number},
    requests::{self, Same},
    samples::Samples,
    scene::{LISTS, Person, READERS},
    store,
};

/// The list that the figure to reach is about.
const JUDGED: usize = 100;
const PATH: &str = "/api/chats";

pub(super) async fn measure(bench: &mut Bench, report: &mut Report) -> anyhow::Result<()> {
    store::settle(&bench.site.pool).await?;
    let mut sizes = Vec::new();
    for (chats, readers) in &bench.site.scene.lists {
        sizes.push(check(bench, *chats, &readers[0]).await?);
    }
    let mut bare = Samples::default();
    let mut as_long: [Samples; LISTS.len()] = Default::default();
    let mut ours: [Samples; LISTS.len()] = Default::default();
    let mut own = Samples::default();
    for round in 1..=bench.plan.rounds {
        eprintln!("chat list: round {round} of {}", bench.plan.rounds);
        bare.push(bare_gets(bench, "/message").await?);
        for (at, (chats, readers)) in bench.site.scene.lists.iter().enumerate() {
            as_long[at].push(bare_gets(bench, &format!("/bytes/{}", sizes[at])).await?);
            let clients = readers.iter().map(|reader| Same(requests::get(PATH, &reader.token).into()));
            let run = bench.site.load(clients, bench.plan.warm_up, bench.plan.window).await?;
            ours[at].push(run.done.rate());
            if *chats == JUDGED {
                own.push(run.own_share());
            }
        }
    }
    report.limit("axum with nothing behind it, JSON GET, 16 clients", Unit::PerSecond, &bare);
    report.own_shares.push((format!("the list of {JUDGED} chats"), own));
    let rows =
        LISTS.iter().zip(&sizes).zip(ours.iter().zip(&as_long)).map(|((chats, size), (ours, as_long))| {
            vec![
                count(chats),
                count(size),
                number(ours.median()),
                number(ours.over(&bare).median()),
                number(as_long.median()),
                number(ours.over(as_long).median()),
            ]
        });
    report.tables.push(Table {
        title: "The chat list by its length".into(),
        note: "16 clients; each chat has 20 messages, 5 of them unread.".into(),
        header: vec![
            "chats",
            "bytes",
            "ours, req/s",
            "÷ bare GET",
            "bare GET of as many bytes, req/s",
            "ratio",
        ],
        rows: rows.collect(),
    });
    let judged = LISTS.iter().position(|chats| *chats == JUDGED).unwrap_or_default();
    report.figures.push(Figure {
        name: format!("chat list of {JUDGED} chats, warm ÷ bare axum GET"),
        unit: Unit::PerSecond,
        limit: Some(bare),
        ours: ours[judged].clone(),
        target: Target { reach: Bound::AtLeast(0.25), aim: Bound::AtLeast(0.5) },
    });
    Ok(())
}

/// Looks at the list once; answers its size in bytes.
async fn check(bench: &Bench, chats: usize, reader: &Person) -> anyhow::Result<usize> {
    let mut connection = Connection::open(bench.site.rest.address).await?;
    connection.expect(&requests::get(PATH, &reader.token), 200).await?;
    let list: serde_json::Value = serde_json::from_slice(connection.body())?;
    let found = list["chats"].as_array().map_or(0, Vec::len);
    ensure!(found == chats, "a list of {chats} chats holds {found}");
    Ok(connection.body().len())
}

async fn bare_gets(bench: &Bench, path: &str) -> anyhow::Result<f64> {
    let request = requests::get(path, "");
    Ok(bench.bare.load(bench.bare.address(), &request, READERS, bench.plan).await?.0.rate())
}
