"""
Start the server.

    modelgate-server serve --data DIR --port N

Exits 0 when you stop it, 2 if it cannot start. The first start creates an API key in DIR/api_key, or uses the one in
MODELGATE_SERVER_KEY; then the login page names the file in MODELGATE_SERVER_KEY_FILE. Once it listens, it prints the
two lines that a client's shell needs on standard output. They contain the file of the key, not the key, so that no key
gets into a log.
"""

import argparse
import os
import shlex
import sys
from urllib.parse import urlsplit

from modelgate_server.errors import StartError
from modelgate_server.maintenance import add_data
from modelgate_server.settings import DEFAULT_PORT, Settings

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104


def parse_args(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="modelgate-server serve",
        description="Start the server. Without flags, only this machine can reach it.",
        epilog="example: modelgate-server serve --data ./wandb-server --port 8080",
        allow_abbrev=False,
    )
    add_data(parser, "the folder for all data; created if it is missing")
    parser.add_argument(
        "--port",
        type=int,
        metavar="N",
        help=f"the port; 0 means any free one (default: {DEFAULT_PORT}, or any free one if that is taken)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument(
        "--external-url", metavar="URL", help="the address that clients get (default: the one that they used)"
    )
    return parser.parse_args(argv)


def read_settings(args: argparse.Namespace) -> Settings:
    if args.port is not None and not 0 <= args.port < 65536:
        raise StartError(
            f"port {args.port} is not between 0 and 65535", "choose another with --port, or 0 for a free one"
        )
    url = args.external_url
    if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
        raise StartError(f'--external-url "{url}" is not a URL', "write it as http://modelgate-server:8080")
    key_file = os.environ.get("MODELGATE_SERVER_KEY_FILE") or None
    return Settings(args.data, args.host, args.port, url.rstrip("/") if url else None, key_file=key_file)


def main(argv: list[str]) -> int:
    chosen = read_settings(parse_args(argv))
    from modelgate_server import process  # takes most of the start-up time, so a wrong flag is reported first

    return process.serve(
        chosen, os.environ.get("MODELGATE_SERVER_KEY"), lambda host, port: announce(chosen, host, port)
    )


def announce(chosen: Settings, host: str, port: int) -> None:
    """Print the address, and the two lines that a client's shell needs."""
    if port != DEFAULT_PORT and chosen.port is None:
        print(f"port {DEFAULT_PORT} is taken; listening on port {port} instead", file=sys.stderr)
    print(f"modelgate server at {format_address(host, port)}", file=sys.stderr, flush=True)
    print(
        f"export WANDB_BASE_URL={shlex.quote(chosen.external_url or format_address(WILDCARDS.get(host, host), port))}"
    )
    key = (chosen.data_dir / "api_key").resolve()
    kept = f"$(cat {shlex.quote(str(key))})" if key.exists() else "$MODELGATE_SERVER_KEY"
    print(f'export WANDB_API_KEY="{kept}"', flush=True)


def format_address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host and "[" not in host else f"http://{host}:{port}"
