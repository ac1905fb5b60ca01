//! Rate limits, and whom they count.

use chat_core::limits::Allowance;
use chrono::TimeDelta;
use fechatter_server::config::Settings;
use fechatter_tests::{Actor, Answer, Site};
use notify_server::config::Settings as NotifySettings;
use reqwest::Method;
use serde_json::{Value, json};

const PASSWORD: &str = "a long enough phrase";
/// Where `ann` signs up.
const HOME: &str = "192.0.2.1";

/// So many, and hardly any more while a test runs.
fn only(burst: u32) -> Allowance {
    Allowance::new(0.001, burst).expect("in range")
}

fn on(rest: &mut Settings, notify: &mut NotifySettings) {
    let proxies: chat_core::http::client_address::Networks = "127.0.0.1".parse().expect("an address");
    rest.server.trusted_proxies = proxies.clone();
    notify.server.trusted_proxies = proxies;
    rest.limits.enabled = true;
    notify.limits.enabled = true;
}

/// A request by way of a trusted proxy, which this test plays.
async fn ask(
    site: &Site,
    from: &str,
    method: Method,
    path: &str,
    token: &str,
    body: Option<Value>,
) -> Answer {
    let address =
        if path.starts_with("/api/notifications") { site.notify.address } else { site.rest.address };
    let mut request = site.client.request(method.clone(), format!("http://{address}{path}"));
    request = request.header("x-forwarded-for", from);
    if !token.is_empty() {
        request = request.bearer_auth(token);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    Answer::read(format!("{method} {path} from {from}"), request.send().await.expect("an answer")).await
}

async fn sign_up(site: &Site, name: &str, from: &str) -> Actor {
    let body = json!({ "email": format!("{name}@example.com"), "password": PASSWORD, "full_name": name });
    let answer = ask(site, from, Method::POST, "/api/auth/signup", "", Some(body)).await;
    Actor::from_session(site, &answer.expect(201))
}

async fn sign_in(site: &Site, name: &str, password: &str, from: &str) -> Answer {
    let body = json!({ "email": format!("{name}@example.com"), "password": password });
    ask(site, from, Method::POST, "/api/auth/signin", "", Some(body)).await
}

/// The bodies of answers, without what tells requests apart.
fn comparable(answers: &[Answer]) -> Vec<(u16, Value)> {
    let body = |answer: &Answer| {
        let mut body = answer.body.clone();
        body["request_id"] = Value::Null;
        (answer.status, body)
    };
    answers.iter().map(body).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_are_counted_alike_whether_or_not_there_is_an_account() {
    let site = Site::start_with(|rest, notify| {
        on(rest, notify);
        rest.limits.passwords = only(80);
        rest.limits.wrong_passwords = only(5);
    })
    .await;
    sign_up(&site, "ann", HOME).await;
    let sid = sign_up(&site, "sid", HOME).await;
    let suspend = "update users set status = 'Suspended' where id = $1::uuid";
    sqlx::query(suspend)
        .bind(uuid::Uuid::parse_str(&sid.id).expect("an id"))
        .execute(&site.pool)
        .await
        .expect("done");

    let mut all = Vec::new();
    // Wrong, unknown, and right but suspended.
    for (name, password, from) in [
        ("ann", "a wrong phrase", "198.51.100.1"),
        ("nobody", PASSWORD, "198.51.100.2"),
        ("sid", PASSWORD, "198.51.100.3"),
    ] {
        let mut answers = Vec::new();
        for _ in 0..7 {
            answers.push(sign_in(&site, name, password, from).await);
        }
        for answer in &answers[5..] {
            answer.clone().refuses(429, "rate_limited");
            let policy = answer.headers["ratelimit-policy"].to_str().expect("text");
            assert_eq!(policy, "\"wrong_passwords\";q=5;w=5000");
            let seconds: u32 =
                answer.headers["retry-after"].to_str().expect("text").parse().expect("a number");
            assert!((900..=1000).contains(&seconds), "{seconds}");
            assert_eq!(answer.headers["ratelimit"], format!("\"wrong_passwords\";r=0;t={seconds}"));
        }
        let mut answers = comparable(&answers);
        // How many seconds are left may differ by one.
        for (status, body) in &mut answers {
            if *status == 429 {
                body["detail"] = Value::Null;
            }
        }
        all.push(answers);
    }
    assert_eq!(all[0], all[1]);
    assert_eq!(all[0], all[2]);
    assert_eq!(
        all[0].iter().map(|(status, _)| *status).collect::<Vec<_>>(),
        [401, 401, 401, 401, 401, 429, 429]
    );

    // The right one waits as long, there, and nowhere else.
    sign_in(&site, "ann", PASSWORD, "198.51.100.1").await.expect(429);
    sign_in(&site, "ann", PASSWORD, "198.51.100.9").await.expect(200);
    site.clock.advance(TimeDelta::seconds(1001));
    sign_in(&site, "ANN", "a wrong phrase", "198.51.100.1").await.expect(401);
    sign_in(&site, "Ann", PASSWORD, "198.51.100.1").await.expect(429);
    site.clock.advance(TimeDelta::seconds(1001));
    sign_in(&site, "ann", PASSWORD, "198.51.100.1").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn right_passwords_are_not_counted() {
    let site = Site::start_with(|rest, notify| {
        on(rest, notify);
        rest.limits.passwords = only(80);
        rest.limits.wrong_passwords = only(5);
        rest.limits.wrong_passwords_anywhere = only(5);
    })
    .await;
    sign_up(&site, "ann", HOME).await;
    for _ in 0..4 {
        sign_in(&site, "ann", "a wrong phrase", HOME).await.expect(401);
    }
    for _ in 0..10 {
        sign_in(&site, "ann", PASSWORD, HOME).await.expect(200);
    }
    // They have not made up for the wrong ones either.
    sign_in(&site, "ann", "a wrong phrase", HOME).await.expect(401);
    sign_in(&site, "ann", PASSWORD, HOME).await.expect(429);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_wrong_passwords_at_once_gain_nothing() {
    let site = Site::start_with(|rest, notify| {
        on(rest, notify);
        rest.limits.passwords = only(80);
        rest.limits.wrong_passwords = only(5);
        rest.auth.hashing_queue = 100;
        rest.auth.hashing_wait_ms = 20_000;
    })
    .await;
    sign_up(&site, "ann", HOME).await;
    let tries = (0..60).map(|_| sign_in(&site, "ann", "a wrong phrase", "198.51.100.1"));
    let answers = futures::future::join_all(tries).await;
    let compared = answers.iter().filter(|answer| answer.status == 401).count();
    let refused = answers.iter().filter(|answer| answer.status == 429).count();
    assert_eq!(compared + refused, 60);
    // Both buckets of a key are emptied one after the other, so that one or two may slip in between.
    assert!((5..=10).contains(&compared), "{compared}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_locked_out_where_they_have_signed_in_before() {
    let site = Site::start_with(|rest, notify| {
        on(rest, notify);
        rest.limits.passwords = only(80);
        rest.limits.wrong_passwords = only(5);
        rest.limits.wrong_passwords_anywhere = only(20);
    })
    .await;
    sign_up(&site, "ann", "2001:db8:1:1::1").await;
    for attacker in 1..=4 {
        for _ in 0..5 {
            sign_in(&site, "ann", "a wrong phrase", &format!("198.51.100.{attacker}")).await.expect(401);
        }
    }
    // No further guesses from anywhere.
    sign_in(&site, "ann", "a wrong phrase", "198.51.100.5").await.refuses(429, "rate_limited");
    sign_in(&site, "ann", PASSWORD, "203.0.113.1").await.expect(429);
    sign_in(&site, "ann", PASSWORD, "2001:db8:1:2::1").await.expect(429);
    // But from the network that she signed up from, as many as ever.
    sign_in(&site, "ann", PASSWORD, "2001:db8:1:1::2").await.expect(200);
    for _ in 0..5 {
        sign_in(&site, "ann", "a wrong phrase", "2001:db8:1:1::3").await.expect(401);
    }
    sign_in(&site, "ann", PASSWORD, "2001:db8:1:1::4").await.expect(429);
    // Others are not concerned.
    sign_up(&site, "bob", HOME).await;
    sign_in(&site, "bob", PASSWORD, "198.51.100.1").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_may_offer_so_many_passwords() {
    let site = Site::start_with(|rest, notify| {
        on(rest, notify);
        rest.limits.passwords = only(6);
    })
    .await;
    let ann = sign_up(&site, "ann", HOME).await;
    for number in 0..4 {
        sign_in(&site, &format!("guess{number}"), PASSWORD, HOME).await.expect(401);
    }
    // To be right does not reset it.
    sign_in(&site, "ann", PASSWORD, HOME).await.expect(200);
    let change = json!({ "current_password": PASSWORD, "new_password": "another long phrase" });
    let path = "/api/users/me/password";
    ask(&site, HOME, Method::POST, path, &ann.token, Some(change.clone())).await.expect(204);
    sign_in(&site, "ann", "another long phrase", HOME).await.refuses(429, "rate_limited");
    ask(&site, HOME, Method::POST, path, &ann.token, Some(change)).await.refuses(429, "rate_limited");
    let body = json!({ "password": "another long phrase" });
    ask(&site, HOME, Method::DELETE, "/api/users/me", &ann.token, Some(body))
        .await
        .refuses(429, "rate_limited");
    sign_in(&site, "ann", "another long phrase", "198.51.100.1").await.expect(200);
    ask(&site, HOME, Method::GET, "/api/users/me", &ann.token, None).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_a_token_guesses_no_faster() {
    let site = Site::start_with(|rest, notify| {
        on(rest, notify);
        rest.limits.passwords = only(80);
        rest.limits.wrong_passwords = only(5);
    })
    .await;
    let ann = sign_up(&site, "ann", HOME).await;
    let change = json!({ "current_password": "a wrong phrase", "new_password": "another long phrase" });
    for _ in 0..3 {
        let path = "/api/users/me/password";
        ask(&site, HOME, Method::POST, path, &ann.token, Some(change.clone()))
            .await
            .refuses(403, "forbidden");
    }
    let delete = json!({ "password": "a wrong phrase" });
    for _ in 0..2 {
        ask(&site, HOME, Method::DELETE, "/api/users/me", &ann.token, Some(delete.clone()))
            .await
            .refuses(403, "forbidden");
    }
    let right = json!({ "password": PASSWORD });
    ask(&site, HOME, Method::DELETE, "/api/users/me", &ann.token, Some(right))
        .await
        .refuses(429, "rate_limited");
    sign_in(&site, "ann", PASSWORD, HOME).await.refuses(429, "rate_limited");
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_opened_slowly_from_one_network() {
    let site = Site::start_with(|rest, notify| {
        on(rest, notify);
        rest.limits.sign_ups = only(2);
    })
    .await;
    sign_up(&site, "ann", "2001:db8::1").await;
    sign_up(&site, "bob", "2001:db8::2").await;
    let body = json!({ "email": "cid@example.com", "password": PASSWORD, "full_name": "cid" });
    let path = "/api/auth/signup";
    let third = ask(&site, "2001:db8::3", Method::POST, path, "", Some(body.clone())).await;
    third.refuses(429, "rate_limited");
    ask(&site, "2001:db8:0:1::3", Method::POST, path, "", Some(body)).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_and_other_calls_are_counted_by_person() {
    let site = Site::start_with(|rest, notify| {
        on(rest, notify);
        rest.limits.sends = only(3);
        rest.limits.calls = only(10);
    })
    .await;
    let (ann, bob) = (sign_up(&site, "ann", HOME).await, sign_up(&site, "bob", HOME).await);
    // Calls: a workspace, an invite, and a chat.
    let workspace = ann.make_workspace("Acme").await;
    ann.welcome(&workspace, &bob).await;
    let chat = ann.make_chat(&workspace, "Group", &[&bob]).await;
    let path = format!("/api/chats/{chat}/messages");
    let keyed = json!({ "content": "hello", "client_id": "1" });
    ann.post(&path, keyed.clone()).await.expect(201);
    // What is repeated is a send as well.
    ann.post(&path, keyed.clone()).await.expect(200);
    ann.post(&path, json!({ "content": "" })).await.expect(400);
    let refused = ann.post(&path, keyed).await;
    assert_eq!(refused.headers["ratelimit-policy"], "\"sends\";q=3;w=3000");
    refused.refuses(429, "rate_limited");
    bob.send(&chat, "hello").await;

    for _ in 0..7 {
        ann.get("/api/users/me").await.expect(200);
    }
    let refused = ann.get("/api/users/me").await;
    assert_eq!(refused.headers["ratelimit-policy"], "\"calls\";q=10;w=10000");
    refused.refuses(429, "rate_limited");
    bob.get("/api/users/me").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_without_a_good_token_are_counted_by_address() {
    let site = Site::start_with(|rest, notify| {
        on(rest, notify);
        rest.limits.calls_without_token = only(4);
        notify.limits.calls_without_token = only(3);
    })
    .await;
    let ann = sign_up(&site, "ann", HOME).await;
    let refresh = json!({ "refresh_token": ann.refresh_token });
    let get = async |path, token| ask(&site, HOME, Method::GET, path, token, None).await;
    get("/api/users/me", "").await.expect(401);
    get("/api/users/me", "nonsense").await.expect(401);
    get("/api/permissions", "").await.expect(200);
    ask(&site, HOME, Method::POST, "/api/auth/refresh", "", Some(refresh.clone())).await.expect(200);
    get("/api/users/me", "nonsense").await.refuses(429, "rate_limited");
    get("/api/permissions", "").await.refuses(429, "rate_limited");
    ask(&site, HOME, Method::POST, "/api/auth/refresh", "", Some(refresh.clone()))
        .await
        .refuses(429, "rate_limited");
    // Neither the people behind that address nor other addresses pay for it.
    get("/api/users/me", &ann.token).await.expect(200);
    ask(&site, "198.51.100.1", Method::POST, "/api/auth/refresh", "", Some(refresh)).await.expect(200);

    get("/api/notifications/events", "nonsense").await.expect(401);
    get("/api/notifications/events?ticket=nonsense", "").await.expect(401);
    ask(&site, HOME, Method::POST, "/api/notifications/ticket", "", None).await.expect(401);
    get("/api/notifications/events?ticket=nonsense", "").await.refuses(429, "rate_limited");
    ask(&site, HOME, Method::POST, "/api/notifications/ticket", "", None).await.refuses(429, "rate_limited");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_tickets_are_counted_by_person() {
    let site = Site::start_with(|rest, notify| {
        on(rest, notify);
        notify.limits.calls = only(4);
        notify.limits.calls_without_token = only(2);
    })
    .await;
    let (ann, bob) = (sign_up(&site, "ann", HOME).await, sign_up(&site, "bob", HOME).await);
    for _ in 0..2 {
        drop(ann.stream(None).await);
    }
    let mut tickets = Vec::new();
    for _ in 0..2 {
        let ticket = ann.act("/api/notifications/ticket").await.expect(201);
        tickets.push(ticket["ticket"].as_str().expect("a ticket").to_owned());
    }
    ann.act("/api/notifications/ticket").await.refuses(429, "rate_limited");
    ann.get("/api/notifications/events").await.refuses(429, "rate_limited");
    // A good ticket was counted when it was issued; here it counts neither for the person nor for the address.
    let nobody = site.anonymous();
    for ticket in tickets {
        let url = format!("http://{}/api/notifications/events?ticket={ticket}", site.notify.address);
        assert_eq!(nobody.client.get(url).send().await.expect("an answer").status(), 200);
    }
    for _ in 0..2 {
        nobody.get("/api/notifications/events?ticket=nonsense").await.expect(401);
    }
    nobody.get("/api/notifications/events?ticket=nonsense").await.refuses(429, "rate_limited");
    drop(bob.stream(None).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_trusted_proxies_say_where_a_client_is() {
    let limits = |rest: &mut Settings, notify: &mut NotifySettings| {
        on(rest, notify);
        rest.limits.passwords = only(3);
    };
    let site = Site::start_with(|rest, notify| {
        limits(rest, notify);
        rest.server.trusted_proxies = "10.0.0.0/8".parse().expect("a network");
    })
    .await;
    let ann = sign_up(&site, "ann", "203.0.113.7").await;
    let address = async |actor: &Actor| {
        let sessions = actor.get("/api/auth/sessions").await.expect(200);
        sessions["sessions"][0]["ip"].as_str().expect("an address").to_owned()
    };
    assert_eq!(address(&ann).await, "127.0.0.1");
    for number in 0..3 {
        sign_in(&site, "nobody", PASSWORD, &format!("203.0.113.{number}")).await.expect(401);
    }
    // One more address that the client made up.
    sign_in(&site, "ann", PASSWORD, "203.0.113.9").await.refuses(429, "rate_limited");

    let site = Site::start_with(limits).await;
    let ann = sign_up(&site, "ann", "6.6.6.6, 203.0.113.7").await;
    assert_eq!(address(&ann).await, "203.0.113.7");
    for number in 0..3 {
        sign_in(&site, "nobody", PASSWORD, &format!("6.6.6.{number}, 203.0.113.7")).await.expect(401);
    }
    sign_in(&site, "ann", PASSWORD, "6.6.6.9, 203.0.113.7").await.refuses(429, "rate_limited");
    sign_in(&site, "ann", PASSWORD, "203.0.113.8").await.expect(200);
}

#[test]
fn limits_are_on_unless_somebody_switches_them_off() {
    let (rest, notify) =
        (Settings::read(None).expect("defaults"), NotifySettings::read(None).expect("defaults"));
    assert!(rest.limits.enabled && notify.limits.enabled);
    let allowance = |per_second, burst| Allowance::new(per_second, burst).expect("in range");
    assert_eq!(rest.limits.sends, allowance(20.0, 100));
    assert_eq!(rest.limits.calls, allowance(50.0, 200));
    assert_eq!(rest.limits.passwords, allowance(1.0, 20));
    assert_eq!(rest.limits.wrong_passwords, allowance(0.1, 5));
    assert_eq!(rest.limits.sign_ups, allowance(0.2, 5));
}
