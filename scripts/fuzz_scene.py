"""Fills a fresh server with people, a workspace and chats, so that fuzzing finds something at the ids it sends.

    fuzz_scene.py URL FILE

Writes the ids to FILE as JSON, and the owner's access token to standard output.
"""

import json
import sys

import requests

PASSWORD = "a long enough phrase"
TYPES = ["Group", "PrivateChannel", "PublicChannel"]


class Person:
    """Somebody with an account."""

    def __init__(self, url, name):
        self.url = url
        self.session = requests.Session()
        account = {"email": f"{name}@example.com", "password": PASSWORD, "full_name": name}
        answer = self.call("POST", "/api/auth/signup", account)
        self.id, self.token = answer["id"], answer["token"]
        self.session.headers["Authorization"] = f"Bearer {self.token}"

    def call(self, method, path, body=None):
        """Answers the body of what must succeed."""
        answer = self.session.request(method, self.url + path, json=body, timeout=20)
        if not answer.ok:
            sys.exit(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None


def workspace_with(owner, people):
    """Makes a workspace with these people; answers its id."""
    workspace = owner.call("POST", "/api/workspaces", {"name": "Acme"})["id"]
    for person in people:
        owner.call("POST", f"/api/workspaces/{workspace}/members", {"user_id": person.id})
    return workspace


def chat_with(owner, workspace, kind, people):
    """Makes a chat with some messages; answers its id and theirs."""
    draft = {"workspace_id": workspace, "chat_type": kind, "member_ids": [person.id for person in people]}
    if kind != "Single":
        draft["name"] = "a chat"
    chat = owner.call("POST", "/api/chats", draft)["id"]
    authors = [owner, people[0]] * 4
    messages = [author.call("POST", f"/api/chats/{chat}/messages", {"content": "hello"}) for author in authors]
    return {"id": chat, "messages": [message["id"] for message in messages]}


def main(url, file):
    """Makes the scene."""
    owner = Person(url, "owner")
    people = [Person(url, f"person{number}") for number in range(6)]
    workspace = workspace_with(owner, people)
    chats = [chat_with(owner, workspace, kind, people) for kind in TYPES]
    chats.append(chat_with(owner, workspace, "Single", people[:1]))
    other_session = requests.post(
        url + "/api/auth/signin", json={"email": "owner@example.com", "password": PASSWORD}, timeout=20
    )
    other_session.raise_for_status()
    scene = {
        "workspaces": [workspace],
        # For what deletes, leaves or archives.
        "spare_workspaces": [workspace_with(owner, people[:1]) for _ in range(4)],
        "chats": chats,
        "spare_chats": [chat_with(owner, workspace, kind, people) for kind in TYPES * 3],
        "people": [person.id for person in people],
        "sessions": [
            session["id"]
            for session in owner.call("GET", "/api/auth/sessions")["sessions"]
            if not session["current"]
        ],
        "invites": [
            owner.call("POST", f"/api/workspaces/{workspace}/invites", {})["id"] for _ in range(4)
        ],
    }
    with open(file, "w", encoding="utf-8") as out:
        json.dump(scene, out)
    print(owner.token)


if __name__ == "__main__":
    main(*sys.argv[1:])
