"""
One small program that replaces each step and the server: it records how it was called, then does what
`behaviour.json` says, or else what a step with all its inputs would do. Copied to steps/<name>.py by conftest.
"""

import json
import os
import socket
import sys
import time
from base64 import b64encode
from pathlib import Path

NAME = Path(__file__).stem.replace("__main__", "server")
ROOT = Path(__file__).parents[1]
REGISTRY = "local-org/wandb-registry-model/glyphs-dev"
RESULTS = {
    "build": {"dataset": "local/p/glyphs_dataset:v0", "digest": "d", "reused": True, "run_url": None},
    "train": {"model": "local/p/glyphs_model:v0", "digest": "m", "reused": False, "run_url": "http://x/runs/train"},
    "link": {"version": f"{REGISTRY}:v3", "digest": "m", "url": "http://x/page-of-v3"},
    "evaluate": {
        "verdict": "pass", "headline": "pass: 1.0 point lower than production, within what 497 rows can tell",
        "evidence": "local/p/glyphs_evaluation:v7", "version": f"{REGISTRY}:v3",
        "production": None, "accuracy": 0.97, "loss": 0.1, "reasons": [], "reused": False, "run_url": None,
    },
    "promote": {"version": f"{REGISTRY}:v3", "previous": None, "approver": "ada", "url": "http://x/page-of-v3"},
    "prune": {"plan": "c0ffee", "versions": [{"name": "local/p/glyphs_model:v0", "bytes": 7}], "deleted": ["v0"]},
    "predict": {"rows": 3, "ledger_entry": "v0"},
    "audit": {"registry": {"production": None}, "entries": []},
}  # fmt: skip


def behaviour() -> dict:
    path = ROOT / "behaviour.json"
    return json.loads(path.read_text()).get(NAME, {}) if path.exists() else {}


def write_down() -> None:
    line = json.dumps({"name": NAME, "argv": sys.argv[1:], "env": dict(os.environ), "pid": os.getpid()}) + "\n"
    file = os.open(ROOT / "calls.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, line.encode())


def step(does: dict) -> int:
    print(f"{NAME} says this on standard error", file=sys.stderr, flush=True)
    time.sleep(does.get("sleep_s", 0))
    while "until" in does and not (ROOT / does["until"]).exists():
        time.sleep(0.02)
    if "stdout" in does:
        sys.stdout.write(does["stdout"])
        return does.get("exit", 0)
    result = RESULTS[NAME] | does.get("result", {})
    if "error" in does:
        result = {"error": does["error"]}
        print(f"error: {does['error']['message']}", file=sys.stderr)
    if NAME == "evaluate":
        out = next(word.removeprefix("--out=") for word in sys.argv if word.startswith("--out="))
        (Path(out) / "report.md").write_text("# The report\n\n| rule | |\n| --- | --- |\n| floor | passed |\n")
    print(json.dumps(result))
    return does.get("exit", 0)


def server(does: dict) -> int:
    """Answer the health check, and everything else if the key is right."""
    if "says" in does:
        print(does["says"], file=sys.stderr)
        return does["exit"]
    flags = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    Path(flags["--data"]).mkdir(exist_ok=True)
    login = b64encode(b"api:" + os.environ["MODELGATE_SERVER_KEY"].encode())
    listener = socket.create_server(("127.0.0.1", int(flags["--port"])))
    while True:
        connection, _ = listener.accept()
        with connection:
            request = connection.recv(4096)
            welcome = b"/_internal/healthcheck" in request or login in request
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n{}" if welcome else b"HTTP/1.0 401 Unauthorized\r\n\r\n")


if __name__ == "__main__":
    write_down()
    sys.exit(server(behaviour()) if NAME == "server" else step(behaviour()))
