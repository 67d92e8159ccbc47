"""Make the calls that a repository needs. A second time changes nothing.

One account promotes every model, so its key is asked for once and stored in each environment.
"""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Callable

from tools.github import gh
from tools.github.doctor import find_differences
from tools.github.gh import Call
from tools.github.keys import SECOND_KEY, TRAINING_KEY
from tools.github.wanted import Wanted


def set_up(wanted: Wanted, dry_run: bool, ask: Callable[[str], str]) -> int:
    left = 0
    keys: dict[str, str] = {}
    for difference in find_differences(wanted):
        print(f"- {difference.what}")
        if not difference.fix:
            left += 1
            print(f"  by hand: {difference.by_hand}")
        for call in difference.fix:
            print(f"  + {call}", flush=True)
            if not dry_run and not make(call, ask, keys):
                left += 1
                break
    if dry_run:
        print(f"Nothing was changed. {left} to do by hand, see above." if left else "Nothing was changed.")
    else:
        print(f"{left} left to fix." if left else f"{wanted.repository} is set up.")
    return 1 if left else 0


def make(call: Call, ask: Callable[[str], str], keys: dict[str, str]) -> bool:
    """Make a call, and say why if it was not made. `keys` are the keys for W&B that were typed so far."""
    stdin = json.dumps(call.body) if call.body is not None else None
    if call.secret:
        stdin = keys.get(call.secret) or ask(call.secret)
        if not stdin:
            print(f"  not set: there is no value for {call.secret}; run this in a terminal, or run the line above")
            return False
        if call.secret in (TRAINING_KEY[0], SECOND_KEY[0]):
            if stdin in [key for name, key in keys.items() if name != call.secret]:
                print("  not set: it is the same as the other key; use the keys of two W&B accounts")
                return False
            keys[call.secret] = stdin
    done = gh.run(call.arguments, stdin)
    if done.returncode != 0:
        message = (done.stderr.strip() or "nothing").replace(stdin or "\0", "***")
        print(f"  refused: {message}")
    return done.returncode == 0


def ask_without_echo(name: str) -> str:
    if not sys.stdin.isatty():
        return ""
    return getpass.getpass(f"  {name}: ").strip()
