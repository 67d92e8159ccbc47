"""
A `gh` that keeps a repository's settings in a file instead of asking GitHub, and records every call. Run as `gh`.

GH_STATE: the settings, path to answer. GH_CALLS: the calls, one JSON object per line. The settings change as on GitHub,
so that later queries see it. Answers have the shape of GitHub's published API.
"""

import json
import os
import sys

# The tests start this a thousand times, so it imports no more than it needs.
STATE = os.environ["GH_STATE"]


def main(args):
    stdin = "" if sys.stdin.isatty() else sys.stdin.read()
    with open(os.environ["GH_CALLS"], "a", encoding="utf-8") as calls:  # noqa: PTH123
        calls.write(json.dumps({"words": args, "given": stdin}) + "\n")
    with open(STATE, encoding="utf-8") as file:  # noqa: PTH123
        state = json.load(file)
    if state.get("down"):
        sys.exit("error connecting to api.github.com")
    if state.get("logged_out"):
        print("To get started with GitHub CLI, please run:  gh auth login", file=sys.stderr)
        print("Alternatively, populate the GH_TOKEN environment variable with a token.", file=sys.stderr)
        return 4
    if args[0] == "api" and "--method" not in args:
        path, _, query = args[1].partition("?")
        return answer(page(state.get(path, 404), dict(pair.split("=") for pair in query.split("&") if pair)))
    change(state, args, json.loads(stdin) if args[-2:] == ["--input", "-"] else stdin)
    with open(STATE, "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(state, file)
    return 0


def page(content, query):
    """Return a part of a list as GitHub does: thirty rows by default, and never more than it allows."""
    if isinstance(content, int | str):
        return content
    size = min(int(query.get("per_page", 30)), 30 if "variables" in content else 100)
    first = size * (int(query.get("page", 1)) - 1)
    if isinstance(content, list):
        return content[first : first + size]
    if isinstance(content, dict) and len(content) <= 2:
        return {key: rows[first : first + size] if isinstance(rows, list) else rows for key, rows in content.items()}
    return content


def answer(content):
    if isinstance(content, str):
        print(f"gh: {content}", file=sys.stderr)
        return 1
    if isinstance(content, int):
        print(f"gh: it says {content} (HTTP {content})", file=sys.stderr)
        return 1
    print(json.dumps(content))
    return 0


def change(state, args, body):
    if args[:2] in (["secret", "set"], ["secret", "delete"]):
        scope = f"environments/{args[args.index('--env') + 1]}" if "--env" in args else "actions"
        path = f"repos/{args[args.index('--repo') + 1]}/{scope}/secrets"
        rows = [row for row in state.setdefault(path, {"secrets": []})["secrets"] if row["name"] != args[2]]
        state[path]["secrets"] = rows + ([{"name": args[2]}] if args[1] == "set" else [])
        return
    method, path = args[2], args[3]
    if state.get("refuses") == path:
        sys.exit(f"gh: Validation Failed, in {json.dumps(body)} (HTTP 422)")
    if path.rpartition("/")[0].endswith("/environments"):
        reviewers = [
            {"type": reviewer["type"], "reviewer": {"id": reviewer["id"]}} for reviewer in body.get("reviewers") or []
        ]
        rule = {"type": "required_reviewers", "prevent_self_review": body.get("prevent_self_review", False)}
        state[path] = {
            "protection_rules": [rule | {"reviewers": reviewers}] if reviewers else [],
            "deployment_branch_policy": body.get("deployment_branch_policy"),
            "can_admins_bypass": body.get("can_admins_bypass", True),
        }
    elif path.endswith("/deployment-branch-policies"):
        rows = state.setdefault(path, {"branch_policies": []})["branch_policies"]
        rows.append({"id": 100 + len(rows), "name": body["name"]})
    elif method == "DELETE":
        folder, _, number = path.rpartition("/")
        rows = state[folder]["branch_policies"]
        state[folder]["branch_policies"] = [row for row in rows if row["id"] != int(number)]
    elif "/actions/variables" in path:
        rows = state[path.partition("/variables")[0] + "/variables"]["variables"]
        rows[:] = [row for row in rows if row["name"] != body["name"]] + [body]
    elif path.endswith("/rulesets"):
        rows = state.setdefault(path, [])
        if body["name"] in [row["name"] for row in rows]:
            sys.exit("gh: Validation Failed: Name must be unique (HTTP 422)")
        rows.append({"id": 40 + len(rows), "name": body["name"]})
        state[path.replace("/rulesets", "/rules/branches/main")] = body["rules"]
    elif "/rulesets/" in path:
        repository, _, number = path.partition("/rulesets/")
        assert int(number) in [row["id"] for row in state[f"{repository}/rulesets"]]
        state[f"{repository}/rules/branches/main"] = body["rules"]
    elif path.endswith("/enable"):
        workflows, _, number = path.removesuffix("/enable").rpartition("/")
        (row,) = (row for row in state[workflows]["workflows"] if row["id"] == int(number))
        row["state"] = "active"
    elif path.endswith("/rename"):
        repository = path.split("/branches/")[0]
        state[repository]["default_branch"] = body["new_name"]
    else:
        state[path] = state.get(path, {}) | body


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
