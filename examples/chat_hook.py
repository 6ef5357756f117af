#!/usr/bin/env python3
"""A hook for `countersign notify --exec`: one line to a chat's incoming webhook, which takes {"text": "..."}.

    CHAT_WEBHOOK_URL=https://chat.example/hooks/abc \
        countersign notify --state notify.json --exec examples/chat_hook.py

It tells who asks for what and who could review it. It links to nothing that decides: whoever approves reads the text
with `countersign show`, and signs that. Ending with another code than 0 has it tried again later.
"""

import json
import os
import sys
import urllib.request


def names(people):
    found = sorted({person.get("account") or person.get("person", "") for person in people})
    return ", ".join(found) or "nobody"


def line(told):
    kind = told["type"]
    who = told.get("who", {}).get("account", "")
    what = told.get("what", {})
    where = " ".join(what.get("resources", []))
    thing = f"{what.get('entitlement') or 'an account or role'} {where}".strip()
    mark = "EMERGENCY " if what.get("emergency") else ""
    if kind.endswith((".opened", ".half_time")) and "stage" in told:
        late = "half of the time is gone: " if kind.endswith(".half_time") else ""
        until = f", until {told['deadline']}" if told.get("deadline") else ""
        return f"{mark}{late}{who} asks for {thing}; {names(told['stage']['could_review'])} could review it{until}"
    if kind.endswith(".decided"):
        return f"{mark}{who}: {thing} is {told['outcome']} by {told['by']}"
    if kind == "grant.ending":
        return f"{mark}{who}: {thing} ends at {told['end']}"
    if kind == "grant.ended":
        return f"{mark}{who}: {thing} is over ({told['cause']})"
    return f"{kind}: {names(told.get('to', []))}"


def main():
    told = json.load(sys.stdin)
    # What people wrote is text, not markup.
    text = "".join(character if character.isprintable() else " " for character in line(told))
    body = json.dumps({"text": text}).encode()
    request = urllib.request.Request(
        os.environ["CHAT_WEBHOOK_URL"], data=body, headers={"content-type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        if answer.status // 100 != 2:
            sys.exit(f"the chat answered {answer.status}")


if __name__ == "__main__":
    main()
