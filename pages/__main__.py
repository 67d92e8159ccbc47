"""
Start the embedded server with the product's own pages; `make serve` does.

    MODELGATE_SERVER_KEY=... python -m pages --data .modelgate/server --port N

Next to the folder of the data, the runner keeps what waits for an approval. Exits 0 when it was stopped, 2 when it
cannot start.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial

from modelgate_server import process, serve
from modelgate_server.errors import StartError


def main(argv: Sequence[str] | None = None) -> int:
    settings = serve.settings(serve.parse_args(list(sys.argv[1:] if argv is None else argv)))
    from pages.routes import routes  # after a wrong flag was answered: this imports the SDK

    try:
        return process.serve(
            settings,
            os.environ.get("MODELGATE_SERVER_KEY"),
            partial(serve.announce, settings),
            partial(routes, settings.data_dir.parent),
        )
    except StartError as error:
        sys.stderr.write(f"error: {error}\nhint: {error.hint}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
