"""What W&B knows after a loop, asked through `wandb.Api()`."""

from __future__ import annotations

PRODUCTION = "api.artifact('local-org/wandb-registry-model/{collection}:production')"


def facts(collection: str, use_case: str) -> str:
    """Return an expression over wandb.Api(): what is in production, and how many of everything there are."""
    project = "local/model-registry-dev"
    version = PRODUCTION.format(collection=collection)
    counts = {
        "datasets": f"api.artifacts('dataset', '{project}/{use_case}_dataset')",
        "models": f"api.artifacts('model', '{project}/{use_case}_model')",
        "versions": f"api.artifacts('model', 'local-org/wandb-registry-model/{collection}')",
        "entries": f"api.artifacts('promotion', '{project}/{use_case}_promotions')",
        "runs": f"api.runs('{project}', filters={{'config.use_case': '{use_case}'}})",
    }
    return f"dict(production={version}.version, {', '.join(f'{name}=len({query})' for name, query in counts.items())})"
