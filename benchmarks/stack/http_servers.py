"""
Small PUTs over kept connections to one worker of each HTTP server; runs in `.venv-stack`.

    python -m benchmarks.stack.http_servers REQUESTS

Prints JSON: for each server a sample of {requests a second, the server's milliseconds of processor time a request,
resident MiB after it, seconds from start to first answer}. Processor time says the same on a busy machine.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

PYTHON = sys.executable
UVICORN = [PYTHON, "-m", "uvicorn", "benchmarks.stack.starlette_app:app", "--no-access-log", "--log-level", "error"]
SERVERS = {
    "uvicorn, httptools": [*UVICORN, "--http", "httptools", "--loop", "asyncio", "--port", "{port}"],
    "uvicorn, httptools, uvloop": [*UVICORN, "--http", "httptools", "--loop", "uvloop", "--port", "{port}"],
    "uvicorn, h11": [*UVICORN, "--http", "h11", "--loop", "asyncio", "--port", "{port}"],
    "hypercorn": [PYTHON, "-m", "hypercorn", "benchmarks.stack.starlette_app:app", "--bind", "127.0.0.1:{port}"],
    "granian": [
        PYTHON, "-m", "granian", "--interface", "asgi", "--loop", "asyncio", "--no-ws", "--log-level", "error",
        "--port", "{port}", "benchmarks.stack.starlette_app:app",
    ],
    "aiohttp": [PYTHON, "-m", "benchmarks.stack.aiohttp_app", "{port}"],
}  # fmt: skip
CONNECTIONS = 16  # as many as wandb's Go client has under way with small files
BODY = b"0123456789" * 40  # a PNG of MNIST has about so many bytes
ETAG = hashlib.md5(BODY, usedforsecurity=False).hexdigest().encode()
START_DEADLINE_S = 120


def sample(command: list[str], requests: int) -> dict[str, float]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    began = time.perf_counter()
    server = subprocess.Popen([word.format(port=port) for word in command], stdout=subprocess.DEVNULL)
    try:
        asyncio.run(_first_answer(port, began + START_DEADLINE_S))
        started = time.perf_counter() - began
        asyncio.run(_load(port, requests // 10))  # what is compiled or cached on the way is not measured
        began, used = time.perf_counter(), _processor_s(server.pid)
        asyncio.run(_load(port, requests))
        seconds, used = time.perf_counter() - began, _processor_s(server.pid) - used
        rate, each = requests / seconds, 1000 * used / requests
        return {"rate": rate, "processor": each, "memory": _memory(server.pid), "started": started}
    finally:
        server.terminate()
        server.wait(10)


async def _first_answer(port: int, deadline: float) -> None:
    while True:
        try:
            return await _puts(port, 1)
        except OSError:
            if time.perf_counter() > deadline:
                raise
            await asyncio.sleep(0.02)


async def _load(port: int, requests: int) -> None:
    await asyncio.gather(*(_puts(port, requests // CONNECTIONS) for _ in range(CONNECTIONS)))


async def _puts(port: int, requests: int) -> None:
    """One after the other on one connection; each answer is looked at."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"PUT /storage/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
    try:
        for _ in range(requests):
            writer.write(head + BODY)
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 200") or ETAG not in answer:
                raise SystemExit(f"error: the answer was {answer!r}")
            length = re.search(rb"(?i)content-length: (\d+)", answer)
            if length is not None:
                await reader.readexactly(int(length[1]))
    finally:
        writer.close()


def _processes(pid: int) -> list[Path]:
    """Of a process and its children; none where there is no /proc."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [Path(f"/proc/{one}") for one in [pid, *children.read_text().split()]] if children.exists() else []


def _memory(pid: int) -> float:
    """Resident MiB."""
    return sum(resident_mib(process) for process in _processes(pid))


def resident_mib(process: Path) -> float:
    found = re.search(r"VmRSS:\s+(\d+)", (process / "status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def _processor_s(pid: int) -> float:
    """Seconds of processor time, user and system."""
    ticks = 0
    for process in _processes(pid):
        fields = (process / "stat").read_text().rpartition(") ")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    print(json.dumps({name: sample(command, int(sys.argv[1])) for name, command in SERVERS.items()}))
