"""What can be wrong with a repository: a change of its settings, and the doctor's message."""

from __future__ import annotations

from tests.workflows.repository import AT, policies, production, ruled


def secret(environment, name):
    """Return a change of the state that adds a secret."""
    return lambda state: state[f"{AT}/{environment}"]["secrets"].append({"name": name})


def variable(name, value):
    """Return a change of the state that adds a variable of the repository."""
    return lambda state: state[f"{AT}/actions/variables"]["variables"].append({"name": name, "value": value})


DIFFERENCES = {
    "actions off": (lambda s: s[f"{AT}/actions/permissions"].update(enabled=False), "GitHub Actions is off"),
    "only one's own actions": (
        lambda s: s[f"{AT}/actions/permissions"].update(allowed_actions="local_only"),
        "does not allow the actions actions/*, docker/login-action@*",
    ),
    "chosen actions": (
        lambda s: (
            s[f"{AT}/actions/permissions"].update(allowed_actions="selected")
            or s.update({f"{AT}/actions/permissions/selected-actions": {"github_owned_allowed": True}})
        ),
        "does not allow the actions docker/login-action@*",
    ),
    "a workflow off": (
        lambda s: s[f"{AT}/actions/workflows"]["workflows"][0].update(state="disabled_fork"),
        "the workflow .github/workflows/pipeline.yml is disabled (disabled_fork)",
    ),
    "a workflow off, far down": (
        lambda s: s[f"{AT}/actions/workflows"]["workflows"].extend(
            {"id": 100 + n, "path": f"{n}.yml", "state": "active" if n < 140 else "disabled_inactivity"}
            for n in range(141)
        ),
        "the workflow 140.yml is disabled (disabled_inactivity)",
    ),
    "bypass": (
        lambda s: production(s).update(can_admins_bypass=True),
        "lets administrators bypass the reviewers",
    ),
    "token for every job": (
        secret("actions/secrets", "DATA_TOKEN"),
        "the repository has the secret DATA_TOKEN for every job",
    ),
    "other secrets for every job, far down": (
        lambda s: s[f"{AT}/actions/secrets"]["secrets"].extend({"name": f"S{number}"} for number in range(131)),
        "the repository has secrets for every job: S0, S1, S2, S3, S4, S5, S6, S7, S8, S9 and 121 more",
    ),
    "another secret for every job": (
        secret("actions/secrets", "SLACK"),
        "the repository has secrets for every job: SLACK",
    ),
    "another secret of the organization": (
        secret("actions/organization-secrets", "NPM"),
        "the organization has secrets for every job of this repository: NPM",
    ),
    "key of the organization": (
        secret("actions/organization-secrets", "WANDB_API_KEY"),
        "the organization has secrets for every job of this repository: WANDB_API_KEY",
    ),
    "merge from pull requests": (
        lambda s: (
            s[f"{AT}/actions/variables"]["variables"].append({"name": "APPROVAL", "value": "merge"})
            or policies(s).pop()
        ),
        "the variable PROMOTE_FROM is not set, but must be 'main'",
    ),
    "a status of anybody": (
        lambda s: ruled(s)[3]["parameters"].update(required_status_checks=[{"context": "done"}]),
        "without the check `done` of GitHub Actions",
    ),
    "token writes": (
        lambda s: s[f"{AT}/actions/permissions/workflow"].update(default_workflow_permissions="write"),
        "the token of a workflow may write",
    ),
    "token approves": (
        lambda s: s[f"{AT}/actions/permissions/workflow"].update(can_approve_pull_request_reviews=True),
        "or approve pull requests",
    ),
    "no training": (lambda s: s.pop(f"{AT}/environments/training"), "the environment training is missing"),
    "no production": (lambda s: s.pop(f"{AT}/environments/production"), "the environment production is missing"),
    "no reviewers": (lambda s: production(s).update(protection_rules=[]), "has no required reviewers"),
    "self-review": (
        lambda s: production(s)["protection_rules"][0].update(prevent_self_review=False),
        "lets people approve their own run",
    ),
    "any branch": (lambda s: production(s).update(deployment_branch_policy=None), "open to every branch"),
    "main not let in": (lambda s: policies(s).pop(0), "production does not allow the branch main"),
    "others let in": (
        lambda s: policies(s).append({"id": 9, "name": "feature/*"}),
        "production allows the branch feature/*",
    ),
    "no training key": (
        lambda s: (
            s[f"{AT}/environments/training"].clear() or s[f"{AT}/environments/training/secrets"].update(secrets=[])
        ),
        "training has no secret WANDB_API_KEY",
    ),
    "no second key": (
        lambda s: s[f"{AT}/environments/production/secrets"].update(secrets=[]),
        "production has no secret WANDB_PROMOTE_KEY",
    ),
    "second key in training": (
        secret("environments/training/secrets", "WANDB_PROMOTE_KEY"),
        "training has the secret WANDB_PROMOTE_KEY",
    ),
    "key for every job": (
        secret("actions/secrets", "WANDB_PROMOTE_KEY"),
        "the repository has the secret WANDB_PROMOTE_KEY for every job",
    ),
    "whom to tell, for every job": (
        secret("actions/secrets", "PROMOTION_WEBHOOK_URL"),
        "the repository has the secret PROMOTION_WEBHOOK_URL for every job",
    ),
    "whom to tell, in training": (
        secret("environments/training/secrets", "PROMOTION_WEBHOOK_URL"),
        "the environment training has the secret PROMOTION_WEBHOOK_URL",
    ),
    "a webhook without a key": (
        secret("environments/production/secrets", "PROMOTION_WEBHOOK_URL"),
        "the environment production has no secret PROMOTION_WEBHOOK_SECRET",
    ),
    "another repository without a token": (
        variable("PROMOTION_DISPATCH_REPOSITORY", "acme/consumer"),
        "the environment production has no secret PROMOTION_DISPATCH_TOKEN",
    ),
    "no repository to tell": (
        variable("PROMOTION_DISPATCH_REPOSITORY", "consumer"),
        "the variable PROMOTION_DISPATCH_REPOSITORY is 'consumer'",
    ),
    "unknown template": (
        variable("PROMOTION_WEBHOOK_TEMPLATE", "discord"),
        "the variable PROMOTION_WEBHOOK_TEMPLATE is 'discord'",
    ),
    "no entity": (lambda s: s[f"{AT}/actions/variables"].update(variables=[]), "WANDB_ENTITY is missing"),
    "unknown approval": (
        variable("APPROVAL", "anybody"),
        "the variable APPROVAL is 'anybody'",
    ),
    "pull requests may not": (
        variable("PROMOTE_FROM", "main"),
        "production allows the branch refs/pull/*/merge",
    ),
    "private": (
        lambda s: s[AT].update(visibility="private") or s.update({"orgs/acme": {"plan": {"name": "team"}}}),
        "required reviewers are not available for a private repository on the plan team",
    ),
    "private, on Free": (
        lambda s: s[AT].update(visibility="private") or s.update({"orgs/acme": {"plan": {"name": "free"}}}),
        "environments are not available for a private repository on the plan free",
    ),
    "private, a person's": (
        lambda s: (
            s[AT].update(visibility="private", owner={"login": "ada", "type": "User"})
            or s.update({"user": {"login": "ada", "plan": {"name": "pro"}}})
        ),
        "required reviewers are not available for a private repository on the plan pro",
    ),
    "private, another person's": (
        lambda s: (
            s[AT].update(visibility="private", owner={"login": "ada", "type": "User"})
            or s.update({"user": {"login": "bob", "plan": {"name": "free"}}})
        ),
        "on a plan that GitHub does not show you",
    ),
    "private, plan not told": (lambda s: s[AT].update(visibility="private"), "a plan that GitHub does not show you"),
    "other default branch": (
        lambda s: s[AT].update(default_branch="trunk") or s.update({f"{AT}/rules/branches/trunk": ruled(s)}),
        "the default branch is trunk",
    ),
    "owners nobody": (
        lambda s: s[f"{AT}/codeowners/errors"]["errors"].append(
            {"path": ".github/CODEOWNERS", "line": 3, "kind": "Unknown owner"}
        ),
        ".github/CODEOWNERS, line 3: Unknown owner",
    ),
    "no check": (lambda s: s.update({f"{AT}/rules/branches/main": ruled(s)[:3]}), "without the check `done`"),
    "no owner's review": (
        lambda s: ruled(s)[2]["parameters"].update(require_code_owner_review=False),
        "the review of a code owner",
    ),
}
BY_HAND = {
    "another secret for every job",
    "another secret of the organization",
    "other secrets for every job, far down",
    "key of the organization",
    "no reviewers",
    "no production",
    "no entity",
    "private",
    "private, plan not told",
    "owners nobody",
}
BY_HAND |= {"key of the organization"}
BY_HAND |= {"unknown approval", "private, on Free", "private, a person's", "private, another person's"}
BY_HAND |= {"no repository to tell", "unknown template"}
ASKS = {"no training key", "no second key", "a webhook without a key", "another repository without a token"}
