//! Signing keys are rotated while everything runs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use fechatter_tests::{Actor, Site, Stream, program::Program};
use serde_json::json;
use tokio::{task::JoinHandle, time::sleep};

/// Seconds that a new key is left alone: servers look every two.
const DELAY_S: u32 = 8;

fn kid(token: &str) -> String {
    jsonwebtoken::decode_header(token).expect("a header").kid.expect("a key's id")
}

/// What `fechatter keys` says on the site's keys.
fn keys(site: &Site, arguments: &[&str]) -> String {
    let (private, public) = (site.private_key_file(), site.public_key_file());
    let delay = DELAY_S.to_string();
    let variables = [
        ("FECHATTER_AUTH__PRIVATE_KEY_FILE", private.to_str().expect("text")),
        ("FECHATTER_AUTH__PUBLIC_KEY_FILE", public.to_str().expect("text")),
        ("FECHATTER_AUTH__NEW_KEY_DELAY_S", &delay),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let arguments: Vec<_> = ["keys"].iter().chain(arguments).copied().collect();
    let mut program = Program::start("fechatter", folder.path(), &arguments, &variables);
    assert!(tokio::task::block_in_place(|| program.end()).success(), "{}", program.said);
    program.printed.clone()
}

/// The same person with a fresh token, from the server that they are at.
async fn refreshed(actor: &Actor) -> Actor {
    let body = json!({ "refresh_token": actor.refresh_token });
    let session = actor.post("/api/auth/refresh", body).await.expect(200);
    let text = |field: &str| session[field].as_str().expect("text").to_owned();
    Actor { token: text("token"), refresh_token: text("refresh_token"), ..actor.clone() }
}

/// Requests of one person to all servers, each of which must be accepted, until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    requests: Arc<AtomicUsize>,
    running: JoinHandle<()>,
}

