//! A sign-in that is refused tells nothing of why: not by its answer, and not by the work that it takes.

use std::{collections::BTreeMap, net::SocketAddr};

use fechatter_tests::{
    Actor, Answer, cluster,
    measurements::Measurements,
    program::{Program, address_in},
};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::block_in_place;

const PASSWORD: &str = "a long enough phrase";

/// `fechatter up`, whose process hashes nobody else's passwords.
struct Up {
    _program: Program,
    folder: TempDir,
    url: String,
    anonymous: Actor,
    operators: SocketAddr,
}

impl Up {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = cluster::fresh_database().await;
        let variables = [
            ("FECHATTER_SERVER__PORT", "0"),
            ("FECHATTER_SERVER__ADMIN_PORT", "0"),
            ("FECHATTER_DATABASE__URL", url.as_str()),
            ("RUST_LOG", "warn"),
        ];
        let mut program = Program::start("fechatter", folder.path(), &["up"], &variables);
        let (address, operators) = block_in_place(|| {
            (address_in(&program.until("Fechatter is ready")), address_in(&program.until("For operators")))
        });
        let anonymous = Actor::anonymous_at(address, address);
        Self { _program: program, folder, url, anonymous, operators }
    }

    async fn sign_up(&self, name: &str) -> Actor {
        let body = json!({ "email": address(name), "password": PASSWORD, "full_name": name });
        let session = self.anonymous.post("/api/auth/signup", body).await.expect(201);
        self.anonymous.with_token(session["token"].as_str().expect("a token"))
    }

    async fn sign_in(&self, name: &str, password: &str) -> Answer {
        let body = json!({ "email": address(name), "password": password });
        self.anonymous.post("/api/auth/signin", body).await
    }

    fn user(&self, arguments: &[&str]) {
        let arguments = [&["user"], arguments].concat();
        let variables = [("FECHATTER_DATABASE__URL", self.url.as_str())];
        let mut program = Program::start("fechatter", self.folder.path(), &arguments, &variables);
        assert!(block_in_place(|| program.end()).success(), "{}", program.said);
    }

    /// How often argon2 was run.
    async fn hashed(&self) -> f64 {
        Measurements::of(self.operators).await.sum("fechatter_passwords_hashed_total", &[])
    }
}

fn address(name: &str) -> String {
    format!("{name}@example.com")
}

/// Everything in an answer but what tells requests and moments apart.
fn comparable(mut answer: Answer) -> (u16, BTreeMap<String, String>, Value) {
    answer.body["request_id"] = Value::Null;
    let mut headers = BTreeMap::new();
    for (name, value) in &answer.headers {
        let apart = ["date", "x-request-id"].contains(&name.as_str());
        let value = if apart { "" } else { value.to_str().expect("text") };
        let again = headers.insert(name.to_string(), value.to_owned());
        assert_eq!(again, None, "{name} is there twice");
    }
    (answer.status, headers, answer.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_refused_costs_one_hash_and_is_told_the_same() {
    let up = Up::start().await;
    up.sign_up("ann").await;
    up.sign_up("sid").await;
    let dan = up.sign_up("dan").await;
    up.user(&["suspend", "sid@example.com"]);
    let delete = dan.request(Method::DELETE, "/api/users/me", Some(json!({ "password": PASSWORD }))).await;
    delete.expect(204);

    let mut told = Vec::new();
    for (why, name, password) in [
        ("wrong", "ann", "a wrong phrase"),
        ("unknown", "nobody", PASSWORD),
        ("suspended, right", "sid", PASSWORD),
        ("suspended, wrong", "sid", "a wrong phrase"),
        ("deleted, right", "dan", PASSWORD),
        ("deleted, wrong", "dan", "a wrong phrase"),
        ("empty", "ann", ""),
        ("no address", "", PASSWORD),
    ] {
        let before = up.hashed().await;
        let answer = up.sign_in(name, password).await;
        let cost = up.hashed().await - before;
        assert!((cost - 1.0).abs() < 0.1, "{why}: {cost}");
        told.push((why, comparable(answer)));
    }
    let (_, wrong) = told[0].clone();
    assert_eq!((wrong.0, &wrong.2["code"]), (401, &json!("sign_in_refused")));
    for (why, answer) in told {
        assert_eq!(answer, wrong, "{why}");
    }
    // What can be nobody's password is refused for itself, before anybody is looked for.
    let before = up.hashed().await;
    let long = "x".repeat(1000);
    let known = up.sign_in("ann", &long).await;
    known.clone().blames("password");
    assert_eq!(comparable(known), comparable(up.sign_in("nobody", &long).await));
    assert!((up.hashed().await - before).abs() < 0.1);
    // Who is right costs as much as who is not.
    let before = up.hashed().await;
    up.sign_in("ann", PASSWORD).await.expect(200);
    assert!((up.hashed().await - before - 1.0).abs() < 0.1);
}
