"""Serve the model in production on this machine, in the foreground, next to the embedded server or your own W&B."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from modelgate.text import shorten_name
from runner import executors, typed
from runner.embedded import HOST, LOG_LINES, is_free
from runner.errors import Interrupted, ServerFailed, WrongUse, format_hint
from runner.options import Options
from runner.processes import Child, end_leftover
from runner.progress import say
from runner.status import NOTHING_IN_PRODUCTION, say_what_waits

PORT = 8100
SERVING = "Serving "
ASK_EVERY_S = 0.5


def serve_model(options: Options, use_case: str, port: int) -> int:
    """Start the service, say when it answers, and stop it at Ctrl-C."""
    folder = options.folder
    if not options.own and not folder.server_data.is_dir():
        say("Nothing has run here yet. To begin: make run")
        return 1
    if end_leftover(folder.service_record):
        say("stopped the service that an earlier runner left behind")
    if not 0 < port < 2**16:
        raise WrongUse(f"--port {port}: must be from 1 to {2**16 - 1}")
    if not is_free(port):
        raise _describe_taken_port(options, use_case, port)
    with executors.open_environment(options, "pages") as env:
        say(f"loading {use_case}; the service's log is {folder.service_log}")
        child = _start(options, use_case, port, env)
        try:
            _tell_until_ended(options, child, port, use_case)
        except Interrupted:
            say("\nThe service has stopped.")
        finally:
            child.end()
    return 0


def _start(options: Options, use_case: str, port: int, env: Mapping[str, str]) -> Child:
    folder = options.folder
    file = os.open(folder.service_log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    command = [sys.executable, "-m", "serving", "--use-case", use_case, "--port", str(port)]
    with os.fdopen(file, "ab") as log:
        return Child(
            [*command, "--data", str(folder.serving)],
            env=env,
            cwd=options.root,
            record=folder.service_record,
            stdout=log,
            stderr=log,
        )


def _tell_until_ended(options: Options, child: Child, port: int, use_case: str) -> None:
    """Say when another version answers, or why none does. Raise Interrupted, or ServerFailed if the service ends by
    itself.
    """
    url, last_line, due_s = f"http://{HOST}:{port}", "", 0.0
    while True:
        if (code := child.read_code()) is not None:
            if not is_free(port):  # another program was faster
                raise _describe_taken_port(options, use_case, port)
            lines = options.folder.service_log.read_text(errors="replace").splitlines()[-LOG_LINES:]
            log = "".join(f"\n  | {line[:500]}" for line in lines)
            raise ServerFailed(
                f"the service ended with exit code {code}{log}", f"its log is {options.folder.service_log}"
            )
        options.stop.pause()
        if time.monotonic() < due_s:
            continue
        due_s = time.monotonic() + ASK_EVERY_S
        if (state := _state(url)) and (line := _describe_state(state)) and line != last_line:
            say(line)
            if (state.get("problem") or {}).get("name") == NOTHING_IN_PRODUCTION:
                say_what_waits(options, use_case)
            if state["ready"] and not last_line.startswith(SERVING):
                say(f"Try it in a browser: {url}")
                say(f"With curl: curl -s {url}/example | curl -s --data @- {url}/v2/models/{use_case}/infer")
                say("Ctrl-C stops it.")
            last_line = line


def _describe_taken_port(options: Options, use_case: str, port: int) -> WrongUse:
    again = typed.format_again(("serve-model", "--port", str(port + 1)), options.environ, use_case)
    return WrongUse(f"port {port} is in use by another program", f"choose another: {again}")


def _describe_state(state: Mapping[str, Any]) -> str:
    problem = state.get("problem")
    message = problem["message"] + format_hint(problem["hint"]) if problem else ""
    reason = f"; not up to date: {message}" if problem else ""
    if state["ready"]:
        return f"{SERVING}{shorten_name(state['version'])} (ledger entry {state['ledger_entry']}){reason}"
    return f"Not answering yet: {message}" if problem else ""


def _state(url: str) -> dict[str, Any]:
    """Return what the service reports about itself; empty while it does not answer."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import urlopen

    try:
        try:
            answer = urlopen(f"{url}/v2/health/ready", timeout=5)  # noqa: S310 - the service of this machine
        except HTTPError as error:  # 503: it runs, but has no version
            answer = error
        with answer:
            state = json.load(answer)
    except (OSError, HTTPException, ValueError):
        return {}
    return state if isinstance(state, dict) and "ready" in state else {}
