//! What is no file, too much of one, or a trick.

use std::{io, time::Duration};

use bytes::Bytes;
use fechatter_tests::{
    Site,
    actor::id_of,
    files::{self, PIXEL, form},
};
use futures::{StreamExt, stream};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use super::{scene, some_bytes};

const FORM: &str = "multipart/form-data; boundary=b";
const HEAD: &str = "Content-Disposition: form-data; name=\"file\"; filename=\"a\"";

/// Files and drafts of files that lie in the folder.
fn objects(site: &Site) -> usize {
    files::objects(site.files_folder()).len()
}

/// Waits until so many are left.
async fn until_objects(site: &Site, wanted: usize) {
    for _ in 0..100 {
        if objects(site) == wanted {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("{} objects, and not {wanted}", objects(site));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_is_refused_and_leaves_nothing() {
    let site = Site::start().await;
    let (ann, workspace, chat) = scene(&site).await;
    let before = objects(&site);
    let to = format!("workspace_id={workspace}");
    let named = format!("{to}&name=a");
    ann.upload(&workspace, "a", Vec::<u8>::new()).await.blames("file");
    ann.upload_as(&to, FORM, form("b", &[(HEAD, b"")])).await.blames("file");
    for name in [
        "",
        " ",
        ".",
        "..",
        "a/b",
        "../../etc/passwd",
        "a\\b",
        "a\nb",
        "a\u{7f}",
        "\u{202e}gpj.exe",
        "a\u{0}",
    ] {
        ann.upload(&workspace, name, PIXEL).await.blames("name");
        let head = format!(
            "Content-Disposition: form-data; name=\"file\"; filename=\"{}\"",
            name.replace('\n', "%0A")
        );
        let answer = ann.upload_as(&to, FORM, form("b", &[(&head, PIXEL)])).await;
        answer.blames("name");
    }
    ann.upload(&workspace, &"x".repeat(256), PIXEL).await.blames("name");
    ann.upload_as(&to, "image/png", PIXEL.to_vec()).await.blames("name");
    ann.upload_as("name=a", "image/png", PIXEL.to_vec()).await.blames("workspace_id");
    ann.upload_as(&format!("{named}&colour=red"), "image/png", PIXEL.to_vec()).await.blames("colour");
    ann.upload_as(&format!("{named}&name=b"), "image/png", PIXEL.to_vec()).await.blames("name");
    // Forms with many parts, none, or no end.
    let many: Vec<_> = (0..1000).map(|_| (HEAD, PIXEL)).collect();
    ann.upload_as(&to, FORM, form("b", &many)).await.blames("file");
    ann.upload_as(&to, FORM, form("b", &[])).await.blames("file");
    let other = "Content-Disposition: form-data; name=\"other\"";
    ann.upload_as(&to, FORM, form("b", &[(other, b"x")])).await.blames("other");
    let whole = form("b", &[(HEAD, PIXEL)]);
    ann.upload_as(&to, FORM, whole[..whole.len() - 8].to_vec()).await.refuses(400, "malformed");
    ann.upload_as(&to, "multipart/form-data", whole.clone()).await.refuses(400, "malformed");
    ann.upload_as(&to, FORM, some_bytes(100_000)).await.refuses(400, "malformed");
    // Coded bodies are taken for nothing else.
    let coded =
        ann.ask(reqwest::Method::POST, &format!("/api/files?{named}")).header("content-encoding", "gzip");
    assert_eq!(coded.body(PIXEL).send().await.expect("an answer").status(), 415);
    until_objects(&site, before).await;

    // Too many in a message, one twice, none that is there.
    let file = ann.upload(&workspace, "a", PIXEL).await.expect(201);
    ann.send_files(&chat, &[&file, &file]).await.blames("file_ids");
    ann.send_files(&chat, &[&json!({ "id": uuid::Uuid::now_v7() })]).await.blames("file_ids");
    let ids: Vec<_> = (0..11).map(|_| uuid::Uuid::now_v7()).collect();
    let path = format!("/api/chats/{chat}/messages");
    ann.post(&path, json!({ "content": "a", "file_ids": ids })).await.blames("file_ids");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_browsers_could_run_is_text_to_be_saved() {
    let site = Site::start().await;
    let (ann, workspace, _) = scene(&site).await;
    let svg = "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>";
    for (name, content) in [
        ("a.html", "<!DOCTYPE html><script>alert(1)</script>"),
        ("a.svg", svg),
        ("a.png", svg),
        ("a.xml", "<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'/>"),
        ("a.js", "alert(1)"),
        ("a.gif", "GIF89a/*<svg onload=alert(1)>*/=1"),
    ] {
        let file = ann.upload(&workspace, name, content).await.expect(201);
        let answer = ann.fetch(&format!("/api/files/{}", id_of(&file)), &[]).await;
        assert_eq!(answer.bytes, content.as_bytes());
        assert!(
            ["text/plain", "application/octet-stream"].contains(&answer.header("content-type")),
            "{name}"
        );
        assert!(answer.header("content-disposition").starts_with("attachment; "), "{name}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(answer.header("content-security-policy").starts_with("sandbox"), "{name}");
        assert_eq!(file["thumbnail"], false);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_are_files_without_a_small_picture() {
    let site = Site::start().await;
    let (ann, workspace, _) = scene(&site).await;
    let mut bomb = PIXEL.to_vec();
    bomb[16..24].copy_from_slice(&[0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50]);
    let file = ann.upload(&workspace, "bomb.png", bomb).await.expect(201);
    assert_eq!((&file["width"], &file["thumbnail"]), (&json!(50_000), &json!(false)));
    // Within the limit of pixels, and cut short.
    let mut short = PIXEL.to_vec();
    short[16..24].copy_from_slice(&[0, 0, 0x13, 0x88, 0, 0, 0x13, 0x88]);
    let file = ann.upload(&workspace, "short.png", short).await.expect(201);
    assert_eq!(file["thumbnail"], false);
    // One whose table names the same item again and again, in as many parts as can be, in a few bytes each.
    let boxed = |kind: &[u8; 4], content: &[u8]| {
        [&u32::try_from(content.len() + 8).expect("short").to_be_bytes(), kind, content].concat()
    };
    let info = boxed(b"iinf", &[&[0; 6], boxed(b"infe", b"\x02\0\0\0\0\x01\0\0mime\0").as_slice()].concat());
    let parts = [b"\0\0\0\0\0\0\x07\xd0", [0, 1, 0, 0, 0xff, 0xff].repeat(2000).as_slice()].concat();
    let table = [&[0; 4], info.as_slice(), &boxed(b"iloc", &parts)].concat();
    let bomb = [boxed(b"ftyp", b"heic\0\0\0\0mif1heic"), boxed(b"meta", &table)].concat();
    let file = ann.upload(&workspace, "bomb.heic", bomb.clone()).await.expect(201);
    assert_eq!(file["content_type"], "image/heif");
    assert_eq!(ann.fetch(&format!("/api/files/{}", id_of(&file)), &[]).await.bytes, bomb);
    // An archive is bytes: nobody looks inside.
    let mut zip = b"PK\x03\x04".to_vec();
    zip.resize(100_000, 0);
    let file = ann.upload(&workspace, "bomb.zip", zip).await.expect(201);
    assert_eq!(file["content_type"], "application/zip");
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_are_held_while_bytes_come_in() {
    let site = Site::start_with(|settings, _| settings.files.limits.file_mib = 1).await;
    let (ann, workspace, _) = scene(&site).await;
    let most = some_bytes(1024 * 1024);
    ann.upload(&workspace, "a", most.clone()).await.expect(201);
    let before = objects(&site);
    let body = form("b", &[(HEAD, &most)]);
    ann.upload_as(&format!("workspace_id={workspace}"), FORM, body).await.expect(201);
    until_objects(&site, before + 1).await;
    // By what the head says, and by what comes without saying.
    ann.upload(&workspace, "a", [most.as_slice(), b"x"].concat()).await.refuses(413, "too_large");
    let endless = stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from(vec![7; 64 * 1024]))).take(40);
    let chunked = reqwest::Body::wrap_stream(endless);
    ann.upload(&workspace, "a", chunked).await.refuses(413, "too_large");
    until_objects(&site, before + 1).await;
}

/// Says it will send so much, sends so much, and waits for what comes back.
async fn lie(site: &Site, token: &str, workspace: &str, said: usize, sent: usize, hang_up: bool) -> String {
    let mut socket = TcpStream::connect(site.rest.address).await.expect("a connection");
    let head = format!(
        "POST /api/files?workspace_id={workspace}&name=a HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
         connection: close\r\ncontent-length: {said}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.expect("open");
    socket.write_all(&vec![b'x'; sent]).await.expect("open");
    if hang_up {
        return String::new();
    }
    let mut answer = Vec::new();
    // It is closed in the end.
    let _ = socket.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_about_lengths_stalls_and_hanging_up_leave_nothing() {
    let site = Site::start_with(|settings, _| settings.limits.body_idle_s = 1).await;
    let (ann, workspace, _) = scene(&site).await;
    let before = objects(&site);
    // More is said than comes: it waits, and is over when nothing has come for some time.
    let answer = lie(&site, &ann.token, &workspace, 1_000_000, 500_000, false).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("too_slow"), "{answer}");
    until_objects(&site, before).await;
    for sent in [0, 1, 100_000, 999_999] {
        lie(&site, &ann.token, &workspace, 1_000_000, sent, true).await;
    }
    sleep(Duration::from_millis(200)).await;
    until_objects(&site, before).await;
    // Less is said than comes: the file is what was said, and the rest is no request.
    let answer = lie(&site, &ann.token, &workspace, 10, 20, false).await;
    assert!(answer.starts_with("HTTP/1.1 201") && answer.contains("\"size\":10"), "{answer}");
    let answer = lie(&site, &ann.token, &workspace, usize::MAX / 2, 10, false).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upload_that_goes_on_lives() {
    let site = Site::start_with(|settings, _| {
        settings.limits.body_idle_s = 2;
        settings.limits.request_s = 2;
    })
    .await;
    let (ann, workspace, _) = scene(&site).await;
    let drops = stream::iter(0..16).then(async |_| {
        sleep(Duration::from_millis(300)).await;
        Ok::<_, io::Error>(Bytes::from(vec![b'x'; 2048]))
    });
    let file = ann.upload(&workspace, "a", reqwest::Body::wrap_stream(drops)).await.expect(201);
    assert_eq!(file["size"], 16 * 2048);
}

#[tokio::test(flavor = "multi_thread")]
async fn places_are_few_and_come_back() {
    let site = Site::start_with(|settings, _| settings.files.limits.uploads_per_person = 2).await;
    let (ann, workspace, _) = scene(&site).await;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let (sender, receiver) = tokio::sync::mpsc::channel::<io::Result<Bytes>>(1);
        sender.send(Ok(Bytes::from_static(b"begun"))).await.expect("a receiver");
        let body = stream::unfold(receiver, async |mut it| it.recv().await.map(|bytes| (bytes, it)));
        let (ann, workspace) = (ann.clone(), workspace.clone());
        let body = reqwest::Body::wrap_stream(body);
        waiting.push((sender, tokio::spawn(async move { ann.upload(&workspace, "a", body).await })));
    }
    sleep(Duration::from_millis(500)).await;
    ann.upload(&workspace, "a", PIXEL).await.refuses(503, "unavailable");
    for (sender, upload) in waiting {
        drop(sender);
        assert_eq!(upload.await.expect("no panic").expect(201)["size"], 5);
    }
    ann.upload(&workspace, "a", PIXEL).await.expect(201);
}
