//! The list of one's chats, beside axum with nothing behind it.

use std::io::Read;

use anyhow::ensure;
use flate2::read::GzDecoder;

use crate::{
    bench::Bench,
    http::Connection,
    report::{Bound, Figure, Limit, Report, Table, Target, Unit, count, number},
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
    let mut ours_plain: [Samples; LISTS.len()] = Default::default();
    let mut own = Samples::default();
    for round in 1..=bench.plan.rounds {
        eprintln!("chat list: round {round} of {}", bench.plan.rounds);
        bare.push(bare_gets(bench, "/message").await?);
        for (at, (chats, readers)) in bench.site.scene.lists.iter().enumerate() {
            as_long[at].push(bare_gets(bench, &format!("/bytes/{}", sizes[at].coded)).await?);
            let clients = readers.iter().map(|reader| Same(requests::get(PATH, &reader.token).into()));
            let run = bench.site.load(clients, bench.plan.warm_up, bench.plan.window).await?;
            ours_plain[at].push(run.done.rate());
            let clients = readers.iter().map(|reader| Same(requests::get_coded(PATH, &reader.token).into()));
            let run = bench.site.load(clients, bench.plan.warm_up, bench.plan.window).await?;
            ours[at].push(run.done.rate());
            if *chats == JUDGED {
                own.push(run.own_share());
            }
        }
    }
    report.limit("axum with nothing behind it, JSON GET, 16 clients", Unit::PerSecond, &bare);
    report.own_shares.push((format!("the list of {JUDGED} chats"), own));
    let rows = LISTS.iter().zip(&sizes).zip(ours.iter().zip(&as_long).zip(&ours_plain)).map(
        |((chats, size), ((ours, as_long), plain))| {
            vec![
                count(chats),
                count(size.plain),
                count(size.coded),
                number(ours.median()),
                number(ours.over(&bare).median()),
                number(as_long.median()),
                number(ours.over(as_long).median()),
                number(plain.median()),
            ]
        },
    );
    report.tables.push(Table {
        title: "The chat list by its length".into(),
        note: "16 clients, which take gzip as browsers do; each chat has 20 messages, 5 of them unread."
            .into(),
        header: vec![
            "chats",
            "bytes",
            "as gzip",
            "ours, req/s",
            "÷ bare GET",
            "bare GET of as many bytes, req/s",
            "ratio",
            "ours without gzip, req/s",
        ],
        rows: rows.collect(),
    });
    let judged = LISTS.iter().position(|chats| *chats == JUDGED).unwrap_or_default();
    report.figures.push(Figure {
        name: format!("chat list of {JUDGED} chats, warm ÷ bare axum GET"),
        unit: Unit::PerSecond,
        limit: Some(Limit::Judging(bare)),
        ours: ours[judged].clone(),
        target: Target { reach: Bound::AtLeast(0.25), aim: Bound::AtLeast(0.5) },
        faults: 0,
    });
    Ok(())
}

/// Bytes of a list.
struct Size {
    plain: usize,
    coded: usize,
}

/// Looks at the list both ways.
async fn check(bench: &Bench, chats: usize, reader: &Person) -> anyhow::Result<Size> {
    let mut connection = Connection::open(bench.site.rest.address).await?;
    connection.expect(&requests::get_coded(PATH, &reader.token), 200).await?;
    let coded = connection.body().to_vec();
    connection.expect(&requests::get(PATH, &reader.token), 200).await?;
    let list: serde_json::Value = serde_json::from_slice(connection.body())?;
    let found = list["chats"].as_array().map_or(0, Vec::len);
    ensure!(found == chats, "a list of {chats} chats holds {found}");
    let plain = connection.body();
    let mut read = Vec::new();
    GzDecoder::new(&*coded).read_to_end(&mut read)?;
    ensure!(read == plain, "the list is another one as gzip");
    Ok(Size { plain: plain.len(), coded: coded.len() })
}

async fn bare_gets(bench: &Bench, path: &str) -> anyhow::Result<f64> {
    let request = requests::get(path, "");
    Ok(bench.bare.load(bench.bare.address(), &request, READERS, bench.plan).await?.0.rate())
}
