"""Which variables of the person's environment a step sees, and which it must not see.

python -m pytest tests/runner/test_environment.py
"""

from __future__ import annotations

import shutil
import subprocess

import pytest
from wandb.sdk.lib.urls import DEFAULT_BASE_URL

from .conftest import Checkout, Terminal

KEY = "0123456789abcdef0123456789abcdef01234567"


def test_foreign_key_is_named_first_never_printed_and_not_passed_on(checkout: Checkout) -> None:
    (checkout.home / ".netrc").write_text(f"machine api.wandb.ai\n  login user\n  password {KEY}\n")
    _, output = checkout.runner("run", "--use-case", "glyphs", WANDB_API_KEY=KEY, WANDB_PROJECT="theirs")
    first = output[: output.index("The plan")]
    assert "embedded server" in first
    assert "Found WANDB_API_KEY in your environment; not used" in first
    assert f"Found an entry for wandb.ai in {checkout.home / '.netrc'}; not used" in first
    assert KEY not in output
    for call in checkout.calls():
        assert KEY not in str(call)
        assert "WANDB_PROJECT" not in call["env"]


def test_steps_see_what_is_on_the_list_and_nothing_else(checkout: Checkout) -> None:
    environ = {"LC_ALL": "C.UTF-8", "HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "intranet"}
    kept_back = {
        "WANDB_MODE": "offline", "WANDB_ENTITY": "theirs", "AWS_SECRET_ACCESS_KEY": "s", "GITHUB_TOKEN": "t",
        "PYTHONPATH": "/nowhere", "MODELGATE_SERVER_KEY": "k", "PROMOTION_WEBHOOK_URL": "https://hooks.example/p",
    }  # fmt: skip
    checkout.runner("run", "--use-case", "glyphs", APPROVE="ada", **environ, **kept_back)
    seen = checkout.call("train")["env"]
    assert {name: seen[name] for name in environ if name != "NO_PROXY"} == {
        k: v for k, v in environ.items() if k != "NO_PROXY"
    }
    assert not set(kept_back) & set(seen)
    assert set(seen) - set(environ) <= {
        "PATH", "HOME", "LANG", "LC_CTYPE", "no_proxy", "WANDB_BASE_URL", "WANDB_API_KEY", "WANDB_ERROR_REPORTING",
        "WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_CONFIG_DIR",
    }  # fmt: skip
    for name in ("DIR", "CACHE_DIR", "DATA_DIR", "CONFIG_DIR"):
        assert seen[f"WANDB_{name}"].startswith(str(checkout.folder / "wandb"))


def test_embedded_server_is_not_looked_for_behind_a_proxy(checkout: Checkout) -> None:
    checkout.runner("run", "--use-case", "glyphs", HTTP_PROXY="http://proxy:1", NO_PROXY="intranet")
    seen = checkout.call("build")["env"]
    assert seen["NO_PROXY"] == "intranet,127.0.0.1,localhost"
    assert seen["no_proxy"] == "127.0.0.1,localhost"


def test_evaluate_gets_the_commit_and_whether_files_differ_from_it(checkout: Checkout) -> None:
    checkout.runner("run", "--use-case", "glyphs")
    assert not [word for word in checkout.call("evaluate")["argv"] if word.startswith("--commit")]

    def git(*args: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(
            ["git", *identity, *args],
            cwd=checkout.root,
            env=checkout.env(),
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    git("init", "-q")
    git("add", "modelgate", "steps", "usecases")
    git("commit", "-q", "-m", "x")
    commit = git("rev-parse", "HEAD")
    checkout.runner("run", "--use-case", "glyphs")
    assert f"--commit={commit}" in checkout.call("evaluate")["argv"]
    (checkout.root / "usecases" / "remote" / "model.py").write_text("")
    checkout.runner("run", "--use-case", "glyphs")
    assert f"--commit={commit}-dirty" in checkout.call("evaluate")["argv"]


@pytest.mark.parametrize("name", ["usecases/glyphs/helper.py", "steps/numpy.py", "pandas.py", "modelgate/new/x.py"])
@pytest.mark.parametrize("ignored", [False, True])
def test_a_file_that_git_does_not_track_and_a_step_could_read_makes_the_commit_dirty(
    checkout: Checkout, name: str, ignored: bool
) -> None:
    """An uncommitted use case was promoted under a clean commit."""
    for bytecode in checkout.root.rglob("__pycache__"):
        shutil.rmtree(bytecode)  # a person does not commit it
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b")
    for args in (("init", "-q"), ("add", "modelgate", "steps", "usecases"), ("commit", "-q", "-m", "x")):
        subprocess.run([*git, *args], cwd=checkout.root, env=checkout.env(), check=True)
    (checkout.root / "notes.txt").touch()  # no step reads this
    (checkout.root / "usecases" / "glyphs" / "__pycache__").mkdir()
    (checkout.root / "usecases" / "glyphs" / "__pycache__" / "data.pyc").touch()
    checkout.runner("run", "--use-case", "glyphs")
    assert "-dirty" not in str(checkout.call("evaluate")["argv"])
    (checkout.root / name).parent.mkdir(exist_ok=True)
    (checkout.root / name).touch()
    if ignored:
        (checkout.root / ".git" / "info" / "exclude").write_text(f"{name}\n")
    checkout.runner("run", "--use-case", "glyphs")
    assert [word for word in checkout.call("evaluate")["argv"] if word.startswith("--commit=") and "-dirty" in word]


def test_build_alone_sees_the_variables_that_the_use_case_declares(checkout: Checkout) -> None:
    environ = {"GLYPHS_NPZ": "/x.npz", "DATA_TOKEN": "secret", "OTHER": "x"}
    _, output = checkout.runner("run", "--use-case", "remote", APPROVE="ada", **environ)
    seen = checkout.call("build")["env"]
    assert (seen["GLYPHS_NPZ"], seen["DATA_TOKEN"], seen.get("OTHER")) == ("/x.npz", "secret", None)
    for name in ("train", "link", "evaluate", "promote", "server"):
        assert not set(environ) & set(checkout.call(name)["env"]), name
    assert "secret" not in output
    checkout.runner("run", "--use-case", "glyphs", **environ)  # which declares none
    assert not set(environ) & set(checkout.call("build")["env"])


TOLD = {"PROMOTION_WEBHOOK_URL": "https://hooks.example/path"}
OWN = {"WANDB": "own", "WANDB_BASE_URL": "https://wandb.example", "WANDB_API_KEY": KEY, "WANDB_ENTITY": "team"}


def test_own_wandb_without_terminal_is_refused_until_somebody_says_yes(checkout: Checkout) -> None:
    code, output = checkout.runner("run", "--use-case", "glyphs", **OWN)
    assert code == 2
    assert "to agree in advance, add ARGS=--yes" in output
    for word in ("https://wandb.example", "team", "model-registry-dev", "wandb-registry-model/glyphs-dev"):
        assert word in output
    assert KEY not in output
    assert checkout.calls() == []


def test_own_wandb_is_used_unchanged_and_starts_no_server(checkout: Checkout) -> None:
    code, _ = checkout.runner(
        "run", "--use-case", "glyphs", "--yes", APPROVE="ada", GITHUB_ACTIONS="true", **TOLD, **OWN
    )
    assert code == 0
    assert checkout.pids("server") == []
    seen = checkout.call("promote")["env"]
    assert {name: value for name, value in seen.items() if name.startswith("WANDB_")} == {
        name: value for name, value in OWN.items() if name != "WANDB"
    }
    assert seen["GITHUB_ACTIONS"] == "true"
    assert TOLD.items() <= seen.items()
    for name in ("build", "train", "link", "evaluate"):
        assert not TOLD.keys() & checkout.call(name)["env"].keys(), name


def test_own_wandb_asks_on_a_terminal_before_the_first_write(checkout: Checkout) -> None:
    terminal = Terminal(checkout, "run", "--use-case", "glyphs", **OWN)
    terminal.read_until("Continue? [y/N]: ")
    assert checkout.calls() == []
    terminal.type("n\n")
    assert terminal.exit_code() == 130
    assert "nothing was written" in terminal.output
    assert checkout.calls() == []


def test_approval_goes_to_the_wandb_that_was_evaluated_on(checkout: Checkout) -> None:
    checkout.runner("run", "--use-case", "glyphs", "--yes", **OWN)
    code, output = checkout.runner("approve", APPROVE="ada", **OWN | {"WANDB_BASE_URL": "https://another.example"})
    assert code == 2 and "set WANDB_BASE_URL to the value that the run had" in output
    assert checkout.runner("approve", APPROVE="ada", **OWN)[0] == 0
    assert checkout.call("promote")["env"]["WANDB_BASE_URL"] == "https://wandb.example"
    assert checkout.pids("server") == []


def test_own_wandb_without_an_address_is_the_one_that_the_sdk_would_use_and_every_step_gets_it(checkout):
    settings = checkout.home / ".config/wandb/settings"
    settings.parent.mkdir(parents=True)
    settings.write_text("[default]\nbase_url = https://wandb.from-the-settings.example\n")
    without = {name: value for name, value in OWN.items() if name != "WANDB_BASE_URL"}
    code, output = checkout.runner("run", "--use-case", "glyphs", "--yes", APPROVE="ada", **without)
    assert code == 0, output
    assert "host      https://wandb.from-the-settings.example" in output
    for name in ("build", "train", "link", "evaluate", "promote"):
        assert checkout.call(name)["env"]["WANDB_BASE_URL"] == "https://wandb.from-the-settings.example", name
    settings.unlink()
    own_default = DEFAULT_BASE_URL  # of the SDK
    assert f"host      {own_default}" in checkout.runner("run", "--use-case", "glyphs", **without)[1]


MISSPELT = [("usecase", "USE_CASE"), ("use_case", "USE_CASE"), ("USECASE", "USE_CASE"), ("RUNER", "RUNNER")]


@pytest.mark.parametrize("name, meant", [*MISSPELT, ("approve", "APPROVE"), ("APPROVER", "APPROVE")])
def test_a_variable_that_make_would_ignore_is_refused_if_it_is_almost_one_of_ours(checkout, name, meant):
    code, output = checkout.runner("run", MAKEFLAGS=f" -- ROWS_CSV=a ARGS=--note\\ {name}=in-it {name}=glyphs")
    assert (code, checkout.calls()) == (2, [])
    assert f"no command knows the variable {name}" in output and f"did you mean {meant}?" in output


def test_a_variable_of_another_name_is_left_to_the_use_case(checkout):
    code, output = checkout.runner("status", MAKEFLAGS=" -- ROWS_CSV=a.csv ARGS=--note\\ USECASE=b USE_CASE=glyphs")
    assert code == 0, output


def test_wandb_that_is_neither_is_refused(checkout: Checkout) -> None:
    code, output = checkout.runner("run", WANDB="mine")
    assert code == 2 and "neither `embedded` nor `own`" in output
