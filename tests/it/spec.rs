//! The document says what the routes are.

use std::{fs, path::Path};

use fechatter_tests::Site;
use serde_json::Value;

#[test]
fn the_committed_document_is_what_the_routes_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("openapi.json");
    let committed: Value =
        serde_json::from_str(&fs::read_to_string(file).expect("openapi.json")).expect("JSON");
    let made: Value =
        serde_json::from_str(&fechatter::openapi::document().expect("a document")).expect("JSON");
    assert!(committed == made, "openapi.json is not what the routes say: run `make openapi`");
}

#[test]
fn the_committed_permissions_are_what_the_matrix_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let committed = fs::read_to_string(root.join("docs/permissions.md")).expect("docs/permissions.md");
    assert_eq!(committed, fechatter::permissions::page(), "run `make permissions`");
}

#[test]
fn the_document_is_openapi_3_1_and_refers_only_to_what_it_holds() {
    let text = fechatter::openapi::document().expect("a document");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    for part in text.split("\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().expect("a name");
        assert!(document["components"]["schemas"][name].is_object(), "{name} is missing");
    }
}

#[test]
fn every_body_refuses_unknown_fields() {
    let document: Value =
        serde_json::from_str(&fechatter::openapi::document().expect("a document")).expect("JSON");
    let mut bodies = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
            let Some(name) = schema.as_str().and_then(|reference| reference.rsplit('/').next()) else {
                continue;
            };
            let schema = &document["components"]["schemas"][name];
            assert_eq!(schema["additionalProperties"], false, "{method} {path}: {name}");
            bodies += 1;
        }
    }
    assert!(bodies > 10);
}

#[test]
fn every_list_tells_the_position_of_its_snapshot() {
    let document: Value =
        serde_json::from_str(&fechatter::openapi::document().expect("a document")).expect("JSON");
    let mut lists = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        let answer = &item["get"]["responses"]["200"];
        let schema = &answer["content"]["application/json"]["schema"]["$ref"];
        let Some(name) = schema.as_str().and_then(|reference| reference.rsplit('/').next()) else { continue };
        let properties =
            document["components"]["schemas"][name]["properties"].as_object().expect("properties");
        let a_list = properties.values().any(|property| property["type"] == "array");
        if a_list && !path.ends_with('}') && path != "/api/permissions" {
            assert!(answer["headers"]["X-Event-Id"].is_object(), "GET {path}");
            lists += 1;
        }
    }
    assert!(lists >= 8, "{lists}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_works_without_the_internet() {
    let site = Site::start().await;
    let client = fechatter_tests::actor::client();
    let page = client.get(site.url("/api/docs/")).send().await.expect("an answer");
    assert_eq!(page.status(), 200);
    let html = page.text().await.expect("text");
    assert!(html.contains("swagger-ui"), "{html}");
    assert!(!html.contains("https://") && !html.contains("http://"), "{html}");
    for asset in
        html.split("src=\"").chain(html.split("href=\"")).skip(1).filter_map(|rest| rest.split('"').next())
    {
        let Some(asset) = asset.strip_prefix("./") else { continue };
        let answer = client.get(site.url(&format!("/api/docs/{asset}"))).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{asset}");
    }
    let document = site.anonymous().get("/api/openapi.json").await.expect(200);
    assert!(document["paths"]["/api/chats"].is_object());
}
