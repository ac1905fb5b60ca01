//! Files: uploaded, sent, read again, and gone.

mod access;
mod bad_input;
mod collecting;
mod kill;
mod large;

use fechatter_tests::{
    Actor, Site,
    actor::id_of,
    files::{PIXEL, form},
};
use reqwest::Method;
use serde_json::json;

/// Somebody with a workspace and a chat.
async fn scene(site: &Site) -> (Actor, String, String) {
    let ann = site.sign_up("ann").await;
    let workspace = ann.make_workspace("Acme").await;
    let chat = ann.make_chat(&workspace, "Group", &[]).await;
    (ann, workspace, chat)
}

/// Bytes that repeat only after a while.
fn some_bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at * 7 + at / 251) % 256).expect("a byte")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_uploaded_sent_listed_and_read_again() {
    let site = Site::start().await;
    let (ann, workspace, chat) = scene(&site).await;
    let bob = site.sign_up("bob").await;
    ann.welcome(&workspace, &bob).await;
    ann.post(&format!("/api/chats/{chat}/members"), json!({ "member_ids": [bob.id] })).await.expect(200);
    let mut stream = bob.stream(None).await;

    let bytes = some_bytes(200_000);
    let raw = ann.upload(&workspace, "grüße 👋.bin", bytes.clone()).await.expect(201);
    assert_eq!(raw["name"], "grüße 👋.bin");
    assert_eq!(raw["size"], 200_000);
    assert_eq!(raw["content_type"], "application/octet-stream");
    assert_eq!((&raw["width"], &raw["thumbnail"]), (&json!(null), &json!(false)));
    let head =
        "Content-Disposition: form-data; name=\"file\"; filename=\"pixel.png\"\r\nContent-Type: text/html";
    let body = form("x-y", &[(head, PIXEL)]);
    let query = format!("workspace_id={workspace}");
    let picture = ann.upload_as(&query, "multipart/form-data; boundary=x-y", body).await.expect(201);
    assert_eq!((&picture["name"], &picture["content_type"]), (&json!("pixel.png"), &json!("image/png")));
    assert_eq!((&picture["width"], &picture["height"]), (&json!(1), &json!(1)));
    assert_eq!(picture["thumbnail"], true);

    let sent = ann.send_files(&chat, &[&picture, &raw]).await.expect(201);
    assert_eq!(sent["files"], json!([picture, raw]));
    let event = stream.expect("message").await;
    assert_eq!(event.data["files"], json!([picture, raw]));
    let read = bob.get(&format!("/api/chats/{chat}/messages/{}", id_of(&sent))).await.expect(200);
    assert_eq!(read["files"], json!([picture, raw]));

    let path = format!("/api/files/{}", id_of(&raw));
    let whole = bob.fetch(&path, &[]).await;
    assert_eq!((whole.status, &whole.bytes), (200, &bytes));
    assert_eq!(whole.header("content-length"), "200000");
    assert_eq!(whole.header("content-type"), "application/octet-stream");
    assert_eq!(whole.header("x-content-type-options"), "nosniff");
    assert_eq!(whole.header("cache-control"), "private, no-cache");
    assert!(whole.header("content-security-policy").starts_with("sandbox; default-src 'none'"));
    assert!(whole.header("content-disposition").starts_with("attachment; "));
    assert!(
        whole.header("content-disposition").ends_with("filename*=UTF-8''gr%C3%BC%C3%9Fe%20%F0%9F%91%8B.bin")
    );
    let shown = bob.fetch(&format!("/api/files/{}", id_of(&picture)), &[]).await;
    assert_eq!((shown.header("content-type"), shown.bytes.as_slice()), ("image/png", PIXEL));
    assert!(shown.header("content-disposition").starts_with("inline; "));
    let small = bob.fetch(&format!("/api/files/{}/thumbnail", id_of(&picture)), &[]).await;
    assert_eq!((small.status, small.header("content-type")), (200, "image/jpeg"));
    image::load_from_memory(&small.bytes).expect("a picture");
    bob.get(&format!("{path}/thumbnail")).await.refuses(404, "not_found");

    let answer = bob.get(&format!("/api/chats/{chat}/files")).await;
    answer.event_id();
    let list = answer.expect(200);
    assert_eq!(list["has_more"], false);
    let files: Vec<_> = list["files"].as_array().into_iter().flatten().collect();
    assert_eq!(files.len(), 2);
    for entry in files {
        assert_eq!((&entry["message_id"], &entry["sender_id"]), (&sent["id"], &json!(ann.id)));
        assert!(entry["file"] == picture || entry["file"] == raw);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_read_as_http_says() {
    let site = Site::start().await;
    let (ann, workspace, _) = scene(&site).await;
    let bytes = some_bytes(150_000);
    let file = ann.upload(&workspace, "a", bytes.clone()).await.expect(201);
    let path = format!("/api/files/{}", id_of(&file));
    let etag = ann.fetch(&path, &[]).await.header("etag").to_owned();
    assert_eq!(etag.len(), 66);
    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=65535-65536", 65_535, 65_537),
        ("bytes=149999-", 149_999, 150_000),
        ("bytes=-5", 149_995, 150_000),
        ("bytes=100-99999999", 100, 150_000),
    ] {
        let part = ann.fetch(&path, &[("range", range)]).await;
        assert_eq!((part.status, part.bytes.as_slice()), (206, &bytes[from..to]), "{range}");
        assert_eq!(part.header("content-range"), format!("bytes {from}-{}/150000", to - 1));
        assert_eq!(part.header("content-length"), (to - from).to_string());
    }
    for range in ["bytes=0-1,5-6", "bytes=5-2", "lines=1-2", "bytes=x"] {
        let whole = ann.fetch(&path, &[("range", range)]).await;
        assert_eq!((whole.status, whole.bytes.len()), (200, 150_000), "{range}");
    }
    for range in ["bytes=150000-", "bytes=-0"] {
        let none = ann.fetch(&path, &[("range", range)]).await;
        assert_eq!((none.status, none.header("content-range")), (416, "bytes */150000"), "{range}");
    }
    let known = ann.fetch(&path, &[("if-none-match", &etag)]).await;
    assert_eq!((known.status, known.bytes.len(), known.header("etag")), (304, 0, etag.as_str()));
    let same = ann.fetch(&path, &[("range", "bytes=0-1"), ("if-range", &etag)]).await;
    assert_eq!(same.status, 206);
    let changed = ann.fetch(&path, &[("range", "bytes=0-1"), ("if-range", "\"other\"")]).await;
    assert_eq!((changed.status, changed.bytes.len()), (200, 150_000));
    let head = ann.fetch_by(Method::HEAD, &path, &[]).await;
    assert_eq!((head.status, head.header("content-length"), head.bytes.len()), (200, "150000", 0));
    assert_eq!(head.header("accept-ranges"), "bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_is_turned_as_it_was_and_does_not_tell_where() {
    let site = Site::start().await;
    let (ann, workspace, _) = scene(&site).await;
    let mut photo = std::io::Cursor::new(Vec::new());
    image::DynamicImage::new_rgb8(800, 400)
        .write_to(&mut photo, image::ImageFormat::Jpeg)
        .expect("a picture");
    let photo = photo.into_inner();
    // Orientation 6 and a place (GPS IFD) as cameras write them.
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x02\x01\x12\0\x03\0\0\0\x01\0\x06\0\0".to_vec();
    exif.extend(b"\x88\x25\0\x04\0\0\0\x01\0\0\0\x26\0\0\0\0GPS: 49 deg 24 min N");
    let length = u16::try_from(exif.len() + 2).expect("short").to_be_bytes();
    let told = [&photo[..2], &[0xff, 0xe1], &length, &exif, &photo[2..]].concat();
    let file = ann.upload(&workspace, "photo.jpg", told).await.expect(201);
    assert_eq!((&file["width"], &file["height"]), (&json!(400), &json!(800)));
    let path = format!("/api/files/{}", id_of(&file));
    for path in [path.clone(), format!("{path}/thumbnail")] {
        let shown = ann.fetch(&path, &[]).await;
        assert!(!shown.bytes.windows(3).any(|window| window == b"GPS"), "{path}");
        image::load_from_memory(&shown.bytes).expect("a picture");
    }
    let small = image::load_from_memory(&ann.fetch(&format!("{path}/thumbnail"), &[]).await.bytes);
    let small = small.expect("a picture");
    assert_eq!((small.width(), small.height()), (256, 512));
    let stored = ann.fetch(&path, &[]).await;
    assert_eq!(file["size"], stored.bytes.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chats_files_are_paged_newest_first() {
    let site = Site::start().await;
    let (ann, workspace, chat) = scene(&site).await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let message = ann.send_file(&workspace, &chat, &format!("{number}"), vec![1]).await;
        ids.insert(0, id_of(&message["files"][0]));
    }
    let path = format!("/api/chats/{chat}/files");
    let (mut seen, mut before) = (Vec::new(), String::new());
    loop {
        let page = ann.get(&format!("{path}?limit=2{before}")).await.expect(200);
        seen.extend(page["files"].as_array().into_iter().flatten().map(|entry| id_of(&entry["file"])));
        if page["has_more"] == false {
            break;
        }
        before = format!("&before={}", seen.last().expect("a file"));
    }
    assert_eq!(seen, ids);
    for limit in ["0", "101", "x"] {
        ann.get(&format!("{path}?limit={limit}")).await.blames("limit");
    }
    ann.get(&format!("{path}?colour=red")).await.blames("colour");
    ann.get(&format!("{path}?before={}", uuid::Uuid::now_v7())).await.blames("before");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_upload_at_once_and_every_byte_arrives() {
    let site = Site::start().await;
    let (ann, workspace, _) = scene(&site).await;
    let uploads = (1..=4_usize).map(|number| {
        let (ann, workspace) = (ann.clone(), workspace.clone());
        tokio::spawn(async move {
            let bytes = some_bytes(number * 1_000_003);
            let file = ann.upload(&workspace, "a", bytes.clone()).await.expect(201);
            (id_of(&file), bytes)
        })
    });
    let uploads: Vec<_> = uploads.collect();
    for upload in uploads {
        let (id, bytes) = upload.await.expect("no panic");
        assert!(ann.fetch(&format!("/api/files/{id}"), &[]).await.bytes == bytes, "{id}");
    }
}
