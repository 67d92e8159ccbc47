"""
Attacks by the holder of the training key, with the real SDK: they try to put an unjudged model into production, or to
make `audit --verify` agree with a lie.

    pytest tests/steps/test_attacks.py             those against the record
    pytest tests/steps/test_attacks.py -m prove    all

`docs/explanation/promotion.md` says what each key can do, and names these tests.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
import wandb

from modelgate.errors import StepError
from modelgate.promotion import deployed, ledger
from modelgate.tracking import client, files
from modelgate.tracking.references import Reference
from tests.steps.keys import TEAM
from tests.steps.policies import ROLLBACK
from tests.steps.workspace import Workspace

OWN_SERVER = True

PRELUDE = """
import json, wandb
from modelgate.promotion import ledger
from modelgate.tracking import client
api = wandb.Api()
def plant(project, content, **run):
    with wandb.init(entity=TEAM, project=project, **run) as opened:
        return ledger.append(opened, "glyphs", content)
def seal(version, content, number):
    version = api.artifact(version)
    version.aliases.append(ledger.get_seal(ledger.Entry(number, content)))
    version.save()
"""


@pytest.fixture
def workspace(step, collection, monkeypatch, training_key):
    """v0 is in production, by an honest promotion; v1 is a version that no one approved."""
    monkeypatch.setenv("WANDB_ENTITY", TEAM)
    workspace = Workspace(step, collection, TEAM, rows="rows")
    workspace.promoted(0)
    workspace.evidence(1, 0)
    return workspace


@pytest.fixture
def attack(wandb_env, training_key, workspace, people):
    """Run a program with the training key; return its output. It may use the names of PRELUDE."""

    def run(program, **env):
        names = {
            "TEAM": TEAM, "PROJECT": workspace.collection, "REGISTRY": workspace.registry, "LEDGER": workspace.ledger,
            "HONEST": dict(workspace.entries[0].content), "RUN": workspace.entry(0).logged_by().id,
            "V1": {"name": f"{workspace.registry}:v1", "digest": workspace.version(1).digest},
        }  # fmt: skip
        code = "\n".join([*(f"{name} = {value!r}" for name, value in names.items()), PRELUDE, program])
        environment = {
            **wandb_env,
            "WANDB_API_KEY": training_key,
            "WANDB_SILENT": "true",
            **env,
        }
        done = people.run(code, env=environment)
        return f"{done.stdout}{done.stderr}" if done.returncode else f"did it\n{done.stdout}"

    return run


def in_production(workspace):
    return wandb.Api().artifact(f"{workspace.registry}:production").version


def answers_by(workspace, version=None):
    """Return the version that predict and the service use, or the name of the refusal."""
    api = wandb.Api()
    collection = deployed.find_collection(api, ledger.REGISTRY, workspace.collection)
    with tempfile.TemporaryDirectory() as folder:
        try:
            verified = deployed.verify(api, workspace.entries, collection, "model.keras", Path(folder), version=version)
        except StepError as error:
            return error.name
    assert verified.ledger_entry == "v0"
    return verified.version.rpartition(":")[2]


def names(workspace):
    return {name for name, _ in workspace.findings()}


def refusal(workspace, evidence):
    with pytest.raises(StepError) as stopped:
        workspace.step("promote", "--evidence", evidence, "--approver", "ada")
    return stopped.value.name


LEAD_AWAY = """
away = {**HONEST, "previous": ledger.Entry(0, HONEST).sha256, "from": HONEST["to"], "to": V1, "account": ACCOUNT}
back = {**away, "previous": ledger.Entry(1, away).sha256, "from": V1, "to": HONEST["to"]}
plant(PROJECT, away, **GIVEN); plant(PROJECT, back, **GIVEN)
seal(V1["name"], away, 1); seal(HONEST["to"]["name"], back, 2)
"""


# --- the record ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "planted", "env"),
    [
        ("trainer", "{}", {}),
        ("local", "{}", {}),
        ("local", "{'id': RUN, 'resume': 'must'}", {}),
        ("local", "{}", {"WANDB_USERNAME": "local"}),
    ],
    ids=["own name", "another name", "the run of the promotion", "WANDB_USERNAME"],
)
def test_a_planted_history_is_named_and_lets_nothing_go_back(workspace, attack, account, planted, env):
    """Two sealed entries that lead to v1 and back again."""
    assert "did it" in attack(f"ACCOUNT = {account!r}; GIVEN = {planted}\n{LEAD_AWAY}", **env)
    assert "entry_of_other_account" in names(workspace)
    assert refusal(workspace, workspace.evidence(1, 0, policy=ROLLBACK)) == "verdict_not_reproduced"
    assert in_production(workspace) == "v0"


def test_a_planted_entry_for_what_is_in_production_is_named(workspace, attack):
    attack(
        'entry = {**HONEST, "previous": ledger.Entry(0, HONEST).sha256, "from": HONEST["to"], "approver": "eve"}\n'
        'plant(PROJECT, entry); seal(HONEST["to"]["name"], entry, 1)'
    )
    assert names(workspace) == {"entry_of_other_account"}


def test_a_ledger_of_the_attackers_own_is_named_and_believed_by_nobody(workspace, attack):
    """In a project `<project>-promotions` that the training key makes before anyone else does."""
    assert "did it" in attack('plant(f"{PROJECT}-promotions", {**HONEST, "approver": "the board"})')
    assert {"entry_changed", "entry_of_other_account"} & names(workspace)
    workspace.step("promote", "--evidence", workspace.evidence(2, 0), "--approver", "ada")
    assert "entry_of_other_account" in names(workspace) or "entry_changed" in names(workspace)


def test_a_planted_entry_that_names_a_version_that_never_was_has_no_effect(workspace, attack):
    """Neither does an entry that names a version in the attacker's registry, with the alias on it."""
    attack(
        'to = {**V1, "name": V1["name"].replace(":v1", ":v77")}\n'
        'plant(PROJECT, {**HONEST, "previous": ledger.Entry(0, HONEST).sha256, "from": HONEST["to"], "to": to})'
    )
    assert [entry.applied for entry in workspace.entries] == [True, False]
    assert names(workspace) == {"promotion_unfinished", "entry_of_other_account"}
    elsewhere = ledger.Entry(1, {"to": {"name": "local-org/wandb-registry-mine/x:v0"}})
    assert not ledger.has_effect(wandb.Api(), elsewhere, "local-org/wandb-registry-model")


