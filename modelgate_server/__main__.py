"""
The embedded W&B-compatible server.

    python -m modelgate_server --data DIR --port N
    python -m modelgate_server admin --data DIR COMMAND        users, roles, protected aliases
    python -m modelgate_server check | gc | backup | export | import --data DIR ...
                                                               what is in the folder; docs/server.md

Exits 0 when it was stopped, 2 when it cannot start. The first start makes an API key and leaves it in DIR/api_key, or
takes the one in MODELGATE_SERVER_KEY; MODELGATE_SERVER_KEY_FILE is then the file that the login page names. This is the
only place that reads flags and environment.
"""

import argparse
import importlib
import os
import sqlite3
import sys
from pathlib import Path
from urllib.parse import urlsplit

from modelgate_server.errors import StartError
from modelgate_server.settings import Settings
from modelgate_server.store.faults import fault

COMMANDS = {
    "admin": "modelgate_server.admin",
    "check": "modelgate_server.check",
    "gc": "modelgate_server.gc",
    "backup": "modelgate_server.backup",
    "export": "modelgate_server.exporting",
    "import": "modelgate_server.importing",
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m modelgate_server",
        description="The embedded W&B-compatible server: runs, artifacts and registries in one folder.",
        epilog="example: python -m modelgate_server --data .modelgate/server --port 8080; "
        f"also: python -m modelgate_server {' | '.join(COMMANDS)} --help",
        allow_abbrev=False,
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the database and the blobs")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="port; 0, the default, is any free one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--external-url", metavar="URL", help="address that clients are given (default: the one they used)"
    )
    return parser.parse_args(argv)


def settings_of(args: argparse.Namespace) -> Settings:
    if not 0 <= args.port < 65536:
        raise StartError(
            f"port {args.port} is not between 0 and 65535", "choose another with --port, or 0 for a free one"
        )
    url = args.external_url
    if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
        raise StartError(f'--external-url "{url}" is no address', "write it like http://modelgate-server:8080")
    key_file = os.environ.get("MODELGATE_SERVER_KEY_FILE") or None
    return Settings(args.data, args.host, args.port, url.rstrip("/") if url else None, key_file)


def main(argv: list[str] | None = None) -> int:
    given = sys.argv[1:] if argv is None else argv
    # Not at the top: each loads only what it needs, and a wrong flag is answered at once.
    try:
        if given and given[0] in COMMANDS:
            return int(importlib.import_module(COMMANDS[given[0]]).main(given[1:]))
        settings = settings_of(parse_args(given))
        from modelgate_server.process import serve

        return serve(settings, os.environ.get("MODELGATE_SERVER_KEY"))
    except StartError as error:
        print(f"error: {error}\nhint: {error.hint}", file=sys.stderr)
        return 2
    except (OSError, sqlite3.Error) as error:
        if fault(error) is None:
            raise  # a bug keeps its traceback
        print(f"error: {error}\nhint: see to the disk or the folder, then do the same again", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
