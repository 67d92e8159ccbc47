"""What several tests of promote need: what is in production, and the name under which a promotion is refused."""

from __future__ import annotations

import pytest
import wandb

from modelgate.errors import StepError
from modelgate.promotion import ledger


@pytest.fixture
def registry(collection):
    """What the registry and the ledger have now, read by a separate client."""

    class Registry:
        @property
        def production(self):
            try:
                artifact = wandb.Api().artifact(f"local-org/wandb-registry-model/{collection}:production")
            except wandb.errors.CommError:
                return None
            return artifact.version

        @property
        def entries(self):
            return ledger.read(wandb.Api(), f"local/{collection}/glyphs_promotions")

    return Registry()


def refused(step, evidence, *flags, approver="ada"):
    """Return the name of the rule that refused."""
    with pytest.raises(StepError) as stopped:
        step("promote", "--evidence", evidence, *(("--approver", approver) if approver else ()), *flags)
    assert stopped.value.exit_code == 1
    return stopped.value.name
