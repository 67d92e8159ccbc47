"""
Rehearse a rollback: promote A, serve it, promote B under load, go back to A, and check that no request failed.

    make drill

This runs in a copy of the project with its own server, on the tests' own use case, which needs no file. It prints the
seconds of each part, and how long after each promotion the service answered with the new version.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.project import Project
from benchmarks.timing import Failed, run_timed
from tests.serving import free_port

MODEL = "glyphs"
START_DEADLINE_S = 120
FOLLOWED_WITHIN_S = 30
CLIENTS = 4


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="modelgate-drill-") as name:
        project = Project(Path(name))
        try:
            time_command(project, "promote A", "run", "--use-case", MODEL, "--seed", "0")
            with serve(project, MODEL) as port:
                load = Load(port)
                try:
                    time_command(project, "promote B under load", "run", "--use-case", MODEL, "--seed", "1")
                    until_b = time_answer_by(load, "v1")
                    back = time_command(project, "go back to A", "rollback", "--use-case", MODEL, "--reason", "drill")
                    until_a = time_answer_by(load, "v0")
                finally:
                    load.end()
        except Failed as failure:
            print(f"error: {failure}", file=sys.stderr)
            return 1
    print(
        f"the service answers with B {until_b:.1f} s after its promotion, and with A {until_a:.1f} s after the rollback"
    )
    print(f"from the decision to go back until A answers: {back + until_a:.1f} s")
    answers = ", ".join(f"{count:,} by {version}" for version, count in sorted(load.answered.items()))
    print(f"{load.answered.total():,} requests were answered ({answers}), and {len(load.failures)} failed")
    for failed in load.failures[:5]:
        print(f"error: {failed}", file=sys.stderr)
    return 1 if load.failures else 0


def time_command(project: Project, name: str, *arguments: str) -> float:
    """Run a command of the runner, approved in advance; return its seconds."""
    command = [sys.executable, "-m", "runner", *arguments, "--approver", "drill"]
    done = run_timed(command, project.env, project.root)
    print(f"{name}: {done.seconds:.1f} s", flush=True)
    return done.seconds


@contextmanager
def serve(project: Project, name: str) -> Iterator[int]:
    """Run the service on the copy's server; yield its port once it answers."""
    port = free_port()
    command = [sys.executable, "-m", "runner", "serve-model", "--use-case", name, "--port", str(port)]
    serving = subprocess.Popen(command, cwd=project.root, env=project.env, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_DEADLINE_S
        while not is_ready(port):
            if serving.poll() is not None or time.monotonic() > deadline:
                raise Failed("the service did not start")
            time.sleep(0.1)
        yield port
    finally:
        serving.terminate()
        serving.wait(60)


class Load:
    """Requests without a pause, from CLIENTS threads. latest: the version of the last answer."""

    def __init__(self, port: int) -> None:
        self.answered: Counter[str] = Counter()
        self.failures: list[str] = []
        self.latest = ""
        self._port, self._ended, self._lock = port, threading.Event(), threading.Lock()
        self._body = ask(port, "/example")[1]
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        while not self._ended.is_set():
            try:
                status, body = ask(self._port, f"/v2/models/{MODEL}/infer", self._body)
            except OSError as error:
                status, body = 0, str(error).encode()
            with self._lock:
                if status == 200:
                    self.latest = json.loads(body)["model_version"]
                    self.answered[self.latest] += 1
                else:
                    self.failures.append(f"{status}: {body[:200]!r}")

    def end(self) -> None:
        """Stop, and wait for the open requests."""
        self._ended.set()
        for thread in self._threads:
            thread.join()


def time_answer_by(load: Load, version: str) -> float:
    """Return the seconds until the service answers with a version; raise Failed if that takes too long."""
    began = time.monotonic()
    while load.latest != version:
        if time.monotonic() > began + FOLLOWED_WITHIN_S:
            raise Failed(f"{load.latest} still answers {FOLLOWED_WITHIN_S} s after {version} was promoted")
        time.sleep(0.02)
    return time.monotonic() - began


def is_ready(port: int) -> bool:
    """Return whether a version answers."""
    try:
        return ask(port, "/v2/health/ready")[0] == 200
    except OSError:
        return False


def ask(port: int, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Send one request; return its status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET" if body is None else "POST", path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
