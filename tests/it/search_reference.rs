//! Random searches over messages in many languages find what a scan in memory finds.
//!
//! The reference knows what each message says by how it was put together, so it needs neither PostgreSQL nor Unicode.

use std::fmt::Write as _;

use fechatter_tests::{Actor, Site, actor::id_of};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::json;

use crate::search::path;

/// Ways to write the same, and what it is: a word, or characters that count for themselves.
struct Piece {
    spellings: &'static [&'static str],
    means: Meaning,
}

enum Meaning {
    Word(&'static str),
    Characters(&'static [char]),
}
use Meaning::{Characters, Word};

const fn piece(spellings: &'static [&'static str], means: Meaning) -> Piece {
    Piece { spellings, means }
}

const PIECES: &[Piece] = &[
    piece(&["build", "Build", "BUILD", "ｂｕｉｌｄ", "bu\u{AD}ild"], Word("build")),
    piece(&["built", "Built"], Word("built")),
    piece(&["the", "The", "THE"], Word("the")),
    piece(&["the", "The"], Word("the")),
    piece(&["café", "cafe", "Cafe\u{301}", "CAFÉ"], Word("cafe")),
    piece(&["42", "４２"], Word("42")),
    piece(&["Größe", "größe", "GROSSE", "Gro\u{308}ße"], Word("grosse")),
    piece(&["Straße", "STRASSE", "STRAẞE", "strasse"], Word("strasse")),
    piece(&["über", "Über", "uber", "u\u{308}ber"], Word("uber")),
    piece(&["Ёлка", "елка", "ЁЛКА"], Word("елка")),
    piece(&["Привет", "привет", "ПРИВЕТ"], Word("привет")),
    piece(&["приветы", "Приветы"], Word("приветы")),
    piece(&["سلام", "سَلام", "ســلام"], Word("سلام")),
    piece(&["أحمد", "احمد"], Word("احمد")),
    piece(&["λόγος", "ΛΌΓΟΣ"], Word("λογοσ")),
    piece(&["教程"], Characters(&['教', '程'])),
    piece(&["程序"], Characters(&['程', '序'])),
    piece(&["序教"], Characters(&['序', '教'])),
    piece(&["全文検索"], Characters(&['全', '文', '検', '索'])),
    piece(&["テスト", "ﾃｽﾄ"], Characters(&['テ', 'ス', 'ト'])),
    piece(&["ガス", "ｶﾞｽ", "カ\u{3099}ス"], Characters(&['ガ', 'ス'])),
    piece(&["한국", "\u{1112}\u{1161}\u{11AB}\u{1100}\u{116E}\u{11A8}"], Characters(&['한', '국'])),
    piece(&["국어"], Characters(&['국', '어'])),
    piece(&["ไทย"], Characters(&['ไ', 'ท', 'ย'])),
    piece(&["🎉"], Characters(&['🎉'])),
    piece(&["👍", "👍\u{FE0F}"], Characters(&['👍'])),
    piece(&["👍🏽"], Characters(&['👍', '🏽'])),
    piece(&["👩\u{200D}👩\u{200D}👧", "👩👩👧"], Characters(&['👩', '👩', '👧'])),
    piece(&["❤", "❤️"], Characters(&['❤'])),
    piece(&["𠀀𠀁"], Characters(&['𠀀', '𠀁'])),
];

/// A word, or a character and whether one stands right before it.
#[derive(Clone, Debug, PartialEq)]
enum Unit {
    Whole(String),
    Single(char, bool),
}

/// A text, and what it says.
#[derive(Clone, Debug, Default)]
struct Text {
    written: String,
    says: Vec<Unit>,
}

impl Text {
    fn add(&mut self, piece: &Piece, between: &str, random: &mut impl Rng) {
        let apart = !between.is_empty();
        self.written.push_str(between);
        self.written.push_str(piece.spellings.choose(random).expect("one"));
        match piece.means {
            Word(word) => self.says.push(Unit::Whole(word.to_owned())),
            Characters(characters) => {
                for (nth, character) in characters.iter().enumerate() {
                    let follows = matches!(self.says.last(), Some(Unit::Single(..)));
                    self.says.push(Unit::Single(*character, follows && (nth > 0 || !apart)));
                }
            }
        }
    }

