"""
A use case's config.toml: every key deleted, misspelt, mistyped and out of range, and the error for each.

    pytest tests/modelgate/test_config.py
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys

import pytest

from modelgate import config
from modelgate.errors import WRONG_USE, StepError
from modelgate.gate.metrics import METRICS
from steps import audit, build, evaluate, link, promote, train
from tests import own

STEPS = {"audit": audit, "build": build, "evaluate": evaluate, "link": link, "promote": promote, "train": train}
WHOLE = """
project = "p"
collection = "c"
registry = "wandb-registry-model"
task = "image-classification"
framework = "keras"
default = false

[data]
env = ["ROWS_CSV"]
fallback = ""
rows_may_repeat = false

[build]
rows = 100
eval_rows = 50

[train]
optimizer = "adam"
batch_size = 32
epochs = 2
validation_split = 0.2
seed = 0
learning_rate = 0.001
augment = true

[gate]
policy = "no_worse"
metric = "accuracy"
at_least = 0.9
margin = 0.005
self_approval = false
max_evidence_age_hours = 720

[approval]
environment = "production"

[runs_on]
train = ["self-hosted", "gpu"]
evaluate = "ubuntu-24.04"
"""
# The keys of the gate that belong to other metrics than the example's.
OTHER_LIMITS = {"at_most", "margin_relative", "tolerance", "quantile"}
TABLES = {
    "data": config.Data,
    "build": config.Build,
    "gate": config.Gate,
    "approval": config.Approval,
    "runs_on": config.RunsOn,
}
KEYS = [
    *((table, key) for table, kind in TABLES.items() 
      for key in (item.name for item in dataclasses.fields(kind)) if key not in OTHER_LIMITS),
    *(("", key) for key in ("project", "collection", "registry", "task", "framework", "default")),
    *(("train", key) for key in ("optimizer", "batch_size", "epochs", "validation_split", "seed")),
]  # fmt: skip
MAY_BE_LEFT_OUT = {
    "registry",
    "task",
    "framework",
    "default",
    "env",
    "fallback",
    "rows_may_repeat",
    "metric",
    "self_approval",
    "max_evidence_age_hours",
    "environment",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A usecases/ with the one use case `mine`."""
    monkeypatch.setattr(config, "FOLDER", tmp_path / "usecases")
    (tmp_path / "usecases" / "mine").mkdir(parents=True)
    write(tmp_path / "usecases", WHOLE)
    return tmp_path / "usecases"


def write(folder, text, name="mine"):
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "config.toml").write_text(text, encoding="utf-8")


def changed(table, key, line):
    """Return the whole config with another line for a key, or without the key if the line is empty."""
    section, lines = "", []
    for old in WHOLE.splitlines():
        section = old.strip("[]") if old.startswith("[") else section
        lines.append(line if (section, old.partition(" = ")[0]) == (table, key) else old)
    return "\n".join(lines)


def refused():
    with pytest.raises(StepError) as stopped:
        config.load("mine")
    assert (stopped.value.name, stopped.value.exit_code) == ("config_invalid", WRONG_USE)
    assert str(stopped.value).startswith("usecases/mine/config.toml")
    return f"{stopped.value} {stopped.value.hint}"


def test_every_key_there_is_is_in_the_example(folder):
    loaded = config.load("mine")
    assert loaded.train["learning_rate"] == 0.001
    assert loaded.data.env == ("ROWS_CSV",)
    assert (loaded.runs_on.train, loaded.runs_on.evaluate) == (("self-hosted", "gpu"), ("ubuntu-24.04",))
    assert {item.name for item in dataclasses.fields(loaded)} == {
        *("name", "train", *TABLES),
        *(key for table, key in KEYS if table == ""),
    }


@pytest.mark.parametrize(("table", "key"), KEYS)
def test_a_key_that_is_deleted(folder, table, key):
    write(folder, changed(table, key, ""))
    if key in MAY_BE_LEFT_OUT or table == "runs_on":
        config.load("mine")
    else:
        assert f"{table}.{key} is missing".lstrip(".") in refused()


@pytest.mark.parametrize(("table", "key"), KEYS)
def test_a_key_that_is_misspelt(folder, table, key):
    wrong = key[1:] + key[0]
    write(folder, changed(table, key, f"{wrong} = 1"))
    if table == "train":  # it may be the use case's own hyperparameter; the required one is missing
        assert f"train.{key} is missing" in refused()
    else:
        output = refused()
        assert f"{table}.{wrong} is not a key".lstrip(".") in output
        assert f"did you mean {key}?" in output or key in output


@pytest.mark.parametrize(("table", "key"), KEYS)
def test_a_key_of_the_wrong_type(folder, table, key):
    for value in ("[[1]]", "{ a = 1 }", "1979-05-27"):
        write(folder, changed(table, key, f"{key} = {value}"))
        assert f"{table}.{key} is ".lstrip(".") in refused()


