use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

/// The handles, and `all` at the end where everybody is called.
fn found(content: &str) -> Vec<String> {
    let Mentioned { mut handles, all } = mentioned(content);
    handles.extend(all.then(|| "all".to_owned()));
    handles
}

#[test]
fn text_mentions() {
    let table: &[(&str, &[&str])] = &[
        ("@ann", &["ann"]),
        ("hello @ann and @bob", &["ann", "bob"]),
        ("@Ann @ANN @ann", &["ann"]),
        ("(@ann) [@bob] \"@cid\" *@dan* {@eve}", &["ann", "bob", "cid", "dan", "eve"]),
        ("cc:@ann,@bob;@cid", &["ann", "bob", "cid"]),
        ("@ann/@bob", &["ann", "bob"]),
        ("@ann's idea", &["ann"]),
        ("@ann: look", &["ann"]),
        ("line\n@ann\r\n@bob", &["ann", "bob"]),
        ("> @ann said", &["ann"]),
        ("    @ann, indented", &["ann"]),
        ("@a.b-c_9", &["a.b-c_9"]),
        ("👍@ann👍", &["ann"]),
        ("@all", &["all"]),
        ("@ALL!", &["all"]),
        ("@all. @all... _@all_", &["all"]),
        ("@ann @all @bob", &["ann", "bob", "all"]),
        ("@all-hands", &["all-hands"]),
    ];
    for (content, handles) in table {
        assert_eq!(found(content), *handles, "{content:?}");
    }
}

#[test]
fn punctuation_behind_a_handle_is_left_to_who_looks_it_up() {
    for (content, handle) in [
        ("thanks @ann.", "ann."),
        ("@ann...", "ann..."),
        ("@ann-", "ann-"),
        ("_@ann_", "ann_"),
        ("@ann, @ann; @ann?", "ann"),
    ] {
        assert_eq!(found(content), [handle], "{content:?}");
    }
    let longest = "x".repeat(32);
    assert_eq!(found(&format!("@{longest}....")), [longest.as_str()]);
    assert_eq!(found(&format!("@ann{}", ".".repeat(100))), [format!("ann{}", ".".repeat(29))]);
}

