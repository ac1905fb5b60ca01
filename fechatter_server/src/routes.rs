//! Every route of this server, a line each.

use std::sync::Arc;

use axum::{extract::DefaultBodyLimit, middleware};
use chat_core::{
    api::{Api, about},
    http::capacity::answer_within,
};
use utoipa::openapi::OpenApi;

use crate::{auth, chats, members, mentions, permissions, state::AppState, users};

/// Where the document is.
pub const OPENAPI: &str = "/api/openapi.json";
/// Where the page that shows it is.
pub const DOCS: &str = "/api/docs";

/// The largest bodies, in bytes.
const AUTH_BODY: usize = 8 * 1024;
const MESSAGE_BODY: usize = 64 * 1024;
const BODY: usize = 256 * 1024;

/// The API.
pub(crate) fn api(state: AppState) -> Api<()> {
    let capacity = Arc::clone(&state.capacity);
    bounded()
        .map_router(|router| router.layer(middleware::from_fn_with_state(capacity, answer_within)))
        .merge(upload_api())
        .with_state(state)
}

/// The description of the API, for which no server needs to run.
#[must_use]
pub fn description() -> OpenApi {
    routes().split().1
}

fn routes() -> Api<AppState> {
    bounded().merge(upload_api())
}

/// What takes as long as its client's bytes, and sees to its own limits.
fn upload_api() -> Api<AppState> {
    use crate::files::handlers as files;
    Api::default().post("/api/files", files::create, about("Upload a file, to be sent by its id"))
}

fn file_api() -> Api<AppState> {
    use crate::files::handlers as files;
    Api::default()
        .get("/api/files/{id}", files::get, about("A file that one may read, or a part of it"))
        .get("/api/files/{id}/thumbnail", files::thumbnail, about("The small picture of a file"))
        .get("/api/chats/{id}/files", files::list, about("A chat's files, those sent last first"))
}

fn bounded() -> Api<AppState> {
    auth_api().merge(message_api()).merge(other_api())
}

fn auth_api() -> Api<AppState> {
    use auth::handlers as auth;
    Api::default()
        .post(
            "/api/auth/signup",
            auth::sign_up,
            about("Open an account, and a session").refuses(&[403, 404, 409]),
        )
        .post("/api/auth/signin", auth::sign_in, about("Open a session").refuses(&[401]))
        .post(
            "/api/auth/refresh",
            auth::refresh,
            about("Trade a refresh token for the next pair").refuses(&[401]),
        )
        .post("/api/auth/signout", auth::sign_out, about("End this session"))
        .get("/api/auth/sessions", auth::list_sessions, about("One's sessions"))
        .delete("/api/auth/sessions", auth::end_other_sessions, about("End all sessions but this one"))
        .delete("/api/auth/sessions/{id}", auth::end_session, about("End one of one's sessions"))
        .map_router(|router| router.layer(DefaultBodyLimit::max(AUTH_BODY)))
}

fn message_api() -> Api<AppState> {
    use crate::{
        messages::{
            changes::handlers as changes, handlers as messages, pins::handlers as pins,
            reactions::handlers as reactions, threads::handlers as threads,
        },
        saved::handlers as saved,
    };
    Api::default()
        .get("/api/chats/{id}/messages", messages::list, about("A page of a chat's history"))
        .post("/api/chats/{id}/messages", messages::send, about("Send a message").refuses(&[409]))
        .get("/api/chats/{id}/messages/{message_id}", messages::get, about("One message"))
        .patch(
            "/api/chats/{id}/messages/{message_id}",
            changes::edit,
            about("Edit one's own message").refuses(&[409]),
        )
        .delete(
            "/api/chats/{id}/messages/{message_id}",
            changes::delete,
            about("Delete a message; its place stays, without content").refuses(&[409]),
        )
        .get(
            "/api/chats/{id}/messages/{message_id}/edits",
            changes::edits,
            about("What a message said before it was edited"),
        )
        .get(
            "/api/chats/{id}/messages/{message_id}/reactions",
            reactions::list,
            about("Who reacted to a message"),
        )
        .put(
            "/api/chats/{id}/messages/{message_id}/reactions/{emoji}",
            reactions::react,
            about("React to a message").refuses(&[409]),
        )
        .delete(
            "/api/chats/{id}/messages/{message_id}/reactions/{emoji}",
            reactions::unreact,
            about("Take back one's reaction to a message").refuses(&[409]),
        )
        .get("/api/chats/{id}/pins", pins::list, about("The pinned messages of a chat"))
        .put(
            "/api/chats/{id}/messages/{message_id}/pin",
            pins::pin,
            about("Pin a message to its chat").refuses(&[409]),
        )
        .delete(
            "/api/chats/{id}/messages/{message_id}/pin",
            pins::unpin,
            about("Unpin a message").refuses(&[409]),
        )
        .get("/api/saved", saved::list, about("The messages that one has saved"))
        .put(
            "/api/chats/{id}/messages/{message_id}/saved",
            saved::save,
            about("Save a message for oneself").refuses(&[409]),
        )
        .delete(
            "/api/chats/{id}/messages/{message_id}/saved",
            saved::unsave,
            about("Take a message out of one's saved ones"),
        )
        .get(
            "/api/chats/{id}/messages/{message_id}/thread",
            threads::get,
            about("A page of a thread, by its root or a reply"),
        )
        .put("/api/chats/{id}/messages/{message_id}/thread/follow", threads::follow, about("Follow a thread"))
        .delete(
            "/api/chats/{id}/messages/{message_id}/thread/follow",
            threads::unfollow,
            about("Follow a thread no more, until one replies again"),
        )
        .put(
            "/api/chats/{id}/messages/{message_id}/thread/read",
            threads::mark_read,
            about("Mark a thread as read up to a reply"),
        )
        .get(
            "/api/threads",
            threads::list,
            about("The threads that one follows, latest reply first").refuses(&[404]),
        )
        .post(
            "/api/chats/{id}/typing",
            messages::typing,
            about("Tell the others that one is writing; once in two seconds is enough").refuses(&[409]),
        )
        .put("/api/chats/{id}/read", messages::mark_read, about("Mark a chat as read up to a message"))
        .put(
            "/api/chats/{id}/unread",
            messages::mark_unread,
            about("Mark a chat as unread from a message on"),
        )
        .map_router(|router| router.layer(DefaultBodyLimit::max(MESSAGE_BODY)))
}

