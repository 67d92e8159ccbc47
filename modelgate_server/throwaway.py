"""
Run a server for one session of tests, started by the pytest plugin.

    python -m modelgate_server.throwaway DIR

It uses any free port, creates every entity that a client names, and prints its address on standard output. It ends when
its standard input does, so it never outlives the tests, however they end.
"""

import os
import signal
import sys
import threading
from pathlib import Path

from modelgate_server import process
from modelgate_server.serve import format_address
from modelgate_server.settings import Settings


def main() -> int:
    threading.Thread(target=end_with_standard_input, daemon=True).start()
    settings = Settings(Path(sys.argv[1]), any_entity=True)
    return process.serve(
        settings, os.environ["MODELGATE_SERVER_KEY"], lambda host, port: print(format_address(host, port), flush=True)
    )


def end_with_standard_input() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
