"""
Serve the version in production, and follow it.

    python -m serving --use-case NAME --port 8100

Answers the Open Inference Protocol v2 at /v2, metrics at /metrics, and a page for people at /. The WANDB_* variables
name the W&B to use; a read-only key is enough. Exits 0 when you stop it, 2 on wrong use.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from modelgate import config, usecase
from modelgate.cli import run_guarded
from serving.app import create_app
from serving.follow import Follower
from serving.telemetry import Metrics, log, log_as_json

STOP_S = 30  # for requests in progress when the service is asked to stop
CONNECTIONS = 1000


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    title, _, rest = (__doc__ or "").strip().partition("\n")
    parser = argparse.ArgumentParser(
        prog="python -m serving",
        description=f"{title}\n{rest}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    known = ", ".join(config.list_names())
    parser.add_argument("--use-case", metavar="NAME", help=f"a folder of usecases/: {known} (default: the default one)")
    parser.add_argument("--collection", help="the registered model (default: the use case's own)")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8100, help="the port to listen on (default: %(default)s)")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(".modelgate/serving"),
        metavar="DIR",
        help="where the verified version is kept; only this service may use it (default: %(default)s)",
    )
    parser.add_argument(
        "--poll",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="how often to ask W&B what is in production (default: %(default)s)",
    )
    args = parser.parse_args(argv)
    if not 0 < args.poll <= 3600:
        parser.error(f"--poll {args.poll}: must be above 0 and at most 3600 seconds")
    if not 0 <= args.port < 2**16:
        parser.error(f"--port {args.port}: must be from 0 to {2**16 - 1}")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    settings = config.load(args.use_case or config.require_default())
    log_as_json()
    metrics = Metrics()
    data = usecase.load_part(settings.name, "data")
    collection = args.collection or settings.collection
    follower = Follower(settings, collection, data, args.data.resolve(), metrics, args.poll)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # uvicorn raises the signal again after its shutdown, as it should
    log("starts", use_case=settings.name, host=args.host, port=args.port, data=str(args.data))
    uvicorn.run(
        create_app(settings.name, follower, metrics),
        host=args.host,
        port=args.port,
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=STOP_S,
    )
    return 0


if __name__ == "__main__":
    sys.exit(run_guarded(main))