ELSEWHERE = """
with wandb.init(entity=TEAM, project="mine") as run:
    model = wandb.Artifact(REGISTRY.rpartition("/")[2], type="model")
    with model.new_file("model.keras", "w") as file:
        file.write("no one judged this")
    mine = run.log_artifact(model, aliases=["production"]).wait()
to = {"name": f"{TEAM}/mine/{mine.name}", "digest": mine.digest}
"""


def test_a_ledger_that_begins_with_another_registry_is_believed_by_nobody(workspace, attack):
    """The ledger is deleted, and a new one begins with a version of a project where anyone may set the alias."""
    forged = attack(
        f'api.artifact_collection("promotion", LEDGER).delete()\n{ELSEWHERE}\n'
        'entry = {**HONEST, "to": to, "model": to, "sha256": None, "account": "trainer"}\n'
        'plant(PROJECT, entry); seal(to["name"], entry, 0)'
    )
    assert "did it" in forged
    assert {"other_registry", "entry_of_other_account"} <= names(workspace)
    assert answers_by(workspace) == "moved_outside"
    assert not any(entry.applied for entry in workspace.entries)


def test_a_version_of_another_registry_is_not_promoted(workspace, attack):
    to = json.loads(attack(f"{ELSEWHERE}\nprint(json.dumps(to))").splitlines()[-1])
    assert refusal(workspace, workspace.evidence(2, 0, version=to, model=to)) == "other_registry"


def test_planted_entries_keep_the_honest_version_answering_and_let_no_other_answer(workspace, attack, monkeypatch):
    """Two sealed entries that lead to v1 and back, and one without a seal that says that the last one never existed."""
    planted = attack(
        f"ACCOUNT = 'trainer'; GIVEN = {{}}\n{LEAD_AWAY}\n"
        'plant(PROJECT, {**back, "previous": ledger.Entry(2, back).sha256, "to": V1, "voids": 2, "drop": 1e99})'
    )
    assert "did it" in planted
    assert answers_by(workspace) == "v0"
    assert answers_by(workspace, Reference.parse(f"{workspace.registry}:v1", "")) == "version_not_promoted"
    judged_by = ledger.keep_by_promoters(wandb.Api(), workspace.entries, ledger.REGISTRY)
    assert [(entry.number, entry.applied) for entry in judged_by] == [(0, True)]
    monkeypatch.setattr(client, "list_admins", lambda *_: frozenset())  # a W&B that does not say who they are
    assert answers_by(workspace) == "v0"
    assert answers_by(workspace, Reference.parse(f"{workspace.registry}:v1", "")) == "version_not_promoted"
    assert ledger.keep_by_promoters(wandb.Api(), workspace.entries, ledger.REGISTRY) == workspace.entries