impl Load {
    fn start(mut actor: Actor, servers: Vec<Actor>) -> Self {
        let (stop, requests) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let running = tokio::spawn({
            let (stop, requests) = (Arc::clone(&stop), Arc::clone(&requests));
            async move {
                while !stop.load(Ordering::Relaxed) {
                    for server in &servers {
                        // A token of one server is good at every other, at once.
                        actor = refreshed(&actor.at(server.rest, server.notify)).await;
                        for other in &servers {
                            let actor = actor.at(other.rest, other.notify);
                            actor.get("/api/users/me").await.expect(200);
                            actor.act("/api/notifications/ticket").await.expect(201);
                            requests.fetch_add(3, Ordering::Relaxed);
                        }
                    }
                }
            }
        });
        Self { stop, requests, running }
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.running.await.expect("no refused request");
        assert!(self.requests.load(Ordering::Relaxed) > 50, "there was load");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_refuses_nobody_and_a_removed_key_opens_nothing() {
    let site = Site::start_with(|settings, notify| {
        settings.auth.public_key_file.clone_from(&notify.auth.public_key_file);
        settings.auth.new_key_delay_s = DELAY_S;
    })
    .await;
    let (rest, notify) = (site.another_rest(), site.another_notify());
    let here = site.anonymous();
    let servers = vec![here.clone(), here.at(rest.address, notify.address)];
    let ann = site.sign_up("ann").await;
    let workspace = ann.make_workspace("Acme").await;
    let chat = ann.make_chat(&workspace, "Group", &[]).await;
    let mut streams = Vec::new();
    for server in &servers {
        streams.push(ann.at(server.rest, server.notify).stream(None).await);
    }
    let first = kid(&ann.token);
    let load = Load::start(site.sign_up("bob").await, servers.clone());

    let said = keys(&site, &["rotate"]);
    assert!(!said.contains(&first), "{said}");
    let listed: serde_json::Value =
        serde_json::from_str(&keys(&site, &["list", "--json"])).expect("a JSON array");
    assert_eq!(listed[0]["id"], first);
    let second = listed[1]["id"].as_str().expect("an id").to_owned();
    assert!(said.contains(&second), "{said}");

    // Each server goes over to the new key by itself.
    let mut fresh = ann.clone();
    for server in &servers {
        for attempt in 0.. {
            fresh = refreshed(&fresh.at(server.rest, server.notify)).await;
            if kid(&fresh.token) == second {
                break;
            }
            assert_eq!(kid(&fresh.token), first);
            assert!(attempt < 300, "{} still signs with the old key", server.rest);
            sleep(Duration::from_millis(100)).await;
        }
    }
    sleep(Duration::from_secs(1)).await;
    load.end().await;
    for server in &servers {
        ann.at(server.rest, server.notify).get("/api/users/me").await.expect(200);
    }
    ann.send(&chat, "across the rotation").await;
    for stream in &mut streams {
        stream.expect_message("across the rotation").await;
    }

    // Those that were opened by the new key, or by a ticket that it signed, outlive the old one.
    let mut new_streams = vec![fresh.stream(None).await];
    let ticket = async |actor: &Actor| {
        let answer = actor.act("/api/notifications/ticket").await.expect(201);
        answer["ticket"].as_str().expect("a ticket").to_owned()
    };
    let opened = ticket(&fresh).await;
    new_streams.push(Stream::open_with_ticket(&fresh, &opened, "").await);
    let opened = ticket(&ann).await;
    streams.push(Stream::open_with_ticket(&ann, &opened, "").await);

    // The old key stays for as long as tokens of it may be in use.
    let said = keys(&site, &["prune"]);
    assert!(said.contains("nothing was removed"), "{said}");
    let load = Load::start(site.sign_up("eve").await, servers.clone());
    assert!(keys(&site, &["prune", "--now"]).contains("Removed 1"));
    for server in &servers {
        let old = ann.at(server.rest, server.notify);
        for (path, accepted) in [("/api/users/me", 200), ("/api/notifications/ticket", 201)] {
            for attempt in 0.. {
                let answer = match accepted {
                    200 => old.get(path).await,
                    _ => old.act(path).await,
                };
                if answer.status == 401 {
                    break;
                }
                answer.expect(accepted);
                assert!(attempt < 100, "a removed key still opens {path}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    for stream in &mut streams {
        assert_eq!(stream.until("bye").await.data["reason"], "token_expired");
    }
    sleep(Duration::from_secs(1)).await;
    load.end().await;
    fresh.send(&chat, "after the removal").await;
    for stream in &mut new_streams {
        stream.expect_message("after the removal").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_keys_are_made_once_and_a_rotation_waits_for_the_last_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = |arguments: &[&str]| {
        let arguments: Vec<_> = ["keys"].iter().chain(arguments).copied().collect();
        let mut program = Program::start("fechatter", folder.path(), &arguments, &[]);
        let status = tokio::task::block_in_place(|| program.end());
        (status.success(), program.said.clone())
    };
    let (success, said) = keys(&["list"]);
    assert!(!success && said.contains("cannot read the signing key"), "{said}");
    let (success, said) = keys(&["make"]);
    assert!(success && said.contains(".fechatter/keys/signing.pem"), "{said}");
    let (_, first) = keys(&["list"]);
    assert!(keys(&["make"]).0);
    assert_eq!(keys(&["list"]).1, first, "made once");
    assert!(keys(&["prune"]).1.contains("one key alone"));
    let (success, said) = keys(&["rotate"]);
    assert!(success && said.contains("it signs from"), "{said}");
    let (success, said) = keys(&["rotate"]);
    assert!(!success && said.contains("rotate again after that"), "{said}");
    assert_eq!(keys(&["list"]).1.lines().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_no_use_change_nothing_in_a_running_server() {
    let site = Site::start_with(|settings, notify| {
        settings.auth.public_key_file.clone_from(&notify.auth.public_key_file);
    })
    .await;
    let ann = site.sign_up("ann").await;
    let public = std::fs::read(site.public_key_file()).expect("a file");
    std::fs::write(site.public_key_file(), "not a key").expect("a file");
    // Longer than the servers need to look twice.
    for _ in 0..25 {
        ann.get("/api/users/me").await.expect(200);
        ann.act("/api/notifications/ticket").await.expect(201);
        sleep(Duration::from_millis(200)).await;
    }
    std::fs::write(site.public_key_file(), public).expect("a file");
    refreshed(&ann).await.get("/api/users/me").await.expect(200);
}
