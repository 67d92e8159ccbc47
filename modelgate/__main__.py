"""
What a use case says, checked.

    python -m modelgate config [NAME]     the config.toml of a use case, or of the default one, as JSON

Exits 0 done, 2 wrong use or configuration. Needs Python alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence

from modelgate import config
from modelgate.errors import WRONG_USE, StepError


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m modelgate", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    show = commands.add_parser(
        "config",
        help="check a use case's config.toml and print it as JSON",
        epilog="example: python -m modelgate config",
    )
    show.add_argument("name", nargs="?", metavar="NAME", help="a folder of usecases/ (default: the default use case)")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        settings = config.load(args.name or config.require_default())
    except StepError as error:
        print(f"error: {error}\nhint: {error.hint}", file=sys.stderr)
        return WRONG_USE
    print(json.dumps(dataclasses.asdict(settings), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