    /// What may stand before the piece: two words need something between them.
    fn gap(&self, piece: &Piece, random: &mut impl Rng) -> &'static str {
        let words = matches!(self.says.last(), Some(Unit::Whole(_))) && matches!(piece.means, Word(_));
        let gaps = [" ", ", ", "-", "\n", " … ", "_", "\u{3000}", "", "", "", ""];
        if self.says.is_empty() {
            ""
        } else {
            gaps[..if words { 7 } else { gaps.len() }].choose(random).expect("one")
        }
    }

    fn of(pieces: usize, random: &mut impl Rng) -> Self {
        let mut text = Self::default();
        for _ in 0..pieces {
            let piece = PIECES.choose(random).expect("one");
            let gap = text.gap(piece, random);
            text.add(piece, gap, random);
        }
        text
    }

    /// Whether the wanted units stand in it side by side.
    fn holds(&self, wanted: &[Unit], open: bool) -> bool {
        (0..self.says.len()).any(|from| {
            wanted.iter().enumerate().all(|(nth, wanted_unit)| {
                match (wanted_unit, self.says.get(from + nth)) {
                    (Unit::Whole(wanted_word), Some(Unit::Whole(word))) => {
                        let last = nth + 1 == wanted.len();
                        word == wanted_word || (open && last && word.starts_with(wanted_word.as_str()))
                    }
                    (Unit::Single(wanted, follows), Some(Unit::Single(there, joined))) => {
                        wanted == there && (nth == 0 || !follows || *joined)
                    }
                    _ => false,
                }
            })
        })
    }
}

/// A search, written and meant.
#[derive(Default)]
struct Search {
    written: String,
    wanted: Vec<(Vec<Unit>, bool)>,
    left_out: Vec<(Vec<Unit>, bool)>,
    from: Option<usize>,
    place: Option<usize>,
}

impl Search {
    fn random(people: &[Actor], chats: &[String], random: &mut impl Rng) -> Self {
        let mut search = Self::default();
        for _ in 0..random.random_range(1..=3) {
            let (written, units, open) = term(random);
            write!(search.written, "{written} ").expect("text");
            search.wanted.push((units, open));
        }
        if random.random_ratio(1, 3) {
            let (written, units, open) = term(random);
            write!(search.written, " -{written}").expect("text");
            search.left_out.push((units, open));
        }
        if random.random_ratio(1, 4) {
            let who = random.random_range(0..3);
            write!(search.written, " from:{}", people[who].name).expect("text");
            search.from = Some(who);
        }
        if random.random_ratio(1, 4) {
            let place = random.random_range(0..chats.len());
            write!(search.written, " in:{}", chats[place]).expect("text");
            search.place = Some(place);
        }
        search
    }

    fn means(&self, message: &Sent) -> bool {
        self.wanted.iter().all(|(units, open)| message.text.holds(units, *open))
            && !self.left_out.iter().any(|(units, open)| message.text.holds(units, *open))
            && self.from.is_none_or(|who| who == message.by)
            && self.place.is_none_or(|place| place == message.place)
    }
}

/// Something to look for: what is written, what it means, and whether its last word may go on.
fn term(random: &mut impl Rng) -> (String, Vec<Unit>, bool) {
    match random.random_range(0..6) {
        // A beginning, or one character of some.
        0 => match PIECES.choose(random).expect("one").means {
            Word(word) => {
                let beginning: String = word.chars().take(random.random_range(1..5)).collect();
                (format!("{beginning}*"), vec![Unit::Whole(beginning)], true)
            }
            Characters(characters) => {
                let character = *characters.choose(random).expect("one");
                (character.to_string(), vec![Unit::Single(character, false)], false)
            }
        },
        1 => {
            let text = Text::of(2, random);
            let written = text.written.replace('\n', " ");
            (format!("\"{written}\""), text.says, false)
        }
        2 => {
            let mut text = Text::of(1, random);
            let piece = PIECES.choose(random).expect("one");
            text.add(piece, if text.gap(piece, random).is_empty() { "" } else { "-" }, random);
            (text.written, text.says, false)
        }
        _ => {
            let text = Text::of(1, random);
            (text.written, text.says, false)
        }
    }
}

struct Sent {
    id: String,
    place: usize,
    by: usize,
    text: Text,
}

struct World {
    site: Site,
    /// Three who write, then three who ask as well.
    people: Vec<Actor>,
    chats: Vec<String>,
    /// Who may read which chat.
    readers: Vec<Vec<usize>>,
    messages: Vec<Sent>,
}

