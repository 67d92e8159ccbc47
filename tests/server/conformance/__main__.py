"""
W&B's own system tests against this project's server, with the SDK that it ships with and an older one.

    make conformance WANDB_TESTS=<checkout of github.com/wandb/wandb>

WANDB_TESTS is the checkout, or any folder with its `tests/`. The first run installs the packages of the tests from PyPI
into `build/sdk/`. A test that fails is run once more alone, and docs/reference/conformance.md, which this writes, shows
both.
Exits 0 when every test that is not left out passes, 1 when one does not, 2 for wrong use.
"""

import argparse
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

from tests.server.conformance import environment, page
from tests.server.conformance.fixture_service import serving_fixtures
from tests.server.conformance.suite import FOLDERS, HERE, Result, Suite, exclusions, fingerprint, today
from tests.serving import ROOT, serving

SDKS = ("0.31.0", "0.28.2")
RESULTS = ROOT / "build" / "conformance"


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.server.conformance", allow_abbrev=False)
    parser.add_argument("checkout", type=Path, help="checkout of github.com/wandb/wandb")
    parser.add_argument("--sdk", choices=SDKS, action="append", help="only this version (default: both)")
    parser.add_argument(
        "--only",
        action="append",
        metavar="TEST",
        help="measure this test again, and keep what was measured of the others",
    )
    parser.add_argument("-n", "--workers", type=int, default=2, help="tests at once (default: %(default)s)")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    tests = args.checkout.resolve() / "tests"
    missing = [folder for folder in FOLDERS if not (tests / "system_tests" / folder).is_dir()]
    if missing:
        print(f"error: {tests}/system_tests has no {missing[0]}", file=sys.stderr)
        print("hint: make conformance WANDB_TESTS=<checkout of github.com/wandb/wandb>", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended too
    RESULTS.mkdir(parents=True, exist_ok=True)
    for sdk in args.sdk or SDKS:
        measure(tests, sdk, args.workers, args.only or []).write(RESULTS / f"{sdk}.json")
    results = [Result.read(path) for sdk in SDKS if (path := RESULTS / f"{sdk}.json").exists()]
    page.PATH.write_text(page.render(results))
    print(f"{page.PATH.relative_to(ROOT)} says it in full")
    return 0 if all(one.passes for result in results for one in result.outcomes if one.together != "skipped") else 1


def measure(tests: Path, sdk: str, workers: int, only: list[str]) -> Result:
    """Every folder of W&B's tests with one SDK, on a server of its own; or `only` some, into the result there is."""
    print(f"wandb {sdk}: making the environment", flush=True)
    ours = HERE / f"wandb-{sdk}"
    python = environment.python(f"conformance-{sdk}", (ours / "packages.txt").read_text().splitlines())
    left_out = exclusions(ours / "exclusions.txt")
    scratch, data = RESULTS / sdk, RESULTS / f"{sdk}-server"
    shutil.rmtree(data, ignore_errors=True)
    result = Result(sdk, today(), fingerprint(tests), [], left_out)
    if only:
        result = replace(Result.read(RESULTS / f"{sdk}.json"), exclusions=left_out)
    with serving(data) as server, serving_fixtures(data) as fixtures:
        suite = Suite.prepare(
            tests,
            scratch,
            python=python,
            server=server.url,
            fixtures=fixtures,
            workers=workers,
            left_out=[test for test, _ in left_out],
        )
        if only:
            kept = {one.test: one for one in result.outcomes}
            for one in suite.run(*only, name="only"):
                kept[one.test] = replace(one, before=kept[one.test].together if one.test in kept else "left out")
            result.outcomes = list(kept.values())
        for folder in () if only else FOLDERS:
            result.outcomes += suite.run(folder, name=folder)
            print(page.line(result, folder), flush=True)
    print(page.total(result), flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