@pytest.mark.parametrize(
    ("table", "key", "value", "message"),
    [
        ("gate", "policy", '"no_wrose"', 'is "no_wrose" but must be "no_worse" or "better" or "non_inferior" (did you'),
        ("gate", "policy", '"no_wrose"', "did you mean no_worse?"),
        ("gate", "policy", '"rollback"', 'must be "no_worse" or "better" or "non_inferior"'),
        ("gate", "at_least", "90", "is 90 but must be a number from 0 to 1"),
        ("gate", "margin", "-0.1", "must be a number of at least 0"),
        ("gate", "margin", "1.5", "is 1.5 but must be a number from 0 to 1"),
        ("gate", "margin", "nan", "must be a finite number"),
        ("gate", "self_approval", '"no"', "must be true or false"),
        ("gate", "self_approval", "0", "must be true or false"),
        ("gate", "max_evidence_age_hours", "0", "must be a number above 0 and below 8784"),
        ("gate", "metric", '"acuracy"', "did you mean accuracy?"),
        ("build", "rows", "0", "must be a whole number of at least 1"),
        ("build", "rows", "1.5", "must be a whole number of at least 1"),
        ("build", "eval_rows", "true", "must be a whole number of at least 1"),
        ("train", "epochs", "0", "must be a whole number of at least 1"),
        ("train", "validation_split", "1.0", "must be a number above 0 and below 1"),
        ("train", "seed", "-1", "must be a whole number from 0 to 4294967295"),
        ("train", "learning_rate", "inf", "must be a finite number"),
        ("train", "learning_rate", '"a\\nb"', "must be printable text"),
        ("data", "env", '["WANDB_API_KEY"]', "must not name WANDB_API_KEY"),
        ("data", "env", '["GITHUB_TOKEN"]', "must not name GITHUB_TOKEN"),
        ("data", "env", '["lower"]', "must be a list of names of variables"),
        ("data", "env", '"ROWS"', "must be a list of names of variables"),
        ("data", "fallback", '"mine"', "must be a different use case"),
        ("approval", "environment", '""', "must be a name of letters"),
        ("approval", "environment", '"pro duction"', "must be a name of letters"),
        ("runs_on", "train", "[]", "must be a label of a runner"),
        ("runs_on", "evaluate", '["gpu", "${{ x }}"]', "must have labels of letters"),
        ("", "project", '"a/b"', "must be a valid W&B project name"),
        ("", "collection", '""', "must be a valid W&B name for a registered model"),
        ("", "task", '"image-clasification"', "did you mean image-classification?"),
        ("", "default", '"yes"', "must be true or false"),
    ],
)  # fmt: skip
def test_a_value_that_is_not_allowed(folder, table, key, value, message):
    write(folder, changed(table, key, f"{key} = {value}"))
    assert message in refused()


@pytest.mark.parametrize(
    "name", ["use_case", "dataset", "rows", "policy", "no_cache", "a b", "1st", "ünïcode", "x" * 61]
)
def test_a_hyperparameter_that_cannot_be_a_flag(folder, name):
    write(folder, WHOLE.replace("learning_rate", json.dumps(name)))
    assert "must be a name for a flag" in refused()


BEHAVIOUR = "import nothing_that_is_there\n\n\ndef cost(targets, answers):\n    return targets\n"


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ("at_most = 0.1", "gate.at_least is missing"),
        ("at_least = 0.9\nat_most = 0.1", "gate.at_most does not fit accuracy, for which more is better"),
        ('metric = "log_loss"\nat_least = 0.9', "gate.at_most is missing"),
        ('metric = "log_loss"\nat_most = 1.5\nat_least = 0', "gate.at_least does not fit log_loss"),
        ("at_least = 0.9\ntolerance = 5", "gate.tolerance is for a regression"),
        ("at_least = 0.9\nquantile = 0.5", "gate.quantile is only for the metric pinball"),
        ("at_least = 0.9\nmargin_relative = 0.1", "gate.margin and margin_relative are both set"),
        ('metric = "within_tolerance"\nat_least = 0.9', 'or "f1" or "roc_auc" or "log_loss", or a function'),
        ('metric = "costs"\nat_most = 1', "or a function of behaviour.py"),
        ('metric = "cost"', "gate.at_least or at_most is needed for cost"),
        ('metric = "cost"\nat_most = 1\nat_least = 1', "but not both"),
    ],
)
def test_limits_of_the_gate_that_do_not_fit_each_other(folder, limits, message):
    (folder / "mine" / "behaviour.py").write_text(BEHAVIOUR)
    text = WHOLE.replace('metric = "accuracy"\n', "").replace("at_least = 0.9\n", "")
    write(folder, text.replace("margin = 0.005", f"margin = 0.005\n{limits}"))
    assert message in refused()


def test_a_margin_of_nothing_cannot_be_shown(folder):
    write(folder, WHOLE.replace("no_worse", "non_inferior").replace("margin = 0.005", "margin = 0"))
    assert "gate.margin is 0 but must be above 0 for non_inferior" in refused()


