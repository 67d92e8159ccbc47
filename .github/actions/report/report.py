"""
Report how good the models of a pull request or a push are: a check run for each, and a comment on the pull request.

action.yml passes its inputs as variables. Needs only Python.

A check run `model gate (<use case>)` fails if the verdict is `fail`, or if there is none. A stranger's own result is
never a success: the check is neutral, and a maintainer decides.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
from collections.abc import Mapping
from pathlib import Path

import github
from forms import get_at, get_url, list_reported, match_form, parse_object, read
from page import SIGNS, write_page, write_title

FINE = ("pass", "unchanged")
CONFIGS = "usecases/*/config.toml"


def main() -> int:
    inputs = os.environ
    try:
        if inputs["UNTOUCHED"]:
            for use_case in json.loads(inputs["UNTOUCHED"]):
                github.check(
                    use_case, inputs["SHA"], "neutral", "not touched", "This change touches no file of this model."
                )
            return 0
        report(inputs)
    except urllib.error.HTTPError as error:
        print(f"::error title=report::GitHub answered {error.code} to {error.url}; check the job's permissions")
        return 1
    except urllib.error.URLError as error:
        print(f"::error title=report::GitHub was not reached: {error.reason}; run the job again")
        return 3
    return 0


def report(inputs: Mapping[str, str]) -> None:
    folder, stranger = Path(inputs["FOLDER"]), inputs["FROM_STRANGER"] != "false"
    pull = inputs["PULL_REQUEST"] or (github.find_pull_of_fork(inputs["HEAD"], inputs["SHA"]) if stranger else "")
    if stranger and not pull:
        print("there is no open pull request with this commit, so there is nothing to report")
        return
    judged = [inputs["USE_CASE"]] if inputs["USE_CASE"] else list_reported(folder)
    nothing = [""] if inputs["ENDED"] != "success" else []  # a run that touches no model has nothing to report
    for use_case in judged or nothing:
        files = folder / f"report-{use_case}"
        result, evidence = (parse_object(read(files / name)) for name in ("result.json", "evidence.json"))
        text = write_page(use_case, result, evidence, read(files / "report.md"), inputs)
        if pull:
            print(f"{github.write(int(pull), use_case, text)} the comment of #{int(pull)} on {use_case or 'no model'}")
        if inputs["CHECK"] == "true" and use_case in list_known(inputs):
            verdict = match_form(result.get("verdict"), "|".join(SIGNS))
            address = None if stranger else get_url(get_at(evidence, "evaluation_run", "url"))
            ends = ("neutral" if stranger else "success") if verdict in FINE else "failure"
            github.check(use_case, inputs["SHA"], ends, write_title(result, verdict, stranger), text, address)
    if stranger and inputs["CHECK"] == "true":
        for use_case in sorted(set(list_known(inputs)) - set(judged)):
            ends = "neutral" if inputs["ENDED"] == "success" else "failure"
            github.check(use_case, inputs["SHA"], ends, "not judged", "The pull request's own run has no report on it.")


def list_known(inputs: Mapping[str, str]) -> list[str]:
    """Return the use cases whose check may be made: the one that is named, or those of main, which is checked out."""
    return [inputs["USE_CASE"]] if inputs["USE_CASE"] else [path.parent.name for path in Path().glob(CONFIGS)]


if __name__ == "__main__":
    sys.exit(main())
