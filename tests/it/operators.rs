//! The commands of operators: accounts that they open, workspaces that they see, and the purge.

use std::time::Duration;

use fechatter_tests::{Actor, Answer, Site, program::Program};
use serde_json::{Value, json};

const PASSWORD: &str = "a long enough phrase";

/// Runs `fechatter …` on the site's database, with something to read; answers whether it went well, and what it said.
fn operate(site: &Site, arguments: &[&str], input: &str) -> (bool, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let variables = [("FECHATTER_DATABASE__URL", site.database_url.as_str())];
    let mut program = Program::start_with_input("fechatter", folder.path(), arguments, &variables, input);
    let status = tokio::task::block_in_place(|| program.end());
    (status.success(), program.said.clone())
}

/// The same for a script.
fn json_of(site: &Site, arguments: &[&str], input: &str) -> Value {
    let (well, said) = operate(site, &[arguments, &["--json"]].concat(), input);
    assert!(well, "{said}");
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

async fn sign_in(site: &Site, email: &str, password: &str) -> Answer {
    site.anonymous().post("/api/auth/signin", json!({ "email": email, "password": password })).await
}

async fn count(site: &Site, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(&site.pool).await.expect("a count")
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_opened_with_a_password_that_is_told_once() {
    let site = Site::start().await;
    let create = |email, more: &[&str], input| {
        operate(&site, &[&["user", "create", "--name", "Carla", "--email", email], more].concat(), input)
    };
    let opened = json_of(&site, &["user", "create", "--email", "Carla@example.com", "--name", "Carla"], "");
    assert_eq!((&opened["email"], &opened["username"]), (&json!("Carla@example.com"), &json!("carla")));
    let password = opened["password"].as_str().expect("a password");
    let session = sign_in(&site, "carla@example.com", password).await.expect(200);
    assert_eq!(session["id"], opened["id"]);

    let (well, said) =
        create("dan@example.com", &["--username", "dan-the-man", "--password-stdin"], "a phrase of dan\n");
    assert!(well && said.contains("dan-the-man") && !said.contains("a phrase of dan"), "{said}");
    sign_in(&site, "dan@example.com", "a phrase of dan").await.expect(200);

    for (email, more, input, mark) in [
        ("CARLA@example.com", &[][..], "", "e-mail address"),
        ("erin@example.com", &["--username", "carla"], "", "username is taken"),
        ("erin@example.com", &["--username", "C"], "", "username"),
        ("nonsense", &[], "", "email"),
        ("erin@example.com", &["--password-stdin"], "password\n", "most common"),
        ("erin@example.com", &["--password-stdin"], "", "at least 8"),
    ] {
        let (well, said) = create(email, more, input);
        assert!(!well && said.contains(mark), "{email} {more:?}: {said}");
    }
    assert_eq!(count(&site, "select count(*) from users").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_password_ends_what_the_old_one_opened() {
    let site = Site::start().await;
    let (ann, bob) = (site.sign_up("ann").await, site.sign_up("bob").await);
    let mut stream = bob.stream(None).await;
    let reset = json_of(&site, &["user", "reset-password", "bob@example.com"], "");
    assert_eq!((&reset["id"], &reset["sessions_ended"]), (&json!(bob.id), &json!(1)));
    assert_eq!(stream.until("bye").await.data["reason"], "session_revoked");
    let since = tokio::time::Instant::now();
    while bob.get("/api/users/me").await.status != 401 {
        assert!(since.elapsed() < Duration::from_secs(5), "still let in");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    sign_in(&site, "bob@example.com", PASSWORD).await.refuses(401, "sign_in_refused");
    let password = reset["password"].as_str().expect("a password");
    sign_in(&site, "bob@example.com", password).await.expect(200);

    let typed = &["user", "reset-password", "bob", "--password-stdin"];
    let (well, said) = operate(&site, typed, "bob's own phrase\n");
    assert!(well && !said.contains("phrase"), "{said}");
    sign_in(&site, "bob@example.com", "bob's own phrase").await.expect(200);
    let (well, said) = operate(&site, typed, "bob\n");
    assert!(!well && said.contains("password: must have"), "{said}");
    let (well, said) = operate(&site, &["user", "reset-password", "nobody"], "");
    assert!(!well && said.contains("nobody has an account"), "{said}");
    ann.get("/api/users/me").await.expect(200);
    sign_in(&site, "ann@example.com", PASSWORD).await.expect(200);
}

/// Two workspaces with people, an invite and a chat with a message, of which the second is deleted.
async fn one_kept_and_one_deleted(site: &Site) -> (Actor, [String; 2]) {
    let (ann, bob) = (site.sign_up("ann").await, site.sign_up("bob").await);
    let mut workspaces = Vec::new();
    for name in ["Kept", "Gone"] {
        let workspace = ann.make_workspace(name).await;
        ann.welcome(&workspace, &bob).await;
        let chat = ann.make_chat(&workspace, "Group", &[&bob]).await;
        ann.send(&chat, "a message").await;
        workspaces.push(workspace);
    }
    ann.delete(&format!("/api/workspaces/{}", workspaces[1])).await.expect(204);
    (ann, workspaces.try_into().expect("two"))
}

#[tokio::test(flavor = "multi_thread")]
async fn workspaces_are_listed_until_they_are_purged() {
    let site = Site::start().await;
    let (ann, [kept, gone]) = one_kept_and_one_deleted(&site).await;
    let list = json_of(&site, &["workspace", "list"], "");
    let facts = |n: usize| {
        let fields = ["id", "name", "members", "chats", "owners"].map(|field| list[n][field].clone());
        (json!(fields), list[n]["deleted_at"].is_string())
    };
    let owners = json!(["ann@example.com"]);
    assert_eq!(facts(0), (json!([kept, "Kept", 2, 1, owners]), false));
    assert_eq!(facts(1), (json!([gone, "Gone", 2, 0, owners]), true));
    let (_, said) = operate(&site, &["workspace", "list"], "");
    assert!(said.lines().count() == 2 && said.contains("Gone") && said.contains("deleted"), "{said}");

    let nothing = json_of(&site, &["purge"], "");
    assert!(nothing.as_object().is_some_and(|counts| counts.values().all(|count| *count == 0)), "{nothing}");
    // As if a month had passed for what is deleted, and for an invite and a session.
    for statement in [
        "update chats set deleted_at = deleted_at - interval '31 days'",
        "update workspaces set deleted_at = deleted_at - interval '31 days'",
        "update workspace_invites set expires_at = now() - interval '31 days' where workspace_id =
            (select id from workspaces where name = 'Kept')",
        "insert into sessions (id, user_id, family_hash, refresh_hash, last_used_at, expires_at)
         select gen_random_uuid(), id, 'x', 'x', now(), now() - interval '31 days' from users where username = 'ann'",
    ] {
        sqlx::query(statement).execute(&site.pool).await.expect("a statement");
    }
    let events = count(&site, "select max(id) from events").await;
    let purged = json_of(&site, &["purge"], "");
    assert_eq!(
        purged,
        json!({
            "event_partitions": 0, "sessions": 1, "invites": 1, "idempotency_keys": 0,
            "messages": 1, "chat_rows": 3, "workspace_rows": 3,
        })
    );
    assert_eq!(count(&site, "select max(id) from events").await, events, "nobody is told");
    assert_eq!(count(&site, "select count(*) from workspaces").await, 1);
    assert_eq!(count(&site, "select count(*) from workspace_members").await, 2);
    assert_eq!(count(&site, "select count(*) from workspace_invites").await, 0);
    assert_eq!(count(&site, "select count(*) from messages").await, 1);
    ann.get(&format!("/api/workspaces/{kept}")).await.expect(200);
    ann.get(&format!("/api/workspaces/{gone}")).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn shells_complete_the_commands() {
    let folder = tempfile::tempdir().expect("a folder");
    for (shell, mark) in
        [("bash", "complete -F"), ("zsh", "#compdef fechatter"), ("fish", "complete -c fechatter")]
    {
        let mut program = Program::start("fechatter", folder.path(), &["completion", shell], &[]);
        assert!(tokio::task::block_in_place(|| program.end()).success());
        assert!(program.said.contains(mark) && program.said.contains("reset-password"), "{}", program.said);
    }
}
