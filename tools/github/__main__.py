"""
Set up a repository on GitHub for these workflows, or show what it lacks.

    python3 -m tools.github doctor owner/name
    python3 -m tools.github setup owner/name --reviewer bob --reviewer acme/ml --entity acme [--dry-run]

`make github-doctor` and `make github-setup` pass on the variables that you set: `--help` names the one of each flag.

Both use the same list: each requirement, what is there now, and the call that fixes it. `doctor` prints the
differences, and `setup` makes the calls. So a second `setup` changes nothing, and `--dry-run` prints what the first
would do.

Both talk to GitHub through `gh` (https://cli.github.com), logged in as an administrator of the repository. You type
secrets without echo, and `gh` gets them on its standard input. They are never printed and never on a command line.

`setup --dry-run` also works without `gh`: it then prints what a new public repository needs.

Exits 0 nothing is left to fix, 1 something is left and is listed, 2 wrong use, 3 gh or GitHub is not available.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys

from tools.github.doctor import report_differences
from tools.github.gh import Refused, assumed
from tools.github.setup import ask_without_echo, set_up
from tools.github.wanted import Wanted, list_environments

MAX_REVIEWERS = 6
APPROVALS, SOURCES = ("github", "merge"), ("pr", "main")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python3 -m tools.github",
        description="Set up a repository on GitHub for these workflows, or show what it lacks.",
        epilog="example: make github-setup REPO=acme/models REVIEWERS=bob ENTITY=acme ARGS=--dry-run",
        allow_abbrev=False,
    )
    parser.add_argument("command", choices=("doctor", "setup"), help="show what is missing, or fix it")
    parser.add_argument("repository", metavar="OWNER/NAME", help="the repository (make: REPO=)")
    parser.add_argument(
        "--reviewer",
        action="append",
        default=[],
        metavar="LOGIN|ORG/TEAM",
        help="who may approve (make: REVIEWERS=, several in quotes, separated by spaces)",
    )
    parser.add_argument("--entity", metavar="NAME", help="the W&B team that owns the project (make: ENTITY=)")
    parser.add_argument(
        "--base-url", metavar="URL", help="a W&B of your own, for example https://wandb.example.org (make: BASE_URL=)"
    )
    parser.add_argument(
        "--approval",
        metavar="|".join(APPROVALS),
        help="approval by the environment's reviewers, or by the merged review (make: APPROVAL=)",
    )
    parser.add_argument(
        "--promote-from",
        metavar="|".join(SOURCES),
        help="whether a pull request may promote (make: PROMOTE_FROM=)",
    )
    parser.add_argument(
        "--environment",
        metavar="NAME",
        help="the only environment for --reviewer; by default, all (make: ENVIRONMENT=)",
    )
    parser.add_argument("--dry-run", action="store_true", help="setup: print the calls, but make none")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        if not args.repository:
            raise Refused("no repository is named", "set REPO=owner/name")
        if not re.fullmatch(r"[A-Za-z0-9][\w-]*/(?!\.\.?$)[\w.-]+", args.repository):
            raise Refused(f"{args.repository!r} is not a repository name", "set REPO=owner/name")
        check_choice("APPROVAL", args.approval, APPROVALS)
        check_choice("PROMOTE_FROM", args.promote_from, SOURCES)
        reviewers = tuple(word for text in args.reviewer for word in text.split())
        if len(reviewers) > MAX_REVIEWERS:
            raise Refused(
                f"{len(reviewers)} reviewers were named", f"GitHub allows {MAX_REVIEWERS}; a team counts as one"
            )
        wanted = Wanted(args.repository, reviewers, args.entity, args.base_url, args.approval, args.promote_from)
        if args.environment and args.environment not in list_environments():
            known = ", ".join(list_environments())
            raise Refused(f"no use case uses the environment {args.environment!r}", f"there are: {known}")
        wanted = wanted._replace(environment=args.environment)
        if args.command == "doctor":
            return report_differences(wanted)
        if args.dry_run and shutil.which("gh") is None:
            print("`gh` is not installed, so GitHub was not asked. This is what a new public repository needs:")
            assumed.append(wanted.repository)
        return set_up(wanted, args.dry_run, ask_without_echo)
    except Refused as error:
        print(f"error: {error}\nhint: {error.hint}", file=sys.stderr)
        return error.code


def check_choice(name: str, value: str | None, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        raise Refused(f"{name}={value}: must be {' or '.join(choices)}", f"set {name}={choices[0]}, or leave it out")


if __name__ == "__main__":
    sys.exit(main())
