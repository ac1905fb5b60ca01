//! Who may read a file: who may read its message now, and nobody else.

use fechatter_tests::{Actor, Site, actor::id_of, files::PIXEL};
use serde_json::{Value, json};

/// Everything that could tell somebody of a file answers as if there were none.
async fn learns_nothing(person: &Actor, file: &str) {
    let nobody = uuid::Uuid::now_v7();
    let plain = |mut body: Value| {
        body["request_id"] = Value::Null;
        body
    };
    for rest in ["", "/thumbnail"] {
        for range in [
            None,
            Some(("range", "bytes=0-0")),
            Some(("range", "bytes=999999999-")),
            Some(("if-none-match", "*")),
        ] {
            let headers: Vec<_> = range.into_iter().collect();
            let of = async |id: &str| {
                let answer = person.fetch(&format!("/api/files/{id}{rest}"), &headers).await;
                let body: Value = serde_json::from_slice(&answer.bytes).expect("a problem");
                (answer.status, answer.headers.len(), plain(body))
            };
            let told = of(file).await;
            assert_eq!(told.0, 404, "{}: {rest} {range:?}", person.name);
            assert_eq!(told, of(&nobody.to_string()).await, "{}: {rest} {range:?}", person.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_read_the_message_now_may_read_the_file() {
    let site = Site::start().await;
    let (ann, bob, carol) =
        (site.sign_up("ann").await, site.sign_up("bob").await, site.sign_up("carol").await);
    let stranger = site.sign_up("stranger").await;
    stranger.make_workspace("Elsewhere").await;
    let workspace = ann.make_workspace("Acme").await;
    for person in [&bob, &carol] {
        ann.welcome(&workspace, person).await;
    }
    let private = ann.make_chat(&workspace, "PrivateChannel", &[&bob]).await;
    let public = ann.make_chat(&workspace, "PublicChannel", &[]).await;

    // Before it is sent, it is its uploader's alone, even in the same workspace.
    let file = bob.upload(&workspace, "pixel.png", PIXEL).await.expect(201);
    let path = format!("/api/files/{}", id_of(&file));
    assert_eq!(bob.fetch(&path, &[]).await.status, 200);
    for person in [&ann, &carol, &stranger] {
        learns_nothing(person, &id_of(&file)).await;
    }
    site.anonymous().get(&path).await.refuses(401, "unauthorized");
    // Nobody else sends it, and its uploader not elsewhere.
    ann.send_files(&private, &[&file]).await.blames("file_ids");
    let elsewhere = bob.make_workspace("Beyond").await;
    let beyond = bob.make_chat(&elsewhere, "Group", &[]).await;
    bob.send_files(&beyond, &[&file]).await.blames("file_ids");

    let message = bob.send_files(&private, &[&file]).await.expect(201);
    bob.send_files(&private, &[&file]).await.blames("file_ids");
    assert_eq!(ann.fetch(&path, &[]).await.status, 200);
    for person in [&carol, &stranger] {
        learns_nothing(person, &id_of(&file)).await;
        person.get(&format!("/api/chats/{private}/files")).await.refuses(404, "not_found");
    }
    // A public channel is read by the whole workspace.
    let shown = ann.send_file(&workspace, &public, "pixel.png", PIXEL.to_vec()).await;
    let shown = id_of(&shown["files"][0]);
    assert_eq!(carol.fetch(&format!("/api/files/{shown}"), &[]).await.status, 200);
    learns_nothing(&stranger, &shown).await;

    // Its uploader as well, once out of the chat; and back.
    ann.delete(&format!("/api/chats/{private}/members/{}", bob.id)).await.expect(204);
    learns_nothing(&bob, &id_of(&file)).await;
    ann.post(&format!("/api/chats/{private}/members"), json!({ "member_ids": [bob.id] })).await.expect(200);
    assert_eq!(bob.fetch(&path, &[]).await.status, 200);

    // A deleted message has no files, from that moment on, for anybody; and no table knows their names.
    ann.delete(&format!("/api/chats/{private}/messages/{}", id_of(&message))).await.expect(204);
    for person in [&ann, &bob] {
        learns_nothing(person, &id_of(&file)).await;
    }
    bob.send_files(&private, &[&file]).await.blames("file_ids");
    let page = ann.get(&format!("/api/chats/{private}/files")).await.expect(200);
    assert_eq!(page["files"], json!([]));
    let kept: i64 = sqlx::query_scalar(
        "select (select count(*) from files where facts->>'id' = $1 or thumbnail_of::text = $1)
            + (select count(*) from messages where files::text like '%' || $1 || '%')",
    )
    .bind(id_of(&file))
    .fetch_one(&site.pool)
    .await
    .expect("a count");
    assert_eq!(kept, 0);

    // Nor has a deleted chat, or a workspace that one has left.
    let last = id_of(&ann.send_file(&workspace, &private, "a", vec![1]).await["files"][0]);
    assert_eq!(bob.fetch(&format!("/api/files/{last}"), &[]).await.status, 200);
    let unsent = bob.upload(&workspace, "b", vec![1_u8]).await.expect(201);
    ann.delete(&format!("/api/chats/{private}")).await.expect(204);
    for person in [&ann, &bob] {
        learns_nothing(person, &last).await;
    }
    ann.delete(&format!("/api/workspaces/{workspace}/members/{}", bob.id)).await.expect(204);
    learns_nothing(&bob, &id_of(&unsent)).await;
    learns_nothing(&bob, &shown).await;
}
