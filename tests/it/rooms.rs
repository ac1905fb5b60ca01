//! A line stands in its room.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// The product's sources, by their paths from the root.
fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for member in ["chat_core", "fechatter_server", "notify_server", "fechatter"] {
        collect(&root().join(member).join("src"), &mut files);
    }
    assert!(files.len() > 50, "the sources were found");
    files
}

fn collect(folder: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root()).expect("below the root").display().to_string();
            files.push((name, fs::read_to_string(&path).expect("text")));
        }
    }
}

/// The lines of the files outside of `rooms` that hold one of `marks`, comments and unit tests aside.
fn strays(marks: &[&str], in_room: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in sources() {
        if in_room(&name) {
            continue;
        }
        // Not at any item for tests: these stand among what servers run.
        let product = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        for (number, line) in product.lines().enumerate() {
            let code = line.trim_start();
            if !code.starts_with("//") && marks.iter().any(|mark| code.contains(mark)) {
                found.push(format!("{name}:{}: {code}", number + 1));
            }
        }
    }
    found
}

#[test]
fn sql_stands_in_stores_and_the_feed() {
    let marks = ["sqlx::query", "query!(", "query_as!(", "query_scalar!(", "QueryBuilder", "AssertSqlSafe"];
    let found = strays(&marks, |name| name.ends_with("store.rs") || name.ends_with("feed.rs"));
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn paths_stand_in_routes() {
    let found = strays(&["\"/api", "\"/livez", "\"/readyz"], |name| {
        name.ends_with("routes.rs") || name == "chat_core/src/operators.rs"
    });
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn statuses_stand_in_errors_and_answers() {
    let found = strays(&["StatusCode::"], |name| {
        ["error.rs", "problem.rs"].iter().any(|file| name.ends_with(file))
            || name.starts_with("chat_core/src/")
    });
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn these_tests_are_a_member_of_the_workspace() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("a manifest");
    let members =
        manifest.split("members = [").nth(1).and_then(|rest| rest.split(']').next()).expect("members");
    assert!(members.contains("\"tests\""), "{members}");
}
