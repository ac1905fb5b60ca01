"""Sends until the disk is full, and for a while longer; then gives it room and counts. See disk-full.sh."""

import json
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request

API, DISK = sys.argv[1].rstrip("/") + "/api", sys.argv[2]
FULL_SECONDS, PATIENCE_SECONDS = 15, 120


def ask(method, path, body=None, token=None):
    """The status, and the JSON of the answer; 0 without an answer."""
    request = urllib.request.Request(API + path, method=method)
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", "Bearer " + token)
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(request, data, timeout=30) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, None
    except OSError:
        return 0, None


def send(number):
    # PostgreSQL compresses what repeats itself.
    body = {"content": f"{number} " + secrets.token_hex(4900), "client_id": str(number)}
    return ask("POST", f"/chats/{chat}/messages", body, token)


account = {"email": "ann@example.com", "password": "staple the green horse", "full_name": "Ann"}
token = ask("POST", "/auth/signup", account)[1]["token"]
workspace = ask("POST", "/workspaces", {"name": "Acme"}, token)[1]["id"]
chat = ask("POST", "/chats", {"workspace_id": workspace, "chat_type": "Group", "name": "all", "member_ids": []}, token)
chat = chat[1]["id"]

acknowledged, refused, number, full_at = [], {}, 0, None
while full_at is None or time.monotonic() < full_at + FULL_SECONDS:
    status, _ = send(number)
    if status in (200, 201):
        acknowledged.append(number)
    else:
        refused[status] = refused.get(status, 0) + 1
        full_at = full_at or time.monotonic()
        time.sleep(0.2)
    number += 1
print(f"{len(acknowledged)} messages were acknowledged; then for {FULL_SECONDS} s: {refused}")

subprocess.run(["mount", "-o", "remount,size=400m", DISK], check=True)
room_at = time.monotonic()
while send(number)[0] not in (200, 201):
    number += 1
    if time.monotonic() > room_at + PATIENCE_SECONDS:
        sys.exit("it does not recover")
    time.sleep(0.2)
acknowledged.append(number)
print(f"with room again, the first was acknowledged after {time.monotonic() - room_at:.1f} s, without a restart by hand")

found, before = set(), ""
while True:
    status, page = ask("GET", f"/chats/{chat}/messages?limit=100{before}", token=token)
    assert status == 200, status
    found.update(int(m["client_id"]) for m in page["messages"] if m.get("client_id"))
    if not page["has_more"]:
        break
    before = "&before=" + page["messages"][-1]["id"]
lost = sorted(set(acknowledged) - found)
print(f"{len(found)} messages are there; acknowledged and lost: {len(lost)}")
sys.exit(1 if lost else 0)
