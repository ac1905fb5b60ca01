use axum::{body::Body, http::HeaderValue};
use futures::stream;

use super::*;

type Read = Result<(Option<String>, Vec<u8>), String>;

/// Reads a form that comes in pieces of this size.
async fn read(content_type: &'static str, form: &str, piece: usize) -> Read {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    let pieces: Vec<_> = form
        .as_bytes()
        .chunks(piece)
        .map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)))
        .collect();
    let body = Body::from_stream(stream::iter(pieces)).into_data_stream();
    let in_words = |problem: Problem| match problem.errors.first() {
        Some(error) => format!("{}: {}", error.field, error.message),
        None => problem.code.to_owned(),
    };
    let boundary = boundary(&headers).map_err(in_words)?.expect("a form");
    let mut form = Form::new(&boundary, body);
    let name = form.open().await.map_err(in_words)?;
    let mut file = Vec::new();
    while let Some(bytes) = form.next().await.map_err(in_words)? {
        file.extend_from_slice(&bytes);
    }
    Ok((name, file))
}

async fn in_all_pieces(form: &str) -> Read {
    let whole = read("multipart/form-data; boundary=b", form, usize::MAX).await;
    for piece in 1..40 {
        assert_eq!(read("multipart/form-data; boundary=b", form, piece).await, whole, "{piece}: {form:?}");
    }
    whole
}

fn part(disposition: &str, content: &str) -> String {
    format!("--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n--b--\r\n")
}

#[tokio::test]
async fn the_file_comes_out_as_it_went_in() {
    for content in
        ["", "x", "\r\n", "\r\n--", "\r\n--a", "--b", "\r\n-", "a\r\n\r\n--\r\nb", "\r\r\n--c--\r\n"]
    {
        let read = in_all_pieces(&part("name=\"file\"; filename=\"a.txt\"", content)).await;
        assert_eq!(read, Ok((Some("a.txt".into()), content.as_bytes().to_vec())), "{content:?}");
    }
    let with_more = "a preamble\r\n--b  \r\nX: y\r\ncontent-disposition: form-data; filename=a; name=file\r\n\
        Content-Type: image/png\r\n\r\nfile\r\n--b--and an epilogue";
    assert_eq!(in_all_pieces(with_more).await, Ok((Some("a".into()), b"file".to_vec())));
}

#[tokio::test]
async fn names_are_read_as_browsers_and_others_write_them() {
    for (written, name) in [
        ("filename=\"a b.txt\"", Some("a b.txt")),
        ("filename=\"%22a%22 100%.txt\"", Some("\"a\" 100%.txt")),
        (r#"filename="\"a\".txt""#, Some("\"a\".txt")),
        (r#"filename="C:\dir\a.txt""#, Some(r"C:\dir\a.txt")),
        ("filename=\"grüße;=.txt\"", Some("grüße;=.txt")),
        ("filename=\"\"", Some("")),
        ("filename*=UTF-8''x", None),
        ("x=y", None),
    ] {
        let read = in_all_pieces(&part(&format!("name=\"file\"; {written}"), "c")).await;
        assert_eq!(read, Ok((name.map(str::to_owned), b"c".to_vec())), "{written}");
    }
}

#[tokio::test]
async fn what_is_no_form_with_one_file_is_refused() {
    let good = part("name=\"file\"; filename=\"a\"", "c");
    let (two, other) = (good.replace("--b--", "--b\r\n\r\n\r\n--b--"), part("name=\"other\"", "c"));
    for (form, expected) in [
        (two.as_str(), "file: must be the only part"),
        (&other, "other: is not expected"),
        ("--b--\r\n", "file: is missing"),
        (&good[..good.len() - 6], "malformed"),
        (&good[..20], "malformed"),
        ("", "malformed"),
        ("--b\r\n\r\nfile\r\n--b--", "malformed"),
        ("--b\r\nnonsense\r\n\r\nfile\r\n--b--", "malformed"),
        ("--bb\r\n\r\n--b--", "malformed"),
        (&part("filename=\"a\"", "c"), "malformed"),
        (&good.replace("form-data;", "attachment;"), "malformed"),
        (&good.replace("\r\n\r\nc", "\r\nContent-Transfer-Encoding: base64\r\n\r\nc"), "malformed"),
        (&format!("{}{good}", "x".repeat(HEAD * 2)), "malformed"),
        (&format!("{good}{}", "x".repeat(HEAD * 2)), "malformed"),
        (&good.replace("name=", &format!("x={}; name=", "y".repeat(HEAD * 2))), "malformed"),
    ] {
        let read = in_all_pieces(form).await;
        assert_eq!(read, Err(expected.into()), "{form:.80}");
    }
    for content_type in ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; x=y"]
    {
        assert_eq!(read(content_type, &good, 100).await, Err("malformed".into()));
    }
    assert!(read("multipart/form-data; Boundary=\"b\"", &good, 100).await.is_ok());
}