def test_an_entry_in_another_run_of_an_admin_is_named(workspace, attack):
    """Anyone who can write to the project can continue a run of an admin that logged no entry."""
    with wandb.init(entity=TEAM, project=workspace.collection) as run:
        pass
    planted = attack(
        'for change in ({}, {"nonce": None}):\n'
        "    head = ledger.find_head(ledger.read(api, LEDGER))\n"
        '    entry = {**HONEST, "previous": head.sha256, "from": HONEST["to"], "approver": "the board", **change}\n'
        f'    plant(PROJECT, entry, id={run.id!r}, resume="must"); seal(HONEST["to"]["name"], entry, head.number + 1)'
    )
    assert "did it" in planted
    assert {("entry_of_other_account", 1), ("entry_of_other_account", 2)} <= workspace.findings()


# --- the evidence -----------------------------------------------------------------------------------------------------


def test_evidence_that_was_replaced_while_it_waited_is_not_promoted(workspace):
    """If its collection is deleted, the name can be used again; the SHA-256 is of the model whose report was read."""
    flags = ("--evidence", workspace.evidence(2, 0), "--approver", "ada", "--dry-run", "--evidence-sha256")
    with tempfile.TemporaryDirectory() as folder:
        workspace.step(
            "promote", *flags, files.fetch(wandb.Api().artifact(flags[1]), "evidence.json", Path(folder)).sha256
        )
    with pytest.raises(StepError) as stopped:
        workspace.step("promote", *flags, "0" * 64)
    assert stopped.value.name == "evidence_changed"


def test_evidence_that_names_another_model_is_not_promoted(workspace):
    other = workspace.version(0)
    model = {"name": f"{other.source_entity}/{other.source_project}/{other.source_name}", "digest": other.digest}
    assert refusal(workspace, workspace.evidence(2, 0, model=model)) == "model_changed"


@pytest.mark.parametrize(
    "change",
    ['{"drop": "x"}', '{"time": "x"}', '{"to": {"name": "../x", "digest": 5}}', '{"previous": [], "from": 1}'],
)
def test_an_entry_that_is_none_stops_nobody(workspace, attack, change):
    attack(f'plant(PROJECT, {{**HONEST, "previous": ledger.Entry(0, HONEST).sha256, **{change}}})')
    assert names(workspace) == {"entry_unreadable"}
    workspace.step("promote", "--evidence", workspace.evidence(2, 0), "--approver", "ada")
    assert in_production(workspace) == "v2"


@pytest.mark.prove
@pytest.mark.parametrize(
    ("program", "finding"),
    [
        ('e = api.artifact(f"{LEDGER}:v0"); e.metadata["entry"]["approver"] = "the board"; e.save()', "entry_changed"),
        ('api.artifact(f"{LEDGER}:v0").delete(delete_aliases=True)', "ledger_cut_off"),
        ('api.artifact_collection("promotion", LEDGER).delete()', "ledger_cut_off"),
        (
            'v = api.artifact(f"{REGISTRY}:v0"); v.aliases = [a for a in v.aliases if "promotion" not in a]; v.save()',
            "entry_not_sealed",
        ),
        (
            'entry = {**HONEST, "previous": ledger.Entry(0, HONEST).sha256, "from": HONEST["to"], '
            '"to": {**V1, "name": V1["name"].replace("registry-model", "registry-mine")}}; plant(PROJECT, entry)',
            "other_registry",
        ),
        ('entry = {**HONEST, "previous": "f" * 64}; plant(PROJECT, entry)', "entry_orphaned"),
    ],
    ids=[
        "metadata",
        "an entry deleted",
        "the ledger deleted",
        "seals taken away",
        "another registry",
        "no predecessor",
    ],
)
def test_what_is_done_to_the_ledger_is_named(workspace, attack, program, finding):
    assert "did it" in attack(program)
    assert finding in names(workspace)
    assert in_production(workspace) == "v0"


# --- the alias and the registry --------------------------------------------------------------------------------------