impl World {
    async fn new() -> Self {
        let site = Site::start().await;
        let mut people = Vec::new();
        for name in ["ann", "bob", "cid", "late", "gone", "outsider"] {
            people.push(site.sign_up(name).await);
        }
        let (ann, bob, cid) = (&people[0], &people[1], &people[2]);
        let workspace = ann.make_workspace("Acme").await;
        for person in &people[1..5] {
            ann.welcome(&workspace, person).await;
        }
        people[5].make_workspace("Elsewhere").await;
        let chats = vec![
            ann.make_chat(&workspace, "PrivateChannel", &[bob, cid, &people[4]]).await,
            ann.make_chat(&workspace, "Group", &[bob, cid]).await,
            ann.make_chat(&workspace, "PublicChannel", &[bob, cid]).await,
            ann.make_chat(&workspace, "Single", &[bob]).await,
        ];
        let readers = vec![vec![0, 1, 2, 3], vec![0, 1, 2], vec![0, 1, 2, 3, 4], vec![0, 1]];
        Self { site, people, chats, readers, messages: Vec::new() }
    }

    async fn send(&mut self, random: &mut impl Rng) {
        let place = random.random_range(0..self.chats.len());
        let by = random.random_range(0..if place == 3 { 2 } else { 3 });
        let text = Text::of(random.random_range(1..9), random);
        let id = id_of(&self.people[by].send(&self.chats[place], &text.written).await);
        self.messages.push(Sent { id, place, by, text });
    }

    async fn edit_or_delete(&mut self, random: &mut impl Rng) {
        let which = random.random_range(0..self.messages.len());
        let message = &mut self.messages[which];
        let path = format!("/api/chats/{}/messages/{}", self.chats[message.place], message.id);
        if random.random_ratio(1, 2) {
            self.people[message.by].delete(&path).await.expect(204);
            self.messages.remove(which);
        } else {
            message.text = Text::of(random.random_range(1..9), random);
            let content = json!({ "content": message.text.written });
            self.people[message.by].patch(&path, content).await.expect(200);
        }
    }

    /// Everybody asks, page by page.
    async fn compare(&self, random: &mut impl Rng) -> usize {
        let search = Search::random(&self.people, &self.chats, random);
        let limit = random.random_range(1..30).to_string();
        let mut sum = 0;
        for (who, person) in self.people.iter().enumerate() {
            let mut meant: Vec<_> = self
                .messages
                .iter()
                .filter(|message| self.readers[message.place].contains(&who) && search.means(message))
                .map(|message| message.id.clone())
                .collect();
            meant.sort_unstable_by(|one, other| other.cmp(one));
            let (mut found, mut cursor) = (Vec::new(), None::<String>);
            loop {
                let mut parameters = vec![("q", search.written.as_str()), ("limit", &limit)];
                parameters.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
                let page = person.get(&path(&parameters)).await.expect(200);
                let results = page["results"].as_array().expect("results");
                found.extend(results.iter().map(|result| id_of(&result["message"])));
                cursor = page["next_cursor"].as_str().map(str::to_owned);
                if cursor.is_none() {
                    break;
                }
            }
            let texts = |ids: &[String]| -> Vec<&str> {
                let written = |id: &String| self.messages.iter().find(|message| message.id == *id);
                ids.iter().filter_map(written).map(|message| message.text.written.as_str()).collect()
            };
            assert_eq!(
                found,
                meant,
                "{} asks for {:?}: found {:#?} instead of {:#?}",
                person.name,
                search.written,
                texts(&found),
                texts(&meant)
            );
            sum += found.len();
        }
        sum
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_searches_find_what_a_scan_finds() {
    let mut random = StdRng::seed_from_u64(20_260_131);
    let mut world = World::new().await;
    for _ in 0..250 {
        world.send(&mut random).await;
    }
    let (private, ann) = (&world.chats[0], &world.people[0]);
    ann.post(&format!("/api/chats/{private}/members"), json!({ "member_ids": [world.people[3].id] }))
        .await
        .expect(200);
    ann.delete(&format!("/api/chats/{private}/members/{}", world.people[4].id)).await.expect(204);
    let mut results = 0;
    for round in 0..3 {
        // At first everything is read; then the chats seem long, and statistics tell how often a word is said.
        if round == 1 {
            sqlx::raw_sql("update chats set last_seq = last_seq + 100000; analyze messages")
                .execute(&world.site.pool)
                .await
                .expect("a superuser");
        }
        for _ in 0..80 {
            results += world.compare(&mut random).await;
            if random.random_ratio(1, 3) {
                world.edit_or_delete(&mut random).await;
                world.send(&mut random).await;
            }
        }
    }
    assert!(results > 2_000, "only {results} results in all");
}
