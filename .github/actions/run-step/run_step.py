"""
Run one step's image, and report the result to GitHub. action.yml passes its inputs as variables.

A step knows flags, exit codes and one JSON object on standard output. GitHub knows outputs, a summary and annotations.
This only translates between them: it decides nothing, and it ends with the step's own exit code. A verdict `fail`, or
findings of an audit, do not fail the job: they are the answer, which a check run or an issue shows.

All output of a step is text. While it runs, GitHub does not read commands in the log; text in an output or an
annotation is escaped. Needs only Python.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

OUTPUTS = ("dataset", "model", "version", "evidence", "evidence_sha256", "verdict", "url")
MAX_SUMMARY_BYTES = 1_000_000  # GitHub refuses a summary above 1 MiB, and then shows none at all
INSIDE = "/out"
DATA_TOKEN = "DATA_TOKEN"  # noqa: S105 - the name of the one secret that a use case may declare
NO, WRONG_USE = 1, 2
WANDB = ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_ENTITY", "WANDB_PROJECT")
# The rights that no container has, as in runner/containers.py.
CONFINED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--tmpfs=/tmp:mode=1777")
# What modelgate/promotion/approval/ reads, and so only a step that asks GitHub gets to see.
GITHUB = ("ACTIONS", "ACTOR", "API_URL", "REF", "REPOSITORY", "RUN_ATTEMPT", "RUN_ID", "SERVER_URL", "SHA", "TOKEN",
          "TRIGGERING_ACTOR")  # fmt: skip
# Whom promote tells, which its job alone is given.
TELLS = tuple(f"PROMOTION_DISPATCH_{name}" for name in ("REPOSITORY", "TOKEN"))
TELLS += tuple(f"PROMOTION_WEBHOOK_{name}" for name in ("ALLOW", "SECRET", "TEMPLATE", "URL"))


def main() -> int:
    variables = os.environ
    out = Path(variables["OUT"]).resolve()
    out.mkdir(parents=True, exist_ok=True)
    flags = json.loads(variables["FLAGS"]) | {"out": INSIDE}
    try:
        flags |= parse_hyperparameters(variables["HYPERPARAMETERS"], flags)
    except ValueError as error:
        print(write_annotation(f"{variables['STEP']}: hyperparameters", str(error)), flush=True)
        return WRONG_USE
    if variables["IMAGES"]:
        (out / "images.json").write_text(variables["IMAGES"], encoding="utf-8")
        flags["images"] = f"{INSIDE}/images.json"
    names = [*WANDB, *TELLS, *(f"GITHUB_{name}" for name in GITHUB if variables["ASKS_GITHUB"] == "true")]
    names += pass_source_variables(json.loads(variables["DATA_ENV"]), json.loads(variables["VARIABLES"]))
    command = build_command(variables["IMAGE"], names, variables["NETWORK"], out, flags, variables["MODULE"])
    code, stdout = run(command)
    remove_links(out)
    try:
        result = json.loads(stdout)
    except ValueError:
        result = {}
    if not isinstance(result, dict):
        result = {}
    write_outputs(result)
    write_summary(out / "report.md", variables["STEP"], result)
    for line in write_commands(variables["STEP"], code, result):
        print(line, flush=True)
    refused = result.get("verdict") == "fail" or bool(result.get("findings"))
    return 0 if code == NO and refused else code


def parse_hyperparameters(text: str, flags: Mapping[str, Any]) -> dict[str, str]:
    """Return what a person wrote into the form, as flags; ValueError with what is wrong."""
    if not text.strip():
        return {}
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise ValueError('write a JSON object, such as {"epochs": 20}')
    values = {}
    for key, value in content.items():
        name = key.replace("_", "-")
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,59}", name) or name in flags:
            raise ValueError(f"{key!r} is not a hyperparameter")
        if not isinstance(value, str | int | float):
            raise ValueError(f"{key!r} must be true, false, a number or a string")
        values[name] = json.dumps(value) if isinstance(value, bool) else str(value)
    return values


def pass_source_variables(declared: list[str], variables: Mapping[str, str]) -> list[str]:
    """Return those that the use case's data.py may read, put into our own environment, from which docker takes them."""
    for name in declared:
        if name in variables:
            os.environ[name] = variables[name]
    return [name for name in declared if name in variables or name == DATA_TOKEN]


def build_command(
    image: str, environment: list[str], network: str, out: Path, flags: Mapping[str, Any], module: str = ""
) -> list[str]:
    """Return the command line. No variable's value is in it: docker takes the values from our own environment."""
    command = ["docker", "run", "--rm", *CONFINED, f"--user={os.getuid()}:{os.getgid()}", f"--network={network}"]
    command += [f"--mount=type=bind,source={out},target={INSIDE}"]
    command += [f"--env={name}" for name in environment if os.environ.get(name)]
    command += ["--entrypoint=python", image, "-m", module] if module else [image]
    for name, value in flags.items():
        if value is True:
            command.append(f"--{name}")
        elif value not in (None, False, ""):
            command.append(f"--{name}={value}")  # one word with its flag, so that no value is taken for a flag
    return command


