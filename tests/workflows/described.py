"""Compare the calls of GitHub's API with GitHub's published description of it."""

from __future__ import annotations

import json

import jsonschema


def list_api_calls(calls):
    """Return method, path and body of each call of `gh api`, from the words that `gh` got."""
    listed = []
    for call in calls:
        words = call["words"]
        if words[0] == "api":
            method, path = (words[2], words[3]) if words[1] == "--method" else ("GET", words[1])
            listed.append((method, path, json.loads(call["given"]) if words[-1] == "-" else None))
    return listed


def described(whole, path):
    """Return the description's path that matches a call's path: a literal segment counts more than a placeholder."""
    segments = path.partition("?")[0].strip("/").split("/")
    fits = [
        template
        for template in whole["paths"]
        if len(parts := template.strip("/").split("/")) == len(segments)
        and all(part == word or part.startswith("{") for part, word in zip(parts, segments, strict=True))
    ]
    assert fits, f"GitHub has no {path}"
    return min(fits, key=lambda template: template.count("{"))


def wrong_in(whole, method, path, body):
    """Return how a call contradicts GitHub's description."""
    operation = whole["paths"][described(whole, path)].get(method.lower())
    if operation is None:
        return [f"{method} {path} is not described"]
    if body is None:
        return []
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    if "$ref" in schema:
        schema = whole["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    # GitHub accepts `can_admins_bypass`, but its description lacks it: google/go-github#2725.
    body = {name: value for name, value in body.items() if name != "can_admins_bypass"}
    unknown = [f"{name} is not described" for name in body.keys() - schema["properties"].keys()]
    validator = jsonschema.Draft7Validator(schema | {"components": whole["components"]})
    return unknown + [error.message for error in validator.iter_errors(body)]