def test_a_metric_of_the_use_cases_own_is_a_function_of_behaviour_py_which_is_not_run(folder):
    (folder / "mine" / "behaviour.py").write_text(BEHAVIOUR)
    write(folder, WHOLE.replace('"accuracy"', '"cost"').replace("at_least = 0.9", "at_most = 250"))
    assert config.load("mine").gate.limits["at_most"] == 250
    (folder / "mine" / "behaviour.py").write_text("def cost(")
    with pytest.raises(StepError, match=r"usecases/mine/behaviour\.py: .*not valid Python"):
        config.load("mine")


def test_the_names_of_the_metrics_are_those_that_the_gate_knows():
    assert {
        kind: tuple(name for name, metric in METRICS.items() if metric.regression == regression)
        for kind, regression in (("classification", False), ("regression", True))
    } == config.METRICS
    assert set(config.ERRORS) == {name for name, metric in METRICS.items() if metric.error}


def test_a_key_by_its_old_name_is_told_the_new_one(folder):
    write(folder, WHOLE.replace("at_least", "floor_accuracy"))
    assert "gate.floor_accuracy is now called at_least" in refused()


@pytest.mark.parametrize("text", ["project = ", "[gate\n", "a = 1\na = 2", "\x00", "project = 'p'\n[gate]\n[gate]\n"])
def test_what_is_not_toml(folder, text):
    write(folder, text)
    assert "is not valid TOML" in refused()


def test_bytes_that_are_no_text(folder):
    (folder / "mine" / "config.toml").write_bytes(b"\xff\xfe")
    assert "is not valid TOML" in refused()


@pytest.mark.parametrize("table", ["train", *TABLES])
def test_a_table_that_is_no_table(folder, table):
    tables = [part for part in re.split(r"\n(?=\[)", WHOLE) if not part.startswith(f"[{table}]")]
    write(folder, "\n".join([f"{table} = 1", *tables]))
    assert f"{table} must be a table" in refused()


# --- which use cases there are ---------------------------------------------------------------------------------------


def test_the_only_use_case_is_the_default(folder):
    assert (config.list_names(), config.find_default()) == (["mine"], "mine")


def test_of_several_it_is_the_one_that_says_so(folder):
    write(folder, WHOLE, "other")
    assert config.find_default() is None
    with pytest.raises(StepError, match="there are several use cases: mine, other"):
        config.require_default()
    write(folder, WHOLE.replace("default = false", "default = true"), "other")
    assert config.find_default() == "other"
    write(folder, WHOLE.replace("default = false", "default = true"))
    with pytest.raises(StepError, match="mine and other both have default = true"):
        config.find_default()


def test_a_name_that_is_not_there_and_one_that_cannot_be(folder):
    with pytest.raises(StepError, match=r"no use case 'mein' \(did you mean mine\?\)"):
        config.load("mein")
    write(folder, WHOLE, "My-model")
    with pytest.raises(StepError, match="cannot be a use case") as stopped:
        config.load("My-model")
    assert stopped.value.exit_code == WRONG_USE
    for name in ("../mine", "", "mine/../mine"):
        with pytest.raises(StepError, match="there is no use case"):
            config.load(name)


def test_a_fallback_has_to_be_there_but_in_an_image_which_has_one_use_case(folder):
    write(folder, WHOLE.replace('fallback = ""', 'fallback = "small"'))
    config.load("mine")
    write(folder, WHOLE, "other")
    assert "data.fallback must be a use case: mine, other" in refused()


# --- before anything runs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", STEPS)
def test_a_step_says_so_before_it_asks_wandb_for_anything(folder, step, monkeypatch):
    """Exit 2 with the file, the key and what is allowed; exit 1 means that the answer is no."""
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # no one listens on the discard port
    write(folder, WHOLE.replace("self_approval", "self_aproval"))
    with pytest.raises(StepError, match=r"gate\.self_aproval is not a key \(did you mean self_approval\?\)") as stopped:
        STEPS[step].main(["--use-case", "mine"])
    assert stopped.value.exit_code == WRONG_USE


def test_as_a_program_it_is_exit_2_one_sentence_and_no_traceback(tmp_path):
    root = own.clone(tmp_path / "clone")
    path = root / "usecases" / "glyphs" / "config.toml"
    path.write_text(path.read_text().replace("margin", "margn"))
    command = [sys.executable, "-m", "steps.build", "--use-case", "glyphs"]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == WRONG_USE
    assert done.stderr.startswith(
        "error: usecases/glyphs/config.toml: gate.margn is not a key (did you mean margin?)\n"
    )
    assert json.loads(done.stdout)["error"]["name"] == "config_invalid"
    shown = subprocess.run(
        [sys.executable, "-m", "modelgate", "config", "glyphs"], cwd=root, env=env, capture_output=True, text=True
    )
    assert (shown.returncode, "did you mean margin?" in shown.stderr, shown.stdout) == (WRONG_USE, True, "")


@pytest.mark.parametrize(
    ("task", "framework", "needs"),
    [("tabular-regression", "keras", "sklearn"), ("image-classification", "sklearn", "keras")],
)
def test_a_framework_that_has_no_models_of_the_task(folder, task, framework, needs):
    text = WHOLE.replace('"image-classification"', f'"{task}"').replace('"keras"', f'"{framework}"')
    write(folder, text)
    assert f"framework is {framework}, but {task} needs {needs}" in refused()
