"""
Show what is in production, what waits and what ran last; and audit what was promoted. Neither changes anything.

Only the registry knows what is in production: the pages or the SDK can move an alias without the runner. So the step
audit asks the registry, next to other commands in the folder.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from modelgate.text import shorten_name
from runner import executors, pipeline, typed
from runner.errors import RunnerError, format_hint
from runner.folder import Folder
from runner.options import Options
from runner.progress import say, say_aside
from runner.state import Known, describe_end, find_obstacle

UNREACHABLE = 3
NOTHING_IN_PRODUCTION = "nothing_in_production"  # the name that predict and the service give it


def tell(options: Options) -> int:
    """Print everything. If W&B cannot be reached, print what was last seen, and return 3."""
    folder = options.folder
    if not folder.path.is_dir():
        say("Nothing has run here yet. To begin: make run")
        return 0
    state = folder.state()
    use_cases = [options.use_case] if options.use_case else sorted({*state.list_made(), *filter(None, [state.last])})
    known = {name: state.get_known(name) for name in use_cases}
    seen = {name: known_state["production"] for name, known_state in known.items() if known_state.get("production")}
    names = [name for name in use_cases if name not in seen or seen[name].get("host") == options.host]
    answers, problem = _ask(options, names)
    for use_case in use_cases:
        if use_case in answers:
            say(f"production of {use_case}: {_describe_registry(answers[use_case])}")
            for item in answers[use_case].get("not_told", ()):
                due = f"entry {item['entry']} through {item['channel']}"
                say(f"  message not sent yet: {due}; the next promotion sends it")
        else:
            say(f"production of {use_case}: {_describe_last_seen(seen.get(use_case), options)}")
    if problem:
        say(f"  W&B could not be reached: {problem}")
    if not use_cases:
        say("production: nothing yet")
    waiting = [known_state["pending"] for known_state in known.values() if known_state.get("pending")]
    for pending in waiting:
        say(f"waits for an approval: {_describe_pending(pending, answers.get(pending['use_case']), options.host)}")
    if not waiting:
        say("waits for an approval: nothing")
    _tell_last_run(folder, known.get(options.use_case or state.last or "", {}).get("run"))
    _tell_server(folder)
    return UNREACHABLE if problem else 0


def answer(options: Options, step: pipeline.Step, use_case: str, flags: pipeline.Flags) -> int:
    """Run a step that changes nothing in W&B's registry, in the same place as `run`. Return its exit code."""
    if not options.own and not options.folder.server_data.is_dir():
        say_aside("Nothing has run here yet. To begin: make run")
        return 0 if step == pipeline.AUDIT else 1
    with executors.open_quiet(options, quiet=False) as execute:
        outcome = execute(step, pipeline.build_flags(step, use_case, flags, {}))
    if not sys.stdout.isatty():  # on a terminal, the step's own lines on standard error say it
        sys.stdout.write(outcome.stdout)
    if outcome.code and _read_error_name(outcome) == NOTHING_IN_PRODUCTION:
        say_what_waits(options, use_case)
    return outcome.code if outcome.code >= 0 else 1


def say_what_waits(options: Options, use_case: str) -> None:
    """Print on standard error how to approve the version of this use case that waits, if one does."""
    pending = options.folder.state().get_known(use_case).get("pending")
    if pending and pending["host"] == options.host:
        version = shorten_name(pending["version"])
        say_aside(f"{version} waits for your approval: {typed.approve(use_case)}")


def _read_error_name(outcome: pipeline.Outcome) -> str | None:
    try:
        return str(json.loads(outcome.stdout)["error"]["name"])
    except (ValueError, KeyError, TypeError):
        return None


# --- what is in production -------------------------------------------------------------------------------------------


def _ask(options: Options, use_cases: Sequence[str]) -> tuple[dict[str, Mapping[str, Any]], str]:
    """Return audit's answer for each use case, and why one or all have none, with the hint."""
    answers: dict[str, Mapping[str, Any]] = {}
    if not use_cases or not (options.own or options.folder.server_data.is_dir()):
        return answers, ""
    try:
        with executors.open_quiet(options, quiet=True) as execute:
            for use_case in use_cases:
                outcome = execute(pipeline.AUDIT, pipeline.build_flags(pipeline.AUDIT, use_case, {}, {}))
                answers[use_case] = pipeline.parse_result(pipeline.AUDIT, outcome)
    except RunnerError as error:
        details = getattr(error, "error", None) or {"message": error.message, "hint": error.hint}
        return answers, details["message"] + format_hint(details.get("hint", ""))
    return answers, ""


def _describe_registry(answer: Mapping[str, Any]) -> str:
    """Format the version in production, and the promotion that put it there."""
    version = answer["registry"]["production"]
    applied = [entry for entry in answer["entries"] if entry["state"] == "applied"]
    promoted = applied[-1] if applied else None
    if promoted and promoted["to"]["name"] == version:
        return f"{version}, approved by {promoted['approver']} at {promoted['time']}"
    if not promoted:
        return f"{version}, moved by hand: the ledger has no promotion" if version else "nothing yet"
    last = shorten_name(promoted["to"]["name"])
    return f"{version or 'nothing'}, moved by hand: the last promotion was of {last}   (make audit ARGS=--verify)"


def _describe_pending(pending: Known, answer: Mapping[str, Any] | None, host: str | None) -> str:
    """Format a version that waits, and the line to type. answer: audit's about its use case, from the W&B at `host`."""
    if answer is not None and pending["host"] == host:
        obstacle = find_obstacle(pending, answer["registry"]["production"])
        if obstacle:
            again = f"to evaluate it again: {typed.format_evaluation(pending)}"
            return f"{pending['version']}, but it can no longer be promoted: {obstacle}   ({again})"
    return f"{pending['version']}   ({typed.approve(pending['use_case'])})"


def _describe_last_seen(seen: Mapping[str, Any] | None, options: Options) -> str:
    if seen is None:
        return "not asked"
    host = seen.get("host")
    source = f" in the W&B at {host}" if host else ""
    advice = "make status WANDB=own asks it" if host and not options.own else "not asked now"
    return f"{seen['version']}, when last seen{source} at {seen['time']}; {advice}"


# --- what this folder records ----------------------------------------------------------------------------------------


def _tell_last_run(folder: Folder, run: Known | None) -> None:
    if run is None:
        say("last run: none")
        return
    command = run.get("command", "run")  # an older release kept none
    subject = run["use_case"] if command == "run" else f"{command} of {run['use_case']}"
    last = f"last run: {subject}, started at {run['started']}"
    if run.get("verdict"):
        say(f"{last}, verdict {run['verdict']}")
    elif _is_held(folder, "lock"):
        say(f"{last}, is running" + (f"; {run['reached']} is finished" if run["reached"] else ""))
    else:
        end, advice = describe_end(run)
        say(f"{last}, {end}" + (f"   ({advice})" if advice else ""))


def _tell_server(folder: Folder) -> None:
    port = folder.read_last_port()
    if _is_held(folder, "server.lock"):
        say(f"server: http://127.0.0.1:{port} (the API key is in {folder.key_file})")
    elif port:
        say(f"server: not running; last on port {port}   (make serve opens its pages)")
    else:
        say("server: never started")


def _is_held(folder: Folder, name: str) -> bool:
    lock = folder.try_lock(name)
    if lock is not None:
        os.close(lock)
    return lock is None
