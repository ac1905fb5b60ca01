//! A gigabyte in and out, in memory that does not grow with it.

use std::{io, time::Duration};

use bytes::Bytes;
use fechatter_tests::{Actor, actor::id_of};
use futures::{StreamExt, stream};
use serde_json::json;

use super::kill::Machine;

const MIB: usize = 1024 * 1024;
/// How much more memory the server may take for it; its chunks are 64 KiB, and its parts 1 MiB.
const MORE_MIB: usize = 64;

/// The memory of a process that is in use, in MiB (proc(5), `VmHWM`: the most that it ever was).
fn most_memory(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") / 1024
}

fn piece(number: usize) -> Bytes {
    let mut bytes = vec![0; MIB];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::try_from((number * 31 + at * 7 + at / 251) % 256).expect("a byte");
    }
    bytes.into()
}

async fn in_and_out(mib: usize) {
    let machine = Machine::make(&[("FECHATTER_FILES__LIMITS__FILE_MIB", "2048")]).await;
    let (program, address) = machine.start();
    let anonymous = Actor::anonymous_at(address, address);
    let body = json!({ "email": "ann@example.com", "password": "a long enough phrase", "full_name": "ann" });
    let session = anonymous.post("/api/auth/signup", body).await.expect(201);
    let ann = anonymous.with_token(session["token"].as_str().expect("a token"));
    let workspace = ann.make_workspace("Acme").await;
    let begun = most_memory(program.id());

    // Eight pieces that repeat, so that the test takes no time of its own.
    let pieces: Vec<_> = (0..8).map(piece).collect();
    let all = pieces.clone().into_iter().cycle().take(mib).map(Ok::<_, io::Error>);
    let body = reqwest::Body::wrap_stream(stream::iter(all));
    let request = ann.upload_request(&workspace, "large", body).timeout(Duration::from_mins(10));
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 201);
    let file: serde_json::Value = answer.json().await.expect("JSON");
    assert_eq!(file["size"], mib * MIB);
    let uploaded = most_memory(program.id());

    let request = ann.ask(reqwest::Method::GET, &format!("/api/files/{}", id_of(&file)));
    let answer = request.timeout(Duration::from_mins(10)).send().await.expect("an answer");
    let mut body = std::pin::pin!(answer.bytes_stream());
    let mut read = 0;
    while let Some(bytes) = body.next().await {
        for byte in bytes.expect("a whole body").chunks(4096) {
            let (piece, at) = (&pieces[read / MIB % 8], read % MIB);
            let end = (at + byte.len()).min(MIB);
            assert!(byte[..end - at] == piece[at..end], "at {read}");
            let rest = &byte[end - at..];
            assert!(rest.is_empty() || rest == &pieces[(read / MIB + 1) % 8][..rest.len()], "at {read}");
            read += byte.len();
        }
    }
    assert_eq!(read, mib * MIB);
    let downloaded = most_memory(program.id());
    eprintln!(
        "{mib} MiB: {begun} MiB of memory before, {uploaded} at most while it came in, {downloaded} while it went out"
    );
    assert!(downloaded < begun + MORE_MIB, "{begun} MiB, {uploaded} MiB, {downloaded} MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_a_file() {
    in_and_out(128).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a gigabyte of disk; `make files-test`"]
async fn a_gigabyte() {
    in_and_out(1024).await;
}
