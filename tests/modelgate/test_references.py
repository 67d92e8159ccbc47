"""
Names of versions between steps: pinned, or refused.

    pytest tests/modelgate/test_references.py
"""

from __future__ import annotations

import pytest

from modelgate.errors import WRONG_USE, StepError
from modelgate.tracking.references import Reference


def test_a_pinned_version_is_read_and_written_back():
    reference = Reference.parse("team/project/mnist_model:v12", "--model")
    assert (reference.collection, reference.number) == ("team/project/mnist_model", 12)
    assert str(reference) == "team/project/mnist_model:v12"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "team/project/model:latest",
            "team/project/model",
            "project/model:v1",
            "model:v1",
            "a/b/c/d:v1",
            "a/b/c:v1\n",
        ),
        *("", "a/b/c:v\u0661", "a/b/c:v" + "9" * 5000),
    ],
)
def test_what_is_not_pinned_is_refused(text):
    with pytest.raises(StepError) as refused:
        Reference.parse(text, "--model")
    assert (refused.value.name, refused.value.exit_code) == ("reference_not_pinned", WRONG_USE)
    assert "--model" in str(refused.value)