def run(command: list[str]) -> tuple[int, str]:
    """
    Exit code and standard output; standard error goes to the log, in which nothing is a command meanwhile: a flag that
    a person chose may contain line breaks.
    """
    token = secrets.token_hex(16)
    print(f"::stop-commands::{token}\n+ {shlex.join(command)}", flush=True)
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=sys.stdout, text=True, errors="replace", check=False
        )
        print(done.stdout, flush=True)
    finally:
        print(f"\n::{token}::", flush=True)
    return done.returncode, done.stdout


def write_outputs(result: Mapping[str, Any]) -> None:
    """Outputs between delimiters that no text of a step can guess."""
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as file:
        for name in OUTPUTS:
            value = result.get(name)
            if isinstance(value, str):
                mark = secrets.token_hex(16)
                file.write(f"{name}<<{mark}\n{value}\n{mark}\n")


def remove_links(out: Path) -> None:
    """
    Remove everything from the folder except files and folders, because it is read, and uploaded, on the host.

    A link would be followed there, to what the container itself could not see, such as this job's variables.
    """
    for folder, folders, names in os.walk(out):
        for name in (*folders, *names):
            path = Path(folder) / name
            kind = path.lstat().st_mode
            if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
                path.unlink()


def read_content(path: Path, limit: int) -> bytes | None:
    """Return the first bytes of a regular file; None if there is none, or something else has its name."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(limit) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


def write_summary(report: Path, step: str, result: Mapping[str, Any]) -> None:
    """The report, below its pages in W&B; or what the step answered, folded, as code: nothing in it is Markdown."""
    data = read_content(report, MAX_SUMMARY_BYTES + 1)
    if data is None:
        answer = json.dumps(result, indent=2, sort_keys=True)
        lines = "".join(f"    {line}\n" for line in answer.splitlines())
        data = f"<details><summary>{step}</summary>\n\n{lines}\n</details>\n".encode()
    else:
        data = write_links(result).encode() + data
    if len(data) > MAX_SUMMARY_BYTES:
        data = data[:MAX_SUMMARY_BYTES] + b"\n\n(shortened here; the whole report is with the evidence in W&B)\n"
    with Path(os.environ["GITHUB_STEP_SUMMARY"]).open("ab") as file:
        file.write(data)


def write_links(result: Mapping[str, Any]) -> str:
    """Return the version and its evaluation in W&B, as a line of Markdown; an address of another form is left out."""
    pages = (("version", result.get("url")), ("evaluation", result.get("run_url")))
    good = [f"[{name}]({url})" for name, url in pages if re.fullmatch(r"https?://[\w.:/?&=%~#+-]{1,500}", str(url))]
    return " · ".join(good) + "\n\n" if good else ""


def write_commands(step: str, code: int, result: Mapping[str, Any]) -> list[str]:
    """What went wrong, as workflow commands."""
    if code == 0:
        return list_warnings(step, result)
    error = result.get("error")
    if isinstance(error, dict):
        message = f"{error.get('message')}\n{error.get('hint') or ''}".strip()
        return [write_annotation(f"{step}: {error.get('name')}", message)]
    if reasons := result.get("reasons"):
        title = f"{step}: {result.get('headline') or result.get('verdict')}"
        return [write_annotation(title, str(reason)) for reason in reasons]
    return [write_annotation(step, f"ended with exit code {code} and without its JSON object; see its output above")]


def list_warnings(step: str, result: Mapping[str, Any]) -> list[str]:
    """Return the messages that were not sent; the job is green, because the promotion is done."""
    outcomes = result.get("notifications")
    rows = [row for row in outcomes if isinstance(row, dict)] if isinstance(outcomes, list) else []
    messages = [f"{row.get('entry')} by {row.get('channel')}: {row['problem']}" for row in rows if row.get("problem")]
    if result.get("not_told"):
        messages.append(str(result["not_told"]))
    return [f"::warning title={escape(f'{step}: message not sent', ',:')}::{escape(message)}" for message in messages]


def write_annotation(title: str, message: str) -> str:
    return f"::error title={escape(title, ',:')}::{escape(message)}"


def escape(text: str, extra: str = "") -> str:
    """As GitHub's toolkit escapes data and properties of a command."""
    for char in "%\r\n" + extra:
        text = text.replace(char, f"%{ord(char):02X}")
    return text


if __name__ == "__main__":
    sys.exit(main())
