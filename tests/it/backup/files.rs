//! Whether the files of a restored database are there: `restore --verify` looks, or says that it did not.

use std::{fs, path::Path};

use fechatter_tests::{Site, cluster, files::objects, program::Program};
use tokio::task::block_in_place;

use super::{has_clients, succeeds, text};

/// Restores into an empty database, with files in this folder; answers whether it went well, and what it said.
async fn restore(backup: &Path, keys: &Path, objects: &Path, verify: bool) -> (bool, String, String) {
    let url = cluster::empty_database().await;
    let folder = tempfile::tempdir().expect("a folder");
    let variables = [
        ("FECHATTER_DATABASE__URL", url.as_str()),
        ("FECHATTER_FILES__KEY_FILE", text(keys)),
        ("FECHATTER_FILES__FOLDER", text(objects)),
    ];
    let mut arguments = vec!["restore", text(backup)];
    arguments.extend(verify.then_some("--verify"));
    let mut program = Program::start("fechatter", folder.path(), &arguments, &variables);
    let status = block_in_place(|| program.end());
    (status.success(), program.said.clone(), url.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verified_restore_looks_at_the_files_or_says_that_it_did_not() {
    if !has_clients() {
        return;
    }
    let site = Site::start().await;
    let ann = site.sign_up("ann").await;
    let workspace = ann.make_workspace("Acme").await;
    let chat = ann.make_chat(&workspace, "Group", &[]).await;
    for n in 0..3 {
        ann.send_file(&workspace, &chat, &format!("file {n}"), vec![n; 100_000]).await;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let backup = folder.path().join("backup");
    succeeds(&site.database_url, &["backup", text(&backup)]);
    let (keys, place) = (&site.file_settings().key_file, site.files_folder());
    let nowhere = folder.path().join("nowhere");

    for (keys, place, verify, why) in [
        (&nowhere, place, true, "their keys"),
        (keys, nowhere.as_path(), true, "their folder"),
        (keys, place, false, "--verify was not given"),
    ] {
        let (well, said, _) = restore(&backup, keys, place, verify).await;
        assert!(well && said.contains("3 files were not looked at") && said.contains(why), "{said}");
    }
    assert!(!nowhere.exists(), "nothing is made where nothing is");
    let (well, said, _) = restore(&backup, keys, place, true).await;
    assert!(well && said.contains("Files: all 3 can be read"), "{said}");

    let objects = objects(place);
    assert_eq!(objects.len(), 3);
    fs::remove_file(place.join(&objects[0])).expect("an object");
    let mut bytes = fs::read(place.join(&objects[1])).expect("an object");
    *bytes.last_mut().expect("bytes") ^= 1;
    fs::write(place.join(&objects[1]), bytes).expect("an object");
    let (well, said, url) = restore(&backup, keys, place, true).await;
    assert!(!well && said.contains("the database is restored, but not its 3 files"), "{said}");
    assert!(said.contains("1 files have no object") && said.contains("1 files cannot be read"), "{said}");
    // The database is whole all the same: servers can start on it, once the objects are there.
    let restored = Site::start_on(url, |_, _| {}).await;
    let ann = restored.sign_in_again(&ann).await;
    assert_eq!(ann.chat_in_list(&chat).await["last_seq"], 3);
}
