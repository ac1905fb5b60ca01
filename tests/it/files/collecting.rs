//! What nobody needs goes after some time, and what it took is given back.

use std::time::Duration;

use chrono::TimeDelta;
use fechatter_tests::{
    Actor, Site,
    actor::id_of,
    files::{self, PIXEL},
};
use serde_json::Value;

use super::{scene, some_bytes};

/// A server collects when it starts.
async fn collect(site: &Site) {
    let server = site.another_rest();
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let due: i64 =
            sqlx::query_scalar("select count(*) from removed_files where removed_at < $1 - interval '1 day'")
                .bind(site.clock.now())
                .fetch_one(&site.pool)
                .await
                .expect("a count");
        if due == 0 {
            break;
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.stop().await;
}

/// The objects in the folder, by their names.
fn objects(site: &Site) -> Vec<String> {
    files::objects(site.files_folder())
}

/// The objects that rows name.
async fn named(site: &Site) -> Vec<String> {
    sqlx::query_scalar("select location from files union select location from removed_files order by 1")
        .fetch_all(&site.pool)
        .await
        .expect("names")
}

async fn used(site: &Site) -> Vec<i64> {
    sqlx::query_scalar("select bytes from file_usage order by bytes desc")
        .fetch_all(&site.pool)
        .await
        .expect("numbers")
}

async fn status(person: &Actor, file: &Value) -> u16 {
    person.fetch(&format!("/api/files/{}", id_of(file)), &[]).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_message_holds_goes_after_the_grace() {
    let site = Site::start().await;
    let (ann, workspace, chat) = scene(&site).await;
    let message = ann.send_file(&workspace, &chat, "kept.png", PIXEL.to_vec()).await;
    let kept = &message["files"][0];
    let unsent = ann.upload(&workspace, "unsent.png", PIXEL).await.expect(201);
    let deleted = ann.send_file(&workspace, &chat, "deleted", some_bytes(1000)).await;
    ann.delete(&format!("/api/chats/{chat}/messages/{}", id_of(&deleted))).await.expect(204);
    assert_eq!(status(&ann, &deleted["files"][0]).await, 404);
    let pixel = i64::try_from(PIXEL.len()).expect("few");
    assert_eq!(used(&site).await, [2 * pixel + 1000; 2]);
    // Two pictures with their small ones, and the deleted file.
    assert_eq!(named(&site).await.len(), 5);
    assert_eq!(objects(&site).len(), 5);

    site.clock.advance(TimeDelta::hours(23));
    let ann = site.sign_in_again(&ann).await;
    collect(&site).await;
    assert_eq!(named(&site).await.len(), 5);
    assert_eq!(status(&ann, &unsent).await, 200);

    site.clock.advance(TimeDelta::hours(2));
    let ann = site.sign_in_again(&ann).await;
    collect(&site).await;
    assert_eq!(status(&ann, &unsent).await, 404);
    ann.send_files(&chat, &[&unsent]).await.blames("file_ids");
    assert_eq!(status(&ann, kept).await, 200);
    assert_eq!(used(&site).await, [pixel; 2]);
    // The small picture of what was given up waits once more.
    site.clock.advance(TimeDelta::hours(25));
    collect(&site).await;
    let names = named(&site).await;
    assert_eq!(names.len(), 2);
    assert_eq!(objects(&site), names);
}

#[tokio::test(flavor = "multi_thread")]
async fn purged_chats_and_workspaces_take_their_files_with_them() {
    let site = Site::start().await;
    let (ann, workspace, chat) = scene(&site).await;
    ann.send_file(&workspace, &chat, "a.png", PIXEL.to_vec()).await;
    ann.upload(&workspace, "b", vec![1_u8]).await.expect(201);
    ann.delete(&format!("/api/workspaces/{workspace}")).await.expect(204);
    site.clock.advance(TimeDelta::days(31));
    collect(&site).await;
    collect(&site).await;
    let rows: i64 =
        sqlx::query_scalar("select (select count(*) from files) + (select count(*) from workspaces)")
            .fetch_one(&site.pool)
            .await
            .expect("a count");
    assert_eq!(rows, 0);
    // Noted by the database's own clock when their rows went.
    sqlx::query("update removed_files set removed_at = removed_at - interval '40 days'")
        .execute(&site.pool)
        .await
        .expect("an update");
    collect(&site).await;
    assert_eq!(named(&site).await, Vec::<String>::new());
    assert_eq!(objects(&site), Vec::<String>::new());
    assert_eq!(used(&site).await, [0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_names_is_swept() {
    let site = Site::start().await;
    let (ann, workspace, chat) = scene(&site).await;
    let kept = ann.send_file(&workspace, &chat, "kept", vec![1]).await;
    let lost = ann.upload(&workspace, "lost", vec![2_u8]).await.expect(201);
    // As if the program had died before it wrote the row.
    sqlx::query("delete from files where id = $1::uuid")
        .bind(id_of(&lost))
        .execute(&site.pool)
        .await
        .expect("gone");
    sqlx::query("delete from removed_files").execute(&site.pool).await.expect("gone");
    let before = objects(&site).len();
    collect(&site).await;
    assert_eq!(objects(&site).len(), before);
    site.clock.advance(TimeDelta::hours(25));
    collect(&site).await;
    assert_eq!(objects(&site).len(), before - 1);
    let ann = site.sign_in_again(&ann).await;
    assert_eq!(status(&ann, &kept["files"][0]).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_hold_whoever_comes_at_once() {
    let site = Site::start_with(|settings, _| {
        settings.files.limits.person_mib = 1;
        settings.files.limits.workspace_mib = 2;
        settings.files.limits.uploads_per_person = 20;
    })
    .await;
    let (ann, workspace, _) = scene(&site).await;
    let others = [site.sign_up("bob").await, site.sign_up("carol").await];
    for person in &others {
        ann.welcome(&workspace, person).await;
    }
    // A quarter more than a quarter of what a person may have: three fit.
    let bytes = some_bytes(300 * 1024);
    let uploads = (0..12).map(|_| {
        let (ann, workspace, bytes) = (ann.clone(), workspace.clone(), bytes.clone());
        tokio::spawn(async move { ann.upload(&workspace, "a", bytes).await })
    });
    let uploads: Vec<_> = uploads.collect();
    let mut taken = 0;
    for upload in uploads {
        let answer = upload.await.expect("no panic");
        if answer.status == 201 {
            taken += 1;
        } else {
            answer.refuses(409, "quota_exceeded");
        }
    }
    assert_eq!(taken, 3);
    // Three of the next person, and none of the third: the workspace is full after six.
    let mut taken = [0; 2];
    for (person, taken) in others.iter().zip(&mut taken) {
        for _ in 0..4 {
            let answer = person.upload(&workspace, "a", bytes.clone()).await;
            *taken += i32::from(answer.status == 201);
        }
    }
    assert_eq!(taken, [3, 0]);
    // Elsewhere there is room for who has some left.
    let elsewhere = others[1].make_workspace("Elsewhere").await;
    others[1].upload(&elsewhere, "a", bytes.clone()).await.expect(201);
    assert_eq!(objects(&site), named(&site).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_and_the_collector_never_both_have_a_file() {
    let site = Site::start().await;
    let (ann, workspace, chat) = scene(&site).await;
    let mut files = Vec::new();
    for number in 0..60 {
        files.push(ann.upload(&workspace, "a", vec![number; 100]).await.expect(201));
    }
    site.clock.advance(TimeDelta::hours(25));
    let ann = site.sign_in_again(&ann).await;
    // All are due, and are sent while a server begins to collect.
    let sends: Vec<_> = files
        .iter()
        .map(|file| {
            let (ann, chat, file) = (ann.clone(), chat.clone(), file.clone());
            tokio::spawn(async move { (ann.send_files(&chat, &[&file]).await, file) })
        })
        .collect();
    let collector = site.another_rest();
    let mut sent = Vec::new();
    for send in sends {
        let (answer, file) = send.await.expect("no panic");
        if answer.status == 201 {
            sent.push(id_of(&file));
        } else {
            answer.blames("file_ids");
            assert_eq!(status(&ann, &file).await, 404);
        }
    }
    collector.stop().await;
    site.clock.advance(TimeDelta::hours(25));
    let ann = site.sign_in_again(&ann).await;
    collect(&site).await;
    for file in &files {
        let expected = if sent.contains(&id_of(file)) { 200 } else { 404 };
        assert_eq!(status(&ann, file).await, expected);
    }
    assert_eq!(objects(&site), named(&site).await);
    assert_eq!(objects(&site).len(), sent.len());
}