#[test]
fn text_mentions_nobody() {
    let table = [
        "",
        "@",
        "@@",
        "@ ann",
        "a@",
        "@an",
        "@ab ",
        "@é",
        "@@ann",
        "@ann@",
        "@@@@ann",
        // In a word.
        "mail@ann.de",
        "me@ann",
        "ann@example.com",
        "@ann@example.com",
        "été@ann",
        "cafe\u{301}@ann",
        "почта@ann",
        "1@ann",
        "@annä",
        "@ann\u{301}",
        "@ann.ö",
        // Escaped.
        r"\@ann",
        r"text \@ann",
        r"\\\@ann",
        // In an address.
        "https://example.com/@ann",
        "see http://x.y/?to=@ann&cc=@bob.",
        "(https://x.y/a(b)@ann)",
        "WWW.x.y/@ann",
        "<https://x.y/@ann>",
        "git+ssh://host/@ann",
        "x.y/@ann",
        "/@ann",
        "https://x.y/@ann/@bob",
        // Too long.
        "@xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ];
    for content in table {
        assert_eq!(found(content), [""; 0], "{content:?}");
    }
}

#[test]
fn code_mentions_nobody() {
    let table: &[(&str, &[&str])] = &[
        ("`@ann`", &[]),
        ("`@ann` @bob", &["bob"]),
        ("``a ` @ann`` @bob", &["bob"]),
        ("`one\n@ann` @bob", &["bob"]),
        // Not closed, or not in the same paragraph: text.
        ("` @ann", &["ann"]),
        ("`` @ann `", &["ann"]),
        ("`a\n\n@ann`", &["ann"]),
        // Escaped in front of the span; in it a backslash is text.
        (r"\`@ann`", &["ann"]),
        (r"`\`@ann`", &["ann"]),
        (r"\``@ann` @bob", &["bob"]),
        (r"\\`@ann`", &[]),
        // Fenced.
        ("```\n@ann\n```\n@bob", &["bob"]),
        ("```rust\n@ann\n\n@ann\n```", &[]),
        ("~~~\n@ann\n```\n@ann\n~~~\n@bob", &["bob"]),
        ("````\n@ann\n```\n@ann\n````\n@bob", &["bob"]),
        ("```\n@ann\n```` \n@bob", &["bob"]),
        ("```\n@ann\n``` no end\n@ann", &[]),
        ("```\r\n@ann\r\n```\r\n@bob", &["bob"]),
        ("> ```\n> @ann\n> ```\n@bob", &["bob"]),
        ("- ```\n  @ann\n  ```\n@bob", &["bob"]),
        ("1. ```\n   @ann\n   ```\n@bob", &["bob"]),
        ("before\n```\n@ann", &[]),
        ("```@ann``` @bob", &["bob"]),
        ("~~@ann~~", &["ann"]),
        // An address ends where code begins.
        ("https://x.y/`@ann` @bob", &["bob"]),
    ];
    for (content, handles) in table {
        assert_eq!(found(content), *handles, "{content:?}");
    }
}

#[test]
fn scripts_without_spaces_need_none() {
    for content in [
        "你好@ann",
        "@ann你好",
        "請@ann看",
        "ありがとう@annさん",
        "안녕@ann님",
        "สวัสดี@ann",
        "（@ann）",
        "，@ann。",
        "看https://x.y，@ann",
    ] {
        assert_eq!(found(content), ["ann"], "{content:?}");
    }
}

#[test]
fn escapes_end_where_they_should() {
    assert_eq!(found(r"\\@ann"), ["ann"]);
    assert_eq!(found(r"\a@ann"), [""; 0]);
    assert_eq!(found("\\\n@ann"), ["ann"]);
    assert_eq!(found("\\é @ann \\"), ["ann"]);
}

#[test]
fn only_so_many_handles_are_looked_up() {
    let mut content = String::new();
    for number in 0..2_000 {
        write!(content, "@n{number:03} ").expect("a string");
    }
    content.push_str("@all");
    let mentioned = mentioned(&content);
    assert_eq!(mentioned.handles.len(), HANDLES_MAX);
    assert_eq!(mentioned.handles[HANDLES_MAX - 1], "n049");
    assert!(mentioned.all, "it costs nothing to see");
    assert_eq!(found(&"@".repeat(10_000)), [""; 0]);
    assert_eq!(found(&"@ann ".repeat(2_000)), ["ann"]);
}

/// None of these ends within hours where a part of the text is read again and again.
#[test]
fn the_worst_texts_are_read_as_fast_as_others() {
    const MANY: usize = 300_000;
    let different_runs: Vec<_> = (1..3_000).map(|length| "`".repeat(length)).collect();
    let different_runs = different_runs.join(" ");
    for content in [
        format!("@ann {}", "@".repeat(MANY)),
        format!("@ann {}", "`` ` ".repeat(MANY)),
        format!("@ann {different_runs}"),
        format!("@ann {}", "\\`".repeat(MANY)),
        format!("@ann {}", "www.".repeat(MANY)),
        format!("@ann {}", "http://(".repeat(MANY)),
        format!("@ann {}", "@a/".repeat(MANY)),
        format!("@ann\n{}", "```\n\n~~~\n".repeat(MANY)),
        format!("@ann\n{}", "> - ".repeat(MANY)),
        format!("@ann {}", "@.".repeat(MANY)),
    ] {
        assert!(found(&content).starts_with(&["ann".to_owned()]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Texts of what the parser looks at, and of anything.
    #[test]
    fn places_are_in_the_text_and_in_order(
        content in prop_oneof![any::<String>(), r"([@`\\/:~> \n.é你a-c]|@ann|@all|www\.|://|```){0,40}"]
    ) {
        let mut last = 0;
        each_mention(&content, |place, mention| {
            assert!(last <= place.start, "{place:?} in {content:?}");
            last = place.end;
            let written = content[place].strip_prefix('@').expect("an @").to_ascii_lowercase();
            match mention {
                Mention::All => assert_eq!(written, ALL),
                Mention::Handle(handle) => {
                    assert!(HANDLE.contains(&handle.len()) && handle.bytes().all(in_handle), "{handle:?}");
                    assert_eq!(written, handle);
                }
            }
        });
    }

    /// What surrounds a paragraph changes nothing in it.
    #[test]
    fn paragraphs_stand_for_themselves(content in r"([@`\\/: .é你a-c]|@ann|@all|www\.|://){0,40}") {
        // Only a fence reaches over the end of a paragraph.
        let fenced = blocks(&content).is_empty() && !content.trim().is_empty();
        prop_assume!(!fenced);
        let around = format!("@first\n\n{content}\n\n@last\n");
        let mut inside = vec!["first".to_owned()];
        let Mentioned { handles, all } = mentioned(&content);
        inside.extend(handles.into_iter().filter(|handle| handle != "first" && handle != "last"));
        inside.push("last".to_owned());
        assert_eq!(mentioned(&around), Mentioned { handles: inside, all });
    }

    /// Escaping every sign leaves nobody mentioned.
    #[test]
    fn everything_can_be_escaped(content in r"[@`\\/:~> .é你a-c]{0,40}") {
        let escaped: String = content.chars().flat_map(|character| {
            character.is_ascii_punctuation().then_some('\\').into_iter().chain([character])
        }).collect();
        assert_eq!(mentioned(&escaped), Mentioned::default());
    }
}
