//! PostgreSQL and the server make the same of a text, so that the index proposes every message that is meant.

use fechatter_server::search::{
    folding::folded_text,
    matching::Highlight,
    query::Query,
    term::Term,
    tokens::{Token, Tokens},
};
use fechatter_tests::cluster;
use proptest::{
    arbitrary::any,
    collection::vec,
    prop_assert, prop_assert_eq,
    sample::select,
    strategy::{Strategy, ValueTree},
    test_runner::{Config, TestRunner},
};
use sqlx::{Connection, PgConnection};

/// Where characters have come into Unicode since version 14, which the oldest PostgreSQL that is supported knows: what is
/// made of those depends on its version.
const NEWER: &[(u32, u32)] = &[
    (0x0558, 0x0558),
    (0x058B, 0x058C),
    (0x088F, 0x088F),
    (0x0897, 0x0897),
    (0x1C89, 0x1C8A),
    (0x209D, 0x209F),
    (0xA7CB, 0xA7CF),
    (0xA7D2, 0xA7D4),
    (0xA7DA, 0xA7DC),
    (0xA7F1, 0xA7F1),
    (0x105C0, 0x105FF),
    (0x107BB, 0x107BF),
    (0x10D40, 0x10D8F),
    (0x10EC0, 0x10EFF),
    (0x11380, 0x113FF),
    (0x116D0, 0x116E3),
    (0x11B60, 0x11B67),
    (0x11DE0, 0x11DEF),
    (0x11F00, 0x11F5F),
    (0x16100, 0x1613F),
    (0x16D40, 0x16D7F),
    (0x16EA0, 0x16EDF),
    (0x1B123, 0x1B12F),
    (0x1CC00, 0x1CEFF),
    (0x1D6A6, 0x1D6A7),
    (0x1DF25, 0x1DFFF),
    (0x1E030, 0x1E08F),
    (0x1E4D0, 0x1E4FF),
    (0x1E5D0, 0x1E5FF),
    (0x1E6C0, 0x1E6FF),
];

fn is_newer(character: char) -> bool {
    NEWER.iter().any(|(first, last)| (*first..=*last).contains(&u32::from(character)))
}

/// Texts of which PostgreSQL makes something else than the server, or which its index would not propose for themselves.
async fn differences(connection: &mut PgConnection, texts: &[String]) -> Vec<(String, String)> {
    let folded: Vec<_> = texts.iter().map(|text| folded_text(text)).collect();
    let queries: Vec<_> = texts.iter().map(|text| Tokens::of(text).lexemes(false).join(" & ")).collect();
    let open: Vec<_> = texts.iter().map(|text| Tokens::of(text).lexemes(true).join(" & ")).collect();
    sqlx::query_as(
        "select content, search_folded(content)
         from unnest($1::text[], $2::text[], $3::text[], $4::text[]) t (content, folded, query, open)
         where search_folded(content) <> folded
             or (query <> '' and not message_terms(content) @@ query::tsquery)
             or (query <> '' and not message_terms(content) @@ open::tsquery)
             or (query = '' and message_terms(content) <> ''::tsvector)",
    )
    .bind(texts)
    .bind(folded)
    .bind(queries)
    .bind(open)
    .fetch_all(connection)
    .await
    .expect("an answer")
}

