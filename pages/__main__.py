"""
Start the embedded server with modelgate's own pages, as `make serve` does.

    MODELGATE_SERVER_KEY=... python -m pages --data .modelgate/server --port N

The runner records what waits for an approval next to the data folder. Exits 0 when you stop it, 2 if it cannot start.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial

from modelgate_server import process, serve
from modelgate_server.errors import StartError


def main(argv: Sequence[str] | None = None) -> int:
    settings = serve.read_settings(serve.parse_args(list(sys.argv[1:] if argv is None else argv)))
    from pages.routes import create_routes  # after the flags are checked, because this imports the SDK

    try:
        return process.serve(
            settings,
            os.environ.get("MODELGATE_SERVER_KEY"),
            partial(serve.announce, settings),
            partial(create_routes, settings.data_dir.parent),
        )
    except StartError as error:
        sys.stderr.write(f"error: {error}\nhint: {error.hint}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