@pytest.mark.prove
@pytest.mark.parametrize(
    "program",
    [
        'v = api.artifact(V1["name"]); v.aliases.append("production"); v.save()',
        'v = api.artifact(f"{REGISTRY}:v0"); v.aliases.remove("production"); v.save()',
        'r = wandb.init(entity=TEAM, project=PROJECT); r.link_artifact(api.artifact(V1["name"]), '
        'REGISTRY.split("/", 1)[1], aliases=["production"]); r.finish()',
        'api.registry("model", organization="local-org").delete()',
        'api.registry("model", organization="local-org").add_members(api.user("trainer"))',
    ],
    ids=["set", "remove", "link with it", "delete the registry", "become its admin"],
)
def test_the_alias_stays_where_it_is(workspace, attack, program):
    attack(program)
    assert in_production(workspace) == "v0"
    assert workspace.findings() == set()


@pytest.mark.prove
@pytest.mark.parametrize(
    "program",
    [
        'api.artifact(f"{REGISTRY}:v0").unlink()',
        'api.artifact(f"{REGISTRY}:v0").source_artifact.delete(delete_aliases=True)',
        'c = api.artifact_collection("model", REGISTRY); c.name = c.name[:40] + "-old"; c.save()',
        'api.artifact_collection("model", REGISTRY).delete()',
    ],
    ids=["unlink", "delete the model", "rename the collection", "delete the collection"],
)
def test_what_takes_production_away_is_refused_or_named(workspace, attack, program):
    output = attack(program)
    assert "did it" not in output or names(workspace) & {"production_gone", "moved_outside"}, output


def test_another_use_cases_collection_under_this_name_is_named(workspace, attack, step, monkeypatch):
    """It brings its `production`, which no one judged for this use case."""
    other = Workspace(step, f"{workspace.collection}-b", TEAM)
    with monkeypatch.context() as patch:
        patch.setenv("WANDB_PROJECT", other.collection)
        evidence = other.evidence(3)
        step("promote", "--evidence", evidence, "--approver", "ada", "--collection", other.collection)
    attack(
        f'a, b = (api.artifact_collection("model", name) for name in (REGISTRY, {other.registry!r}))\n'
        'name = a.name; a.name = name[:40] + "-old"; a.save(); b.name = name; b.save()'
    )
    digest = wandb.Api().artifact(f"{workspace.registry}:production").digest
    assert digest == workspace.entries[0].content["to"]["digest"] or names(workspace)


def test_a_collection_that_was_retyped_or_renamed_ends_no_step_in_a_traceback(workspace, step):
    """Anyone who can write to the project can do this. Each step says what is wrong, or manages without."""
    workspace.rows = workspace.collection
    evidence = workspace.evidence(2, 0)
    project = f"{TEAM}/{workspace.collection}"
    model = wandb.Api().artifact_collection("model", f"{project}/glyphs_model")
    model.change_type("nobodys")
    with pytest.raises(StepError, match='does not take artifacts of type "nobodys"'):
        step("link", "--model", f"{project}/glyphs_model:v1")
    assert step("evaluate", "--version", f"{workspace.registry}:v0")["url"] == ""
    assert step("promote", "--evidence", evidence, "--approver", "ada")["version"] == f"{workspace.registry}:v2"
    assert names(workspace) == set()

    wandb.Api().artifact_collection("dataset", f"{project}/glyphs_dataset").change_type("nobodys")
    assert refusal(workspace, evidence) == "lineage_unknown"

    wandb.Api().artifact_collection("evaluation", f"{project}/glyphs_evaluation").change_type("nobodys")
    with wandb.init(entity=TEAM, project=workspace.collection) as run, pytest.raises(StepError) as stopped:
        client.log(run, wandb.Artifact("glyphs_evaluation", type="evaluation"), [])
    assert stopped.value.name == "collection_of_other_type"

    registered = wandb.Api().artifact_collection("model", workspace.registry)
    registered.name = f"{registered.name[:40]}-old"
    registered.save()
    assert {"production_gone", "version_gone"} <= names(workspace)


# --- what only a person stands against -------------------------------------------------------------------------------


def test_forged_answers_are_promoted_if_a_person_approves_them(workspace, attack):
    """Anyone who can log an evaluation can write its answers and its warnings. The account says whose key it was."""
    evidence = workspace.evidence(2, 0, account="trainer")  # the model was never loaded by a step
    workspace.step("promote", "--evidence", evidence, "--approver", "ada")
    assert in_production(workspace) == "v2"
    assert workspace.findings() == set()


def test_the_promotion_key_moves_the_alias_and_audit_names_it(workspace):
    workspace.move_by_hand(1)
    assert names(workspace) == {"moved_outside"}