async fn connection() -> PgConnection {
    PgConnection::connect(&cluster::fresh_database().await).await.expect("a connection")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_character_is_folded_alike() {
    let mut connection = connection().await;
    let mut wrong = Vec::new();
    // Planes 0 to 3 as far as there are characters, and the tags.
    let codes = (1..0x3_2400).chain(0xE_0000..0xE_1000);
    let characters: Vec<_> = codes.filter_map(char::from_u32).filter(|one| !is_newer(*one)).collect();
    for some in characters.chunks(10_000) {
        let texts: Vec<_> = some.iter().map(|character| format!("a{character}")).collect();
        wrong.extend(differences(&mut connection, &texts).await);
    }
    assert!(wrong.is_empty(), "{}: {:?}", wrong.len(), wrong);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mark_counts_thirty_times() {
    let mut connection = connection().await;
    // Marks of any version: one alone is put in no order, so its being known makes no difference.
    let is_meant = |character: &char, folded: &str| !is_newer(*character) || folded.chars().count() == 31;
    let (mut texts, mut folded) = (Vec::new(), Vec::new());
    for character in (0x80..0x3_2400).chain(0xE_0000..0xE_1000).filter_map(char::from_u32) {
        let text = format!("a{}", character.to_string().repeat(40));
        let by_the_server = folded_text(&text);
        if is_meant(&character, &by_the_server) {
            texts.push(text);
            folded.push(by_the_server);
        }
    }
    assert!(folded.iter().filter(|folded| folded.chars().count() == 31).count() > 500);
    let wrong: Vec<String> = sqlx::query_scalar(
        "select content from unnest($1::text[], $2::text[]) t (content, folded)
         where search_folded(content) <> folded",
    )
    .bind(&texts)
    .bind(&folded)
    .fetch_all(&mut connection)
    .await
    .expect("an answer");
    assert!(wrong.is_empty(), "{}: {:?}", wrong.len(), wrong);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_marks_take_no_time_and_are_folded_alike() {
    let run = |marks: &[&str], times: usize| marks.iter().map(|mark| mark.repeat(times)).collect::<String>();
    // Marks of two classes, the higher one first, that are left out and that stay; also between those that vanish.
    let endless = [
        format!("a{}", run(&["\u{344}", "\u{316}"], 4_999)),
        format!("a{}", run(&["\u{E48}", "\u{E38}"], 4_999)),
        run(&["\u{E48}", "\u{E38}"], 5_000),
        format!("a{}", "\u{F73}\u{3099}".repeat(4_999)),
        format!("a{}", format!("\u{FE77}{}", run(&["\u{E48}", "\u{E38}"], 14)).repeat(340)),
        format!("a{}", format!("\u{FCF2}\u{AD}{}", run(&["\u{E48}", "\u{E38}"], 14)).repeat(330)),
        format!("a{}", run(&["\u{E48}", "\u{E38}"], 15)).repeat(320),
    ];
    let mut connection = connection().await;
    sqlx::query("set statement_timeout = '20s'").execute(&mut connection).await.expect("a setting");
    let texts: Vec<_> = endless.iter().cycle().take(40).cloned().collect();
    assert_eq!(differences(&mut connection, &texts).await, []);

    let pieces = [
        "a", "ก", "か", "ᄒ", "ᅡ", "\u{9C7}", "\u{9BE}", " ", "é", "\u{301}", "\u{34F}", "\u{FE77}", "\u{AD}",
    ];
    let marks = [
        "\u{E48}",
        "\u{E38}",
        "\u{3099}",
        "\u{FF9E}",
        "\u{F73}",
        "\u{F72}",
        "\u{5B0}",
        "\u{1D165}",
        "\u{94D}",
    ];
    let pieces = select(pieces.to_vec()).prop_map(str::to_owned);
    let runs = (select(marks.to_vec()), 1_usize..35).prop_map(|(mark, times)| mark.repeat(times));
    let text = vec((pieces, runs.clone(), runs), 1..5).prop_map(|parts| {
        parts.into_iter().map(|(piece, some, more)| [piece, some, more].concat()).collect::<String>()
    });
    let texts = vec(text, 5_000).new_tree(&mut TestRunner::deterministic()).expect("texts").current();
    let wrong = differences(&mut connection, &texts).await;
    assert!(wrong.is_empty(), "{}: {:?}", wrong.len(), &wrong[..wrong.len().min(20)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_text_is_folded_alike() {
    let pieces = [
        "a",
        "Z",
        "7",
        " ",
        "-",
        "'",
        "ß",
        "ẞ",
        "É",
        "e\u{301}",
        "İ",
        "ı",
        "ǅ",
        "ﬁ",
        "Ⅷ",
        "½",
        "№",
        "Ё",
        "й",
        "Ж",
        "ς",
        "Σ",
        "Ώ",
        "لا",
        "إ",
        "\u{64E}",
        "ـ",
        "ﷺ",
        "\u{200C}",
        "\u{200D}",
        "\u{FE0F}",
        "\u{AD}",
        "שָׁ",
        "क",
        "्",
        "ि",
        "ক",
        "ে",
        "া",
        "ไ",
        "ท",
        "ำ",
        "ย",
        "漢",
        "字",
        "か",
        "\u{3099}",
        "が",
        "ｶ",
        "ﾞ",
        "ー",
        "・",
        "한",
        "국",
        "ᄒ",
        "ᅡ",
        "ᆫ",
        "ㄱ",
        "ㅏ",
        "ㄳ",
        "\u{FFC2}",
        "ཀ",
        "\u{F72}",
        "\u{F73}",
        "\u{FE77}",
        "。",
        "「",
        "😀",
        "👍",
        "🏽",
        "👩‍👩‍👧",
        "🇩🇪",
        "🇺",
        "1️⃣",
        "☀️",
        "𝕏",
        "𐐀",
        "𠀀",
        "\u{10FFFF}",
        "\u{FFFD}",
        "ａ",
        "Ａ",
        "１",
        "！",
        "\u{3000}",
        "_",
        "\u{85}",
        "\u{1}",
        "\\",
        ":",
        "*",
        "&",
    ];
    let mut connection = connection().await;
    let mut runner = TestRunner::deterministic();
    let texts = vec(vec(select(pieces.to_vec()), 1..12).prop_map(|pieces| pieces.concat()), 20_000);
    let texts = texts.new_tree(&mut runner).expect("texts").current();
    let wrong = differences(&mut connection, &texts).await;
    assert!(wrong.is_empty(), "{}: {:?}", wrong.len(), &wrong[..wrong.len().min(20)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_words_and_long_texts_are_indexed() {
    let mut connection = connection().await;
    let texts = [
        "x".repeat(10_000),
        "я".repeat(10_000),
        "漢".repeat(10_000),
        (0..10_000).filter_map(|n| char::from_u32(0x4E00 + n)).collect(),
        "a\u{301}".repeat(5_000),
        "ﷺ".repeat(10_000),
        "a ".repeat(5_000),
    ];
    assert_eq!(differences(&mut connection, &texts).await, []);
}

/// Where these tokens stand together in a text, by trying each place.
fn places(wanted: &Tokens, open: bool, text: &Tokens) -> Vec<Highlight> {
    let all = wanted.all();
    let fits = |nth: usize, there: &Token| {
        let (wanted_text, text) = (wanted.text(&all[nth]), text.text(there));
        let same =
            if open && nth + 1 == all.len() { text.starts_with(wanted_text) } else { text == wanted_text };
        same && (nth == 0 || !all[nth].joined || there.joined)
    };
    let windows = text.all().windows(all.len());
    let found = windows.filter(|window| window.iter().enumerate().all(|(nth, there)| fits(nth, there)));
    found.map(|window| Highlight { start: window[0].start, end: window[all.len() - 1].end }).collect()
}

#[test]
fn terms_are_found_wherever_a_look_at_each_place_finds_them() {
    // Few pieces, so that they repeat themselves. What is looked for is mostly a part of the text.
    let pieces = ["a ", "a ", "b ", "ab ", "漢", "漢", "漢 ", "字", "🇩🇪", "🇩"];
    let text = |most| vec(select(pieces.to_vec()), 1..most);
    let wanted = (text(5), 0..300_usize, 1..200_usize, any::<bool>(), any::<bool>());
    let mut runner = TestRunner::new(Config { cases: 5_000, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&(text(300), wanted), |(text, (other, from, length, repeats, open))| {
        let text = if repeats { text[..text.len().min(4)].repeat(60) } else { text };
        let part: Vec<_> = text.iter().skip(from % text.len()).take(length).copied().collect();
        let wanted = if from % 5 == 0 { other.concat() } else { part.concat() };
        let (wanted, text) = (Tokens::of(&wanted), Tokens::of(&text.concat()));
        let found: Vec<_> = Term::new(wanted.clone(), open).places(&text).collect();
        prop_assert_eq!(found, places(&wanted, open, &text));
        Ok(())
    });
    outcome.expect("both find the same");
}

#[test]
fn a_long_phrase_is_found_in_long_texts_that_repeat_it() {
    let query = Query::parse(&format!("\"{}\"", "漢".repeat(990))).expect("a query");
    let (text, other) = ("漢".repeat(10_000), ["漢".repeat(980), "字".to_owned()].concat().repeat(10));
    for _ in 0..100 {
        let found = query.look(&text).expect("a match");
        assert_eq!(found.highlights, [Highlight { start: 0, end: 10_000 }]);
        assert_eq!(query.look(&other), None);
    }
}

#[test]
fn any_text_is_a_query_or_has_a_flaw_and_highlights_lie_within() {
    let pieces = [
        "a",
        "b",
        "ab",
        " ",
        "  ",
        "-",
        "--",
        "\"",
        "*",
        "from:",
        "in:",
        "before:2026-01-01",
        "after:",
        "has:file",
        "me",
        "mentions:me",
        "漢",
        "字",
        "漢字",
        "ß",
        "e\u{301}",
        "\u{301}",
        "\u{200D}",
        "🇩🇪",
        "🇪",
        "👍🏽",
        "\u{202E}",
        ":",
        "\u{3000}",
        "“",
        "”",
        "ﷺ",
        "\u{10FFFF}",
        "が",
        "ｶﾞ",
        "\u{1160}",
    ];
    let text = || vec(select(pieces.to_vec()), 0..20).prop_map(|pieces| pieces.concat());
    let mut runner =
        TestRunner::new(Config { cases: 20_000, failure_persistence: None, ..Config::default() });
    let both = (text(), text());
    let outcome = runner.run(&both, |(query, content)| {
        match Query::parse(&query) {
            Err(flaw) => prop_assert!(flaw.at <= query.chars().count()),
            Ok(query) => {
                let Some(found) = query.look(&content) else { return Ok(()) };
                let length = u32::try_from(content.chars().count()).expect("a short text");
                let mut before = None;
                for Highlight { start, end } in found.highlights {
                    prop_assert!(start < end && end <= length && before.is_none_or(|before| before < start));
                    before = Some(end);
                }
            }
        }
        Ok(())
    });
    outcome.expect("no text breaks it");
}