fn other_api() -> Api<AppState> {
    use crate::search::handlers as search;
    user_api()
        .merge(workspace_api())
        .merge(chat_api())
        .merge(file_api())
        .get("/api/mentions", mentions::handlers::list, about("The messages that mention the caller"))
        .get("/api/search", search::search, about("Search the messages that one may read").refuses(&[404]))
        .get("/api/permissions", permissions::list, about("Who may do what"))
        .map_router(|router| router.layer(DefaultBodyLimit::max(BODY)))
}

fn user_api() -> Api<AppState> {
    use users::handlers as users;
    Api::default()
        .get("/api/users/me", users::me, about("One's own profile"))
        .patch("/api/users/me", users::update_me, about("Change one's profile").refuses(&[409]))
        .delete("/api/users/me", users::delete_me, about("Delete one's account").refuses(&[403, 409]))
        .post(
            "/api/users/me/password",
            users::change_password,
            about("Change one's password").refuses(&[403]),
        )
        .get("/api/users/{id}", users::get, about("The profile of somebody one shares a workspace with"))
}

fn workspace_api() -> Api<AppState> {
    use crate::workspaces::{
        handlers as workspaces, invites::handlers as invites, people::handlers as people,
    };
    Api::default()
        .post("/api/workspaces", workspaces::create, about("Make a workspace and own it"))
        .get("/api/workspaces", workspaces::list, about("The workspaces one is in"))
        .get("/api/workspaces/{id}", workspaces::get, about("One workspace"))
        .put("/api/workspaces/{id}", workspaces::update, about("Rename or describe a workspace"))
        .delete("/api/workspaces/{id}", workspaces::delete, about("Delete a workspace with its chats"))
        .get("/api/workspaces/{id}/members", people::list, about("A workspace's people"))
        .post(
            "/api/workspaces/{id}/members",
            people::add,
            about("Add somebody by e-mail or handle").refuses(&[409]),
        )
        .delete("/api/workspaces/{id}/members/me", people::leave, about("Leave a workspace").refuses(&[409]))
        .patch(
            "/api/workspaces/{id}/members/{user_id}",
            people::change_role,
            about("Change a role").refuses(&[409]),
        )
        .delete(
            "/api/workspaces/{id}/members/{user_id}",
            people::remove,
            about("Remove somebody").refuses(&[409]),
        )
        .post("/api/workspaces/{id}/invites", invites::create, about("Invite people by a token"))
        .get("/api/workspaces/{id}/invites", invites::list, about("The invites in force"))
        .delete("/api/workspaces/{id}/invites/{invite_id}", invites::revoke, about("Revoke an invite"))
        .post(
            "/api/invites/accept",
            invites::accept,
            about("Join a workspace by an invite's token").refuses(&[403, 404]),
        )
}

fn chat_api() -> Api<AppState> {
    use chats::handlers as chats;
    use members::handlers as members;
    Api::default()
        .get("/api/workspaces/{id}/channels", chats::channels, about("The directory of public channels"))
        .get("/api/chats", chats::list, about("One's chats, latest activity first").refuses(&[404]))
        .post(
            "/api/chats",
            chats::create,
            about("Make a chat; a Single one is found or made").refuses(&[404]),
        )
        .get("/api/chats/{id}", chats::get, about("One chat"))
        .put("/api/chats/{id}", chats::update, about("Rename or describe a chat"))
        .delete("/api/chats/{id}", chats::delete, about("Delete a chat"))
        .post("/api/chats/{id}/archive", chats::archive, about("Make a chat read-only"))
        .post("/api/chats/{id}/unarchive", chats::unarchive, about("Let people write again"))
        .post(
            "/api/chats/{id}/hide",
            chats::hide,
            about("Take a Single chat out of one's list until its next message"),
        )
        .get("/api/chats/{id}/members", members::list, about("A chat's people"))
        .post("/api/chats/{id}/members", members::add, about("Add people to a chat").refuses(&[409]))
        .post("/api/chats/{id}/join", members::join, about("Join a public channel").refuses(&[409]))
        .patch("/api/chats/{id}/members/me", members::change_settings, about("Choose one's notifications"))
        .delete("/api/chats/{id}/members/me", members::leave, about("Leave a chat").refuses(&[409]))
        .patch(
            "/api/chats/{id}/members/{user_id}",
            members::change_role,
            about("Change a role").refuses(&[409]),
        )
        .delete(
            "/api/chats/{id}/members/{user_id}",
            members::remove,
            about("Remove somebody from a chat").refuses(&[409]),
        )
}
