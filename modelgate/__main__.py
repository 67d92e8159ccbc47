"""
Create a use case, or check the config of one.

    python -m modelgate new NAME --task tabular-classification    create a use case of your own that already runs
    python -m modelgate config [NAME]     check the config.toml of a use case and print it as JSON

Exits 0 done, 2 wrong use or configuration. Needs only Python.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence

from modelgate import config, new
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
    make = commands.add_parser(
        "new",
        help="create a use case that already runs, for you to change",
        epilog="example: python -m modelgate new churn --task tabular-classification",
    )
    make.add_argument("name", metavar="NAME", help="the folder of usecases/ to create")
    make.add_argument("--task", required=True, choices=config.TASKS, help="the kind of rows and answers")
    make.add_argument("--framework", choices=config.FRAMEWORKS, help="default: the one that supports this task")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        if args.command == "new":
            new.write(args.name, args.task, args.framework or config.list_frameworks(args.task)[0])
            print(f"created usecases/{args.name}: change it, or first see it run")
            print(f"  make run USE_CASE={args.name}")
        else:
            settings = config.load(args.name or config.require_default())
            print(json.dumps(dataclasses.asdict(settings), indent=2))
    except StepError as error:
        print(f"error: {error}\nhint: {error.hint}", file=sys.stderr)
        return WRONG_USE
    return 0


if __name__ == "__main__":
    sys.exit(main())
