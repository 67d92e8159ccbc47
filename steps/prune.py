"""
Delete the datasets and models that no alias, link, evidence or ledger entry refers to any more.

    python -m steps.prune                         lists what it would delete
    python -m steps.prune --delete 3f2a9c0d1e44   deletes exactly what was listed

Reads   the use case's datasets and models, its ledger and its evidence, and the runs that used them.
Writes  nothing without --delete. Deletes the oldest first. If it is interrupted, run it again.
Exits   0 done, 1 the list has changed since it was shown, 2 wrong use, 3 W&B is not reachable.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from wandb.errors import CommError

from modelgate import config
from modelgate.cli import StepParser, emit, log, run_guarded
from modelgate.errors import StepError
from modelgate.promotion import retention
from modelgate.promotion.retention import Plan
from modelgate.text import to_line
from modelgate.tracking import client

MONTH_DAYS = 30


def parse_days(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 36_500:
        raise ValueError
    return number


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = StepParser(__doc__ or "", argv)
    parser.add_argument(
        "--older-than",
        type=parse_days,
        default=MONTH_DAYS,
        metavar="DAYS",
        help="keep versions that are newer than this (days, default: %(default)s)",
    )
    parser.add_argument("--delete", metavar="HASH", help="delete what was listed under this hash")
    return parser.parse()


def format_size(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def tell(plan: Plan, use_case: str) -> None:
    """Format the plan for people."""
    for reason, count in sorted(plan.kept.items()):
        log(f"kept: {count}, because {reason}")
    for version in plan.versions:
        log(f"  {version.created_at:%Y-%m-%d}  {format_size(version.size):>10}  {to_line(version.name)}")
    if plan.versions:
        log(
            f"{len(plan.versions)} versions of {use_case} can be deleted; they take up at most {format_size(plan.size)}"
        )
    else:
        log(f"nothing of {use_case} can be deleted")


def delete(api: Any, plan: Plan) -> list[str]:
    """Delete the versions of the plan and return their names. A version that W&B refuses to delete is named, and
    kept.
    """
    deleted = []
    for version in plan.versions:
        try:
            retention.delete(api, version)
        except CommError as error:
            log(f"kept {version.name}: {to_line(str(error))}")
        else:
            deleted.append(version.name)
            log(f"deleted {version.name}")
    return deleted


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    api = client.connect()
    project = f"{client.get_entity(api)}/{client.get_project(config.load(args.use_case).project)}"
    before = datetime.now(UTC) - timedelta(days=args.older_than)
    plan = retention.read(api, project, args.use_case, before)
    answer: dict[str, Any] = {
        "plan": plan.hash,
        "bytes": plan.size,
        "versions": [{"name": version.name, "bytes": version.size} for version in plan.versions],
        "kept": dict(plan.kept),
        "deleted": [],
    }
    if args.delete is None:
        tell(plan, args.use_case)
    elif args.delete != plan.hash:
        raise StepError(
            "plan_changed",
            f"--delete {args.delete!r}: the list has changed since it was shown (it is {plan.hash!r} now)",
            "run it without --delete, read the list, and use the hash of that list",
        )
    else:
        answer["deleted"] = delete(api, plan)
    emit(answer, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(run_guarded(main))
