"""What `make fuzz` adds to schemathesis: three of four well-formed ids are exchanged for ids of things that exist.

The choice hangs on the generated id alone, so that the same seed sends the same requests.
"""

import json
import os
import uuid

import schemathesis

with open(os.environ["FUZZ_SCENE"], encoding="utf-8") as scene_file:
    SCENE = json.load(scene_file)

SPARE_ENDINGS = ("/members/me", "/archive")


def pick(known, generated):
    """One of the known ids, or the generated one; what is no id stays."""
    try:
        number = uuid.UUID(generated).int
    except (AttributeError, TypeError, ValueError):
        return generated
    return known[number // 4 % len(known)] if known and number % 4 else generated


def holder(path, method):
    """The kind of thing that `{id}` names, as the scene calls it."""
    parts = path.split("/")
    kind = parts[2] if len(parts) > 2 else ""
    ends = method == "DELETE" and path.endswith("{id}") or path.endswith(SPARE_ENDINGS)
    if kind in ("workspaces", "chats"):
        return f"spare_{kind}" if ends else kind
    return {"auth": "sessions", "users": "people"}.get(kind)


def exchange_path(operation, parameters):
    """Puts ids of things that exist into a path; a message is one of its chat."""
    kind = holder(operation.path, operation.method.upper())
    things = SCENE.get(kind, [])
    messages = {thing["id"]: thing["messages"] for thing in things if isinstance(thing, dict)}
    ids = list(messages) if messages else things
    if "id" in parameters:
        parameters["id"] = pick(ids, parameters["id"])
    known = {
        "user_id": SCENE["people"],
        "invite_id": SCENE["invites"],
        "message_id": messages.get(parameters.get("id"), []),
    }
    for name in known.keys() & parameters.keys():
        parameters[name] = pick(known[name], parameters[name])
    return parameters


def exchange_body(body, chat):
    """Puts ids of things that exist into a body."""
    messages = next((thing["messages"] for thing in SCENE["chats"] if thing["id"] == chat), [])
    known = {
        "workspace_id": SCENE["workspaces"],
        "user_id": SCENE["people"],
        "message_id": messages,
        "reply_to": messages,
    }
    for name in known.keys() & body.keys():
        body[name] = pick(known[name], body[name])
    if isinstance(body.get("member_ids"), list):
        body["member_ids"] = [pick(SCENE["people"], person) for person in body["member_ids"]]
    return body


@schemathesis.hook
def before_call(context, case, kwargs):
    """Exchanges ids right before a request is sent."""
    if isinstance(case.path_parameters, dict):
        case.path_parameters = exchange_path(case.operation, dict(case.path_parameters))
    if isinstance(case.body, dict):
        chat = (case.path_parameters or {}).get("id")
        case.body = exchange_body(dict(case.body), chat)
